/**
 * Case `workers`: two workers at the same time beside one alone. Decisions a second, without a device: workers share no table, no
 * counter and no lock; what they share is the machine: caches, memory and power. And packets a second on a veth pair with two
 * queues, in a full run.
 */
import { availableParallelism } from 'node:os';
import type { BenchCase, CaseResult, ResultTable, Target } from '../case.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { figure, interleave, type RoundLimits, ratios } from '../rounds.ts';
import { measureQueues, ONE_WORKER, type QueuesMeasured, TWO_WORKERS } from '../workers/queues.ts';
import { wholeBatches } from '../workers/worker.ts';

const FLOWS = [10_000, 1_000_000];
const THREADS = 2;
const WARM_UP_PACKETS = 500_000;
const TARGET_RATIO = 1.8;
const FORWARDING_TARGET_RATIO = 1.6;

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
    'Decision cost says what is in a decision. Then packets a second of `hushlb run` on a veth pair: its rings are filled while it ' +
    'stands still, and the load rests while its workers, each on a core, forward what is there.',
  needsRoot: false,
  seconds: { quick: 6, full: 30 },
  async run(context) {
    const { quick, progress, secondsLeft } = context;
    const missing = quick ? 'it is in a full run only' : whyNotOnTheWire();
    const parts = FLOWS.length + (missing === undefined ? QUEUES_PARTS : 0);
    const scalings: Scaling[] = [];
    for (const [done, flows] of FLOWS.entries()) {
      progress(`${flows.toLocaleString('en')} flows each`);
      const until = secondsLeft() - secondsLeft() / (parts - done);
      const limits = { atLeast: 3, atMost: quick ? 5 : 11, hasTime: () => secondsLeft() > until };
      scalings.push(await measureScaling(flows, quick ? 2_000_000 : 5_000_000, WARM_UP_PACKETS, limits));
    }
    const measured =
      missing === undefined ? await measureQueues({ ...QUEUES_PLAN, folder: context.folder }, context) : [];
    return present(scalings, measured, missing);
  },
};

/** Of the case's time, in parts as long as one of the decisions'. */
const QUEUES_PARTS = 2;
const QUEUES_PLAN = { atMost: 41, warmUps: 15 };

function whyNotOnTheWire(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root';
  return availableParallelism() < THREADS ? 'this machine has one core' : undefined;
}

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

function present(
  scalings: readonly Scaling[],
  measured: readonly QueuesMeasured[],
  missing: string | undefined,
): CaseResult {
  const cores = availableParallelism();
  return {
    tables: [
      {
        title: 'Millions of decisions a second',
        says: 'Whether a second worker costs the first one anything: they share nothing but the machine, so 2 would be ideal.',
        head: ['flows of each', 'one worker', 'two workers', 'ratio'],
        rows: scalings.map(({ flows, one, two }) => [
          flows.toLocaleString('en'),
          figure(one, 2),
          figure(two, 2),
          figure(ratios(two, one), 2),
        ]),
      },
      ...(missing === undefined ? [queuesTable(measured)] : []),
    ],
    charts: [],
    targets: [
      ...scalings.map(
        ({ flows, one, two }): Target => ({
          what: `two workers over one, ${flows.toLocaleString('en')} flows each`,
          bound: 'at least',
          limit: TARGET_RATIO,
          unit: 'times',
          digits: 2,
          measured: cores < THREADS ? undefined : figure(ratios(two, one), 2).median,
          ...(cores < THREADS ? { why: 'this machine has one core' } : {}),
        }),
      ),
      queuesTarget(measured, missing),
    ],
    notes: [
      missing === undefined
        ? 'On the wire each worker has its core to itself, for receiving from its ring, deciding and sending; what the kernel does before, ' +
          'receiving into the ring, is over by then. So these are not the packets a second of forwarding, where it goes on at the same time.'
        : `Forwarding on two queues was left out: ${missing}.`,
    ],
  };
}

function queuesTable(measured: readonly QueuesMeasured[]): ResultTable {
  const one = mppsOf(measured, ONE_WORKER);
  return {
    title: 'Millions of packets a second out of full rings, veth, 64-byte frames',
    says: 'What a second worker on a second queue brings, device included; two queues for one worker bring nothing.',
    head: ['hushlb run', 'Mpps', 'over the first'],
    rows: measured.map(({ subject, mpps }) => [subject.name, figure(mpps, 3), figure(ratios(mpps, one), 2)]),
  };
}

function queuesTarget(measured: readonly QueuesMeasured[], missing: string | undefined): Target {
  const ratio = ratios(mppsOf(measured, TWO_WORKERS), mppsOf(measured, ONE_WORKER));
  return {
    what: 'two workers on two queues over one, forwarding',
    bound: 'at least',
    limit: FORWARDING_TARGET_RATIO,
    unit: 'times',
    digits: 2,
    measured: missing === undefined ? figure(ratio, 2).median : undefined,
    ...(missing === undefined ? {} : { why: missing }),
  };
}

function mppsOf(measured: readonly QueuesMeasured[], subject: QueuesMeasured['subject']): readonly number[] {
  return measured.find((each) => each.subject === subject)?.mpps ?? [];
}
