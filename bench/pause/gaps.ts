/**
 * A histogram of the gaps between batches for pause/worker.ts, which tells those apart in which the thread had to wait for a
 * core: the kernel says how long it stood on a run queue (schedstat, the second number). Of its own it allocates nothing once it is made.
 */
import { openSync, readSync } from 'node:fs';
import { elapsed } from '../../io/clock.ts';

/** Upper bounds of the histogram's rows in microseconds; a last row takes what is longer. */
export const BOUNDS_US = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

export interface Gaps {
  readonly batches: number;
  readonly frames: number;
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
  /** A batch of `count` frames was received at `nowUs`, on the clock of io/clock.ts. */
  batch(nowUs: number, count: number): void;
  /** The thread slept, because no frame was there. */
  slept(): void;
  /** To be called now and then, so that a wait is set against the gap that it belongs to. */
  tick(): void;
  /** Forgets all gaps. */
  restart(): void;
  result(): Gaps;
}

/** Gaps from here on are looked at closely; shorter ones have no wait worth telling in them. */
const LONG_US = 200;

const SPACE = 0x20;
const ZERO = 0x30;

/** Places in the recorder's numbers: V8 allocates for each fraction that a closure's variable takes, but not in an array. */
const WAITED_US = 0;
/** When the last batch came, and whether one has since the thread slept. */
const LAST_US = 1;
const IS_BUSY = 2;
const LONGEST_US = 3;
const LONGEST_RUNNING_US = 4;
const BATCHES = 5;
const FRAMES = 6;
const IDLE = 7;
const NUMBERS = 8;

/** For the calling thread, and to be used by it alone. */
export function createGapRecorder(): GapRecorder {
  const schedstat = openSync('/proc/thread-self/schedstat', 'r');
  const text = new Uint8Array(64);
  const gaps = new Float64Array(BOUNDS_US.length + 1);
  const waiting = new Float64Array(BOUNDS_US.length + 1);
  const numbers = new Float64Array(NUMBERS);
  readWaited();

  /** Microseconds that this thread has waited for a core since it began. */
  function readWaited(): void {
    const length = readSync(schedstat, text, 0, text.length, 0);
    let at = 0;
    while (at < length && text[at] !== SPACE) at++;
    let ns = 0;
    for (at++; at < length && text[at] !== SPACE; at++) ns = ns * 10 + text[at] - ZERO;
    numbers[WAITED_US] = ns / 1000;
  }

  function note(gapUs: number): void {
    let row = 0;
    while (row < BOUNDS_US.length && gapUs >= BOUNDS_US[row]) row++;
    gaps[row]++;
    let runningUs = gapUs;
    if (gapUs >= LONG_US) {
      const before = numbers[WAITED_US];
      readWaited();
      runningUs -= numbers[WAITED_US] - before;
      if (runningUs < gapUs / 2) waiting[row]++;
    }
    if (gapUs > numbers[LONGEST_US]) numbers[LONGEST_US] = gapUs;
    if (runningUs > numbers[LONGEST_RUNNING_US]) numbers[LONGEST_RUNNING_US] = runningUs;
  }

  return {
    batch(nowUs, count) {
      if (numbers[IS_BUSY] !== 0) note(elapsed(numbers[LAST_US], nowUs));
      numbers[BATCHES]++;
      numbers[FRAMES] += count;
      numbers[LAST_US] = nowUs;
      numbers[IS_BUSY] = 1;
    },
    slept() {
      numbers[IDLE] += numbers[IS_BUSY];
      numbers[IS_BUSY] = 0;
      readWaited();
    },
    tick: readWaited,
    restart() {
      gaps.fill(0);
      waiting.fill(0);
      numbers.fill(0, LAST_US);
    },
    result: () => ({
      batches: numbers[BATCHES],
      frames: numbers[FRAMES],
      idle: numbers[IDLE],
      gaps: [...gaps],
      waiting: [...waiting],
      longestUs: numbers[LONGEST_US],
      longestRunningUs: numbers[LONGEST_RUNNING_US],
    }),
  };
}
