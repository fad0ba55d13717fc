/**
 * Case `pause`: how long a worker is away from its packets at worst, under overload: the gaps between two batches, and the
 * garbage collections in its thread.
 */
import { setTimeout } from 'node:timers/promises';
import { inNamespace } from '../../io/namespace.ts';
import type { BenchCase, CaseResult } from '../case.ts';
import { buildBenchNetwork } from '../forwarding/network.ts';
import { pinned } from '../forwarding/subjects.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { BOUNDS_US } from '../pause/gaps.ts';
import type { PauseResult } from '../pause/worker.ts';

const FLOWS = 100_000;
const FRAME_LENGTH = 60;
const TARGET_MS = 1;

const SUBJECT = new URL('../pause/subject.js', import.meta.url).pathname;
const LOAD = new URL('../forwarding/load.js', import.meta.url).pathname;

export const pause: BenchCase = {
  name: 'pause',
  title: 'Pause',
  about:
    'Time from one batch to the next, where that was waiting already, in a worker’s loop with the AF_XDP device on a veth pair: ' +
    '64-byte frames of 100,000 flows, more than it can take. Gaps in which the thread had no core are told apart. ' +
    'Collections are those of the worker’s thread, after the first seconds.',
  needsRoot: true,
  seconds: { quick: 9, full: 70 },
  async run({ quick, progress }) {
    const [warmUpMs, measureMs] = quick ? [2000, 4000] : [4000, 60_000];
    progress(`${measureMs / 1000} s under load`);
    return present(await measurePause(warmUpMs, measureMs));
  },
};

export async function measurePause(warmUpMs: number, measureMs: number): Promise<PauseResult> {
  const network = buildBenchNetwork(1);
  const processes: LineProcess[] = [];
  const start = (namespace: string, core: number, script: string, args: readonly string[]): LineProcess => {
    const command = pinned(core, [process.execPath, script, ...args]);
    const started = inNamespace(namespace, () => startLineProcess(script, command));
    processes.push(started);
    return started;
  };
  try {
    const load = start(network.near, 0, LOAD, network.wires);
    await load.next();
    const subject = start(network.far[0], 1, SUBJECT, [`${warmUpMs}`, `${measureMs}`]);
    await subject.next();
    // The first flood tells the load how many frames are a second; the second is one call of the kernel's, without a break.
    const flood = (ms: number): Promise<string> => load.ask(`${network.wires[0]} ${FLOWS} ${FRAME_LENGTH} ${ms}`);
    await flood(warmUpMs / 4);
    const rest = flood(warmUpMs + measureMs);
    const result = JSON.parse(await subject.next()) as PauseResult;
    // It may flood on for a moment: it is ended with its process.
    await Promise.race([rest, setTimeout(1000)]);
    rest.catch(() => {});
    return result;
  } finally {
    await Promise.all(processes.map((each) => each.end()));
    network.remove();
  }
}

function present(result: PauseResult): CaseResult {
  const { seconds, batches, frames, idle, gaps, waiting, longestUs, longestRunningUs, collections } = result;
  const name = (row: number): string => {
    const from = row === 0 ? 0 : BOUNDS_US[row - 1];
    return row < BOUNDS_US.length ? `${from} to ${BOUNDS_US[row]} µs` : `${from} µs and more`;
  };
  return {
    tables: [
      {
        title: `Gaps between batches in ${seconds} s`,
        head: ['gap', 'all', 'without a core'],
        rows: gaps.map((count, row) => [name(row), count, waiting[row]]),
      },
      {
        title: 'At worst',
        head: ['of the worker', ''],
        rows: [
          ['batches', batches],
          ['frames a batch', (frames / batches).toFixed(1)],
          ['times that no frame was waiting', idle],
          ['longest gap, ms', (longestUs / 1000).toFixed(3)],
          ['longest gap less the time without a core, ms', (longestRunningUs / 1000).toFixed(3)],
          ['collections in the worker while warming up', result.collectionsWarmingUp],
          ['collections in the worker afterwards', collections],
        ],
      },
    ],
    charts: [
      {
        name: 'pause',
        title: `Gaps between batches in ${seconds} s under load, less those without a core`,
        kind: 'bars',
        unit: 'gaps',
        categoryName: '',
        categories: gaps.map((_, row) => name(row)),
        series: [{ name: 'gaps', values: gaps.map((count, row) => count - waiting[row] || null) }],
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
      'A gap counts as one without a core where the worker’s thread ran for less than half of it by its own CPU clock: another ' +
        'thread or the hypervisor had its core. Soft interrupts that ran meanwhile are not told apart: they stay with the gap. So ' +
        'does a gap in which the thread slept by itself.',
    ],
  };
}
