/**
 * Case `pause`: how long a worker is away from its packets at worst, under overload: the gaps between two batches, and the
 * garbage collections in its thread. Beside it, by turns, a C loop on the same wire: what it shows, too, is the machine's.
 */
import type { BenchCase, CaseResult } from '../case.ts';
import { BOUNDS_US, type Gaps } from '../pause/gaps.ts';
import { openPauseBench } from '../pause/measure.ts';
import type { PauseResult } from '../pause/worker.ts';
import { compileYardstick } from '../yardstick/compile.ts';

const TARGET_MS = 1;
/** The C loop has no compiler to wait for, only its load. */
const YARDSTICK_WARM_UP_MS = 500;

export const pause: BenchCase = {
  name: 'pause',
  title: 'Pause',
  about:
    'Time from one batch to the next, where that was waiting already, in a worker’s loop with the AF_XDP device on a veth pair: ' +
    '64-byte frames of 100,000 flows, more than it can take. Gaps in which the thread had no core are told apart. Beside it, by ' +
    'turns, the AF_XDP reflector in C, which decides nothing. Collections are those of the worker’s thread, after the first seconds.',
  needsRoot: true,
  seconds: { quick: 10, full: 110 },
  async run({ quick, folder, progress }) {
    const { turns, warmUpMs, measureMs, yardstickMs } = quick
      ? { turns: 1, warmUpMs: 2000, measureMs: 3000, yardstickMs: 3000 }
      : { turns: 2, warmUpMs: 4000, measureMs: 30_000, yardstickMs: 15_000 };
    const yardstick = compileYardstick('reflect', folder);
    const bench = await openPauseBench();
    const workers: PauseResult[] = [];
    const loops: Gaps[] = [];
    try {
      for (let turn = 1; turn <= turns; turn++) {
        progress(`a worker, turn ${turn} of ${turns}: ${measureMs / 1000} s under load`);
        workers.push(await bench.worker(warmUpMs, measureMs));
        if (yardstick.path === undefined) continue;
        progress(`the C loop, turn ${turn} of ${turns}: ${yardstickMs / 1000} s under load`);
        loops.push(await bench.yardstick(yardstick.path, YARDSTICK_WARM_UP_MS, yardstickMs));
      }
    } finally {
      await bench.close();
    }
    return present({
      worker: allOf(workers),
      seconds: (turns * measureMs) / 1000,
      yardstick: yardstick.path === undefined ? yardstick.missing : allOf(loops),
      yardstickSeconds: (turns * yardstickMs) / 1000,
      collectionsWarmingUp: workers.reduce((sum, { collectionsWarmingUp }) => sum + collectionsWarmingUp, 0),
      collections: workers.reduce((sum, { collections }) => sum + collections, 0),
    });
  },
};

/** All turns as one. */
function allOf(turns: readonly Gaps[]): Gaps {
  const rows = (of: (gaps: Gaps) => readonly number[]): number[] =>
    of(turns[0]).map((_, row) => turns.reduce((sum, turn) => sum + of(turn)[row], 0));
  return {
    batches: turns.reduce((sum, { batches }) => sum + batches, 0),
    frames: turns.reduce((sum, { frames }) => sum + frames, 0),
    idle: turns.reduce((sum, { idle }) => sum + idle, 0),
    gaps: rows(({ gaps }) => gaps),
    waiting: rows(({ waiting }) => waiting),
    longestUs: Math.max(...turns.map(({ longestUs }) => longestUs)),
    longestRunningUs: Math.max(...turns.map(({ longestRunningUs }) => longestRunningUs)),
  };
}

interface Measured {
  readonly worker: Gaps;
  readonly seconds: number;
  /** Or why there is none. */
  readonly yardstick: Gaps | string;
  readonly yardstickSeconds: number;
  readonly collectionsWarmingUp: number;
  readonly collections: number;
}

