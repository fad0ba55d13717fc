/**
 * Whether somebody keeps the wall clock right: adjtimex(2). Read only, without any rights; for checks of a host.
 */
import { readClockState } from './ffi.ts';

/** Of struct timex (sys/timex.h), on 64-bit hosts: modes at 0, which 0 leaves the clock alone; status. */
const TIMEX_LENGTH = 256;
const STATUS_AT = 40;
const STA_UNSYNC = 0x40;
const TIME_ERROR = 5;

/** True where a time service has said to the kernel that it keeps the clock. Throws SystemCallError. */
export function isClockSynchronised(): boolean {
  const state = Buffer.alloc(TIMEX_LENGTH);
  const result = readClockState(state);
  return result !== TIME_ERROR && (state.readInt32LE(STATUS_AT) & STA_UNSYNC) === 0;
}
