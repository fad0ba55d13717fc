/**
 * A histogram of the gaps between batches for pause/worker.ts, which tells those apart in which the thread did not run: it
 * waited for a core, or the hypervisor had taken that away. Of its own it allocates nothing once it is made.
 */
import { elapsed } from '../../io/clock.ts';
import { createThreadMeter } from './thread.ts';

/** Upper bounds of the histogram's rows in microseconds; a last row takes what is longer. */
export const BOUNDS_US = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

export interface Gaps {
  readonly batches: number;
  readonly frames: number;
  /** Times that no frame was there to be received; what follows is no gap. */
  readonly idle: number;
  /** Gaps by row; `waiting` are those of them of which the thread had no core for more than half. */
  readonly gaps: readonly number[];
  readonly waiting: readonly number[];
  readonly longestUs: number;
  /** The same, less the time without a core. */
  readonly longestRunningUs: number;
}

export interface GapRecorder {
  /** A batch of `count` frames was received at `nowUs`, on the clock of io/clock.ts. */
  batch(nowUs: number, count: number): void;
  /** The thread slept, because no frame was there. */
  slept(): void;
  /** To be called now and then, so that a sleep is set against the gap that it belongs to. */
  tick(): void;
  /** Forgets all gaps. */
  restart(): void;
  result(): Gaps;
}

/** Gaps from here on are looked at closely; shorter ones have no sleep worth telling in them. */
const LONG_US = 200;

/** Places in the recorder's numbers: V8 allocates for each fraction that a closure's variable takes, but not in an array. */
const SLEEPS = 0;
/** When the last batch came, what the thread had run then, and whether one has come since it slept. */
const LAST_US = 1;
const LAST_RAN_US = 2;
const IS_BUSY = 3;
const LONGEST_US = 4;
const LONGEST_RUNNING_US = 5;
const BATCHES = 6;
const FRAMES = 7;
const IDLE = 8;
const NUMBERS = 9;

/** For the calling thread, and to be used by it alone. */
export function createGapRecorder(): GapRecorder {
  const { ranUs, sleeps } = createThreadMeter();
  const gaps = new Float64Array(BOUNDS_US.length + 1);
  const waiting = new Float64Array(BOUNDS_US.length + 1);
  const numbers = new Float64Array(NUMBERS);
  readSleeps();

  function readSleeps(): void {
    numbers[SLEEPS] = sleeps();
  }

  function note(gapUs: number, gapRanUs: number): void {
    let row = 0;
    while (row < BOUNDS_US.length && gapUs >= BOUNDS_US[row]) row++;
    gaps[row]++;
    let runningUs = Math.min(gapUs, gapRanUs);
    if (gapUs >= LONG_US) {
      const before = numbers[SLEEPS];
      readSleeps();
      // Whatever it slept for is of its own making: that counts in full.
      if (numbers[SLEEPS] !== before) runningUs = gapUs;
      if (runningUs < gapUs / 2) waiting[row]++;
    }
    if (gapUs > numbers[LONGEST_US]) numbers[LONGEST_US] = gapUs;
    if (runningUs > numbers[LONGEST_RUNNING_US]) numbers[LONGEST_RUNNING_US] = runningUs;
  }

  return {
    batch(nowUs, count) {
      const ran = ranUs();
      if (numbers[IS_BUSY] !== 0) note(elapsed(numbers[LAST_US], nowUs), elapsed(numbers[LAST_RAN_US], ran));
      numbers[BATCHES]++;
      numbers[FRAMES] += count;
      numbers[LAST_US] = nowUs;
      numbers[LAST_RAN_US] = ran;
      numbers[IS_BUSY] = 1;
    },
    slept() {
      numbers[IDLE] += numbers[IS_BUSY];
      numbers[IS_BUSY] = 0;
      readSleeps();
    },
    tick: readSleeps,
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
