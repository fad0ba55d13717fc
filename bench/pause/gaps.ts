/**
 * A histogram of the gaps between batches for pause/worker.ts, which tells those apart in which the thread had to wait for a
 * core: the kernel says how long it stood on a run queue (schedstat, the second number). Allocates nothing once it is made.
 */
import { openSync, readSync } from 'node:fs';

/** Upper bounds of the histogram's rows in microseconds; a last row takes what is longer. */
export const BOUNDS_US = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

export interface Gaps {
  readonly batches: number;
  /** Times that no frame was there to be received; what follows is no gap. */
  readonly idle: number;
  /** Gaps by row; `waiting` are those of them of which the thread spent more than half waiting for a core. */
  readonly gaps: readonly number[];
  readonly waiting: readonly number[];
  readonly longestUs: number;
  /** The same, less the time that it waited for a core. */
  readonly longestRunningUs: number;
}

export interface GapRecorder {
  /** A batch was received at `clock`, in milliseconds. */
  batch(clock: number): void;
  /** The thread slept, because no frame was there. */
  slept(): void;
  /** To be called now and then, so that a wait is set against the gap that it belongs to. */
  tick(): void;
  result(): Gaps;
}

/** Gaps from here on are looked at closely; shorter ones have no wait worth telling in them. */
const LONG_US = 200;

const SPACE = 0x20;
const ZERO = 0x30;

/** For the calling thread, and to be used by it alone. */
export function createGapRecorder(): GapRecorder {
  const schedstat = openSync('/proc/thread-self/schedstat', 'r');
  const text = new Uint8Array(64);
  const gaps = new Float64Array(BOUNDS_US.length + 1);
  const waiting = new Float64Array(BOUNDS_US.length + 1);
  let last = 0;
  let batches = 0;
  let idle = 0;
  let longestUs = 0;
  let longestRunningUs = 0;
  let waitedUs = readWaitedUs();

  /** Microseconds that this thread has waited for a core since it began. */
  function readWaitedUs(): number {
    const length = readSync(schedstat, text, 0, text.length, 0);
    let at = 0;
    while (at < length && text[at] !== SPACE) at++;
    let ns = 0;
    for (at++; at < length && text[at] !== SPACE; at++) ns = ns * 10 + text[at] - ZERO;
    return ns / 1000;
  }

  function note(gapUs: number): void {
    let row = 0;
    while (row < BOUNDS_US.length && gapUs >= BOUNDS_US[row]) row++;
    gaps[row]++;
    let runningUs = gapUs;
    if (gapUs >= LONG_US) {
      const before = waitedUs;
      waitedUs = readWaitedUs();
      runningUs -= waitedUs - before;
      if (runningUs < gapUs / 2) waiting[row]++;
    }
    if (gapUs > longestUs) longestUs = gapUs;
    if (runningUs > longestRunningUs) longestRunningUs = runningUs;
  }

  return {
    batch(clock) {
      if (last > 0) note((clock - last) * 1000);
      batches++;
      last = clock;
    },
    slept() {
      if (last > 0) idle++;
      last = 0;
      waitedUs = readWaitedUs();
    },
    tick() {
      waitedUs = readWaitedUs();
    },
    result: () => ({ batches, idle, gaps: [...gaps], waiting: [...waiting], longestUs, longestRunningUs }),
  };
}
