/** The CPU time of the calling thread, for decision/subject.ts: what others had of its core meanwhile is not in it. */
import { clock_gettime } from '../../io/ffi.ts';

const CLOCK_THREAD_CPUTIME_ID = 3;
const NANOSECONDS_A_SECOND = 1_000_000_000n;

/** struct timespec. */
const timespec = new BigInt64Array(2);

export function threadNanoseconds(): bigint {
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, timespec);
  return timespec[0] * NANOSECONDS_A_SECOND + timespec[1];
}
