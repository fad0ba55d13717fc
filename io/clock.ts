/**
 * A clock that doesn't step (CLOCK_MONOTONIC), for whoever reads it on the packets' path: lb/worker.ts, once a batch. A read
 * leaves nothing to the garbage collector, where each `performance.now()` leaves a number on the heap: with a batch every 150 µs a
 * collection every few seconds. It costs as much (some 60 ns, measured 2026-11 with Node 20).
 *
 * Times are signed 32-bit numbers, modulo 2^32, because V8 keeps no others without a place on the heap: milliseconds wrap round
 * every 49.7 days, microseconds every 71 minutes. Subtract two with `elapsed`.
 */
import { clock_gettime } from './ffi.ts';

const CLOCK_MONOTONIC = 1;

/** struct timespec, two 64-bit numbers, of which the low words count. */
const SECONDS = 0;
const NANOSECONDS = 2;

export interface Clock {
  milliseconds(): number;
  microseconds(): number;
}

/** For one thread. */
export function createClock(): Clock {
  const timespec = new Int32Array(4);

  // Hot path: no allocation, no throw, no closure, no await.
  return {
    milliseconds() {
      clock_gettime(CLOCK_MONOTONIC, timespec);
      return (Math.imul(timespec[SECONDS], 1000) + ((timespec[NANOSECONDS] / 1_000_000) | 0)) | 0;
    },
    microseconds() {
      clock_gettime(CLOCK_MONOTONIC, timespec);
      return (Math.imul(timespec[SECONDS], 1_000_000) + ((timespec[NANOSECONDS] / 1000) | 0)) | 0;
    },
  };
}

/** From one time of a clock to a later one: 0 to 2^32 - 1. */
export function elapsed(since: number, until: number): number {
  return (until - since) >>> 0;
}
