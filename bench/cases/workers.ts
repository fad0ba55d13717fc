/**
 * Case `workers`: decisions a second of two worker threads at the same time, beside one alone. Workers share no table, no counter
 * and no lock; what they share is the machine: caches, memory and power.
 */
import { availableParallelism } from 'node:os';
import type { BenchCase, CaseResult } from '../case.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { figure, interleave, type RoundLimits, ratios } from '../rounds.ts';
import { wholeBatches } from '../workers/worker.ts';

const FLOWS = [10_000, 1_000_000];
const THREADS = 2;
const WARM_UP_PACKETS = 500_000;
const TARGET_RATIO = 1.8;

const SUBJECT = new URL('../workers/subject.js', import.meta.url).pathname;

export interface Scaling {
  readonly flows: number;
  /** Millions of decisions a second, a value a round: of one worker, and of two together. */
  readonly one: readonly number[];
  readonly two: readonly number[];
}

export const workers: BenchCase = {
  name: 'workers',
  title: 'Two workers',
  about:
    'Decisions a second of two worker threads at once, each on a core and with a table of its own, beside one alone; mode stateless, no device. ' +
    'Decision cost says what is in a decision.',
  needsRoot: false,
  seconds: { quick: 6, full: 20 },
  async run({ quick, progress, secondsLeft }) {
    const scalings: Scaling[] = [];
    for (const [done, flows] of FLOWS.entries()) {
      progress(`${flows.toLocaleString('en')} flows each`);
      const until = secondsLeft() - secondsLeft() / (FLOWS.length - done);
      const limits = { atLeast: 3, atMost: quick ? 5 : 11, hasTime: () => secondsLeft() > until };
      scalings.push(await measureScaling(flows, quick ? 2_000_000 : 5_000_000, WARM_UP_PACKETS, limits));
    }
    return present(scalings);
  },
};

export async function measureScaling(
  flows: number,
  packets: number,
  warmUpPackets: number,
  limits: RoundLimits,
): Promise<Scaling> {
  const command = [process.execPath, SUBJECT, `${flows}`, `${THREADS}`, `${Math.max(flows, warmUpPackets)}`];
  const subject = startLineProcess('workers', command);
  try {
    await subject.next();
    const [one, two] = await interleave([1, THREADS], limits, (threads) => decisions(subject, threads, packets));
    return { flows, one, two };
  } finally {
    await subject.end();
  }
}

async function decisions(subject: LineProcess, threads: number, packets: number): Promise<number> {
  const ns = Number(await subject.ask(`${threads} ${packets}`));
  return (threads * wholeBatches(packets) * 1000) / ns;
}

function present(scalings: readonly Scaling[]): CaseResult {
  const cores = availableParallelism();
  return {
    tables: [
      {
        title: 'Millions of decisions a second',
        head: ['flows of each', 'one worker', 'two workers', 'ratio'],
        rows: scalings.map(({ flows, one, two }) => [
          flows.toLocaleString('en'),
          figure(one, 2),
          figure(two, 2),
          figure(ratios(two, one), 2),
        ]),
      },
    ],
    charts: [],
    targets: scalings.map(({ flows, one, two }) => ({
      what: `two workers over one, ${flows.toLocaleString('en')} flows each`,
      bound: 'at least',
      limit: TARGET_RATIO,
      unit: 'times',
      digits: 2,
      measured: cores < THREADS ? undefined : figure(ratios(two, one), 2).median,
      ...(cores < THREADS ? { why: 'this machine has one core' } : {}),
    })),
    notes: [],
  };
}