function present({ worker, seconds, yardstick, yardstickSeconds, ...rest }: Measured): CaseResult {
  const { gaps, waiting, longestRunningUs } = worker;
  const { collections, collectionsWarmingUp } = rest;
  const c = typeof yardstick === 'string' ? undefined : yardstick;
  const name = (row: number): string => {
    const from = (row === 0 ? 0 : BOUNDS_US[row - 1]).toLocaleString('en');
    return row < BOUNDS_US.length ? `${from} to ${BOUNDS_US[row].toLocaleString('en')} µs` : `${from} µs and more`;
  };
  const both = (what: string, of: (gaps: Gaps) => string | number): (string | number | null)[] => [
    what,
    of(worker),
    c === undefined ? null : of(c),
  ];
  return {
    tables: [
      {
        title: `Gaps between batches: ${seconds} s of a worker, ${yardstickSeconds} s of the C loop`,
        says: 'How often packets waited for how long; of those, how often because the thread had no core. Rows are numbers of gaps.',
        head: ['gap', 'worker', 'without a core', 'C', 'without a core'],
        rows: gaps.map((count, row) => [name(row), count, waiting[row], c?.gaps[row] ?? null, c?.waiting[row] ?? null]),
      },
      {
        title: 'At worst',
        says: 'Whether a pause is hushlb’s own: what the C loop shows too is the kernel’s or the machine’s.',
        head: ['', 'worker', 'C'],
        rows: [
          both('batches', ({ batches }) => batches),
          both('frames a batch', ({ frames, batches }) => (frames / batches).toFixed(1)),
          both('times that no frame was waiting', ({ idle }) => idle),
          both('longest gap, ms', ({ longestUs }) => (longestUs / 1000).toFixed(3)),
          both('longest gap less the time without a core, ms', (of) => (of.longestRunningUs / 1000).toFixed(3)),
          both(`gaps above ${TARGET_MS} ms with a core, a minute`, (of) =>
            ((longGaps(of) * 60) / (of === c ? yardstickSeconds : seconds)).toFixed(0),
          ),
          ['collections in the worker while warming up', collectionsWarmingUp, null],
          ['collections in the worker afterwards', collections, null],
        ],
      },
    ],
    charts: [
      {
        name: 'pause',
        title: 'Gaps between batches, a minute under load, less those without a core',
        kind: 'bars',
        unit: 'gaps a minute',
        categoryName: '',
        categories: gaps.map((_, row) => name(row)),
        series: [
          { name: 'hushlb’s worker', values: aMinute(worker, seconds) },
          ...(c === undefined ? [] : [{ name: 'the loop in C', values: aMinute(c, yardstickSeconds) }]),
        ],
        logarithmic: true,
      },
    ],
    targets: [
      {
        what: 'longest pause outside scheduler preemption',
        bound: 'at most',
        limit: TARGET_MS,
        unit: 'ms',
        digits: 2,
        measured: longestRunningUs / 1000,
      },
      {
        what: 'collections after warm-up',
        bound: 'at most',
        limit: 0,
        unit: 'collections',
        digits: 0,
        measured: collections,
      },
    ],
    notes: [
      'A gap counts as one without a core where the thread ran for less than half of it by its own CPU clock: another ' +
        'thread or the hypervisor had its core. Soft interrupts that ran meanwhile are not told apart: they stay with the gap. So ' +
        'does a gap in which the thread slept by itself. What the C loop shows of such gaps is the kernel’s and the machine’s.',
      ...(typeof yardstick === 'string' ? [`The C loop was left out: ${yardstick}.`] : []),
    ],
  };
}

/** With a core, by row; null for none, which a logarithmic axis has no place for. */
function aMinute({ gaps, waiting }: Gaps, seconds: number): (number | null)[] {
  return gaps.map((count, row) => Math.round(((count - waiting[row]) * 60) / seconds) || null);
}

/** With a core, above what is asked. */
function longGaps({ gaps, waiting }: Gaps): number {
  const first = BOUNDS_US.indexOf(TARGET_MS * 1000) + 1;
  return gaps.slice(first).reduce((sum, count, i) => sum + count - waiting[first + i], 0);
}
