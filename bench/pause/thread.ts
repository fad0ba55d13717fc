/**
 * What the kernel counts of the calling thread, for the gaps of case `pause`: how long it ran, and how often it went to sleep
 * by itself. Of its own it allocates nothing once it is made.
 */
import { clock_gettime, getrusage } from '../../io/ffi.ts';

export interface ThreadMeter {
  /**
   * Microseconds that the thread has run, modulo 2^32: without those in which it waited for a core, or the hypervisor had taken
   * that away (CLOCK_THREAD_CPUTIME_ID).
   */
  ranUs(): number;
  /** How often it has slept, because it waited for something else than a core (getrusage(2), ru_nvcsw). */
  sleeps(): number;
}

const CLOCK_THREAD_CPUTIME_ID = 3;
const RUSAGE_THREAD = 1;

/** Low words of the 64-bit fields of struct timespec and struct rusage. */
const SECONDS = 0;
const NANOSECONDS = 2;
const RUSAGE_WORDS = 36;
const VOLUNTARY_SWITCHES = 32;

export function createThreadMeter(): ThreadMeter {
  const timespec = new Int32Array(4);
  const usage = new Int32Array(RUSAGE_WORDS);
  return {
    ranUs() {
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, timespec);
      return (Math.imul(timespec[SECONDS], 1_000_000) + ((timespec[NANOSECONDS] / 1000) | 0)) | 0;
    },
    sleeps() {
      getrusage(RUSAGE_THREAD, usage);
      return usage[VOLUNTARY_SWITCHES];
    },
  };
}
