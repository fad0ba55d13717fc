/**
 * Ends another thread's poll(2): an eventfd, whose descriptor that thread polls beside its socket (io/af-xdp-device.ts). The
 * main thread wakes a worker so that a new state or a stop does not wait until the next packet.
 */
import { writeSync } from 'node:fs';
import { closeDescriptor, openEventDescriptor } from './ffi.ts';

export interface Wake {
  /** Readable from a wake-up until the sleeper has read it. */
  readonly fd: number;
  wake(): void;
  /** After the sleeper has ended. */
  close(): void;
}

/** Throws SystemCallError. */
export function createWake(): Wake {
  const fd = openEventDescriptor();
  const one = BigUint64Array.of(1n);
  return {
    fd,
    wake: () => void writeSync(fd, one),
    close: () => closeDescriptor(fd),
  };
}
