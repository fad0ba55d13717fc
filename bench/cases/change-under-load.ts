/**
 * Case `change-under-load`: the forwarding state of a running balancer is swapped 100 times a second, and every packet has to
 * come back once, at the backend that its connection had before. The same without changes is measured by turns beside it.
 */
import { inNamespace } from '../../io/namespace.ts';
import type { BenchCase, CaseContext, CaseResult, Target } from '../case.ts';
import type { LoadResult } from '../change/load.ts';
import type { ChangeResult, Losses } from '../change/subject.ts';
import { buildBenchNetwork } from '../forwarding/network.ts';
import { pinned } from '../forwarding/subjects.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';

const CHANGES_A_SECOND = 100;
/** Of them, what has to come about for the targets to be about so many. */
const LEAST_SHARE_OF_CHANGES = 0.9;
/** Parts of what it forwards at overload; the first is used at which nothing is lost without changes. */
const SHARES = [1 / 4, 1 / 8, 1 / 16];
/** The receive ring then has room for 20 ms in which the worker has no core. */
const MOST_PACKETS_A_SECOND = 100_000;
const WARM_UP_MS = 500;
const TRIAL_MS = 300;
const SHORTEST_ROUND_MS = 300;

const SUBJECT = new URL('../change/subject.js', import.meta.url).pathname;
const LOAD = new URL('../change/load.js', import.meta.url).pathname;

/** Sums over the rounds. */
export interface UnderLoad extends LoadResult, Losses {
  readonly lost: number;
}

export interface ChangeMeasured {
  /** Packets a second. */
  readonly rate: number;
  readonly without: UnderLoad;
  readonly changing: UnderLoad;
  readonly change: ChangeResult;
}

export const changeUnderLoad: BenchCase = {
  name: 'change-under-load',
  title: 'Change under load',
  about:
    'Packets lost or misrouted while the forwarding state is swapped 100 times a second: a backend is added, weights change, it ' +
    'drains, it is removed, in turn. The parts of `hushlb run` on a veth pair, IPIP, at up to a quarter of what they forward, 100,000 packets a second at most; 4,096 ' +
    'connections at a time, new ones all along. An XDP program looks at every packet that comes back: its number, and its backend ' +
    'beside that of its connection’s first packet.',
  needsRoot: true,
  seconds: { quick: 6, full: 40 },
  async run(context) {
    const roundMs = context.quick ? 900 : 4000;
    return present(await measureChange({ changesASecond: CHANGES_A_SECOND, roundMs }, context));
  },
};

export async function measureChange(
  { changesASecond, roundMs }: { changesASecond: number; roundMs: number },
  { progress, secondsLeft }: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<ChangeMeasured> {
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
    const subject = start(network.far[0], 1, SUBJECT, []);
    await Promise.all([load.next(), subject.next()]);
    const send = async (rate: number, ms: number): Promise<LoadResult> => JSON.parse(await load.ask(`${rate} ${ms}`));
    const change = async (ms: number): Promise<ChangeResult> =>
      JSON.parse(await subject.ask(`change ${changesASecond} ${ms}`));
    const losses = async (): Promise<Losses> => JSON.parse(await subject.ask('losses'));

    progress('finding the load');
    const rate = await findRate(send);
    let without = noLoad();
    let changing = noLoad();
    let changes: ChangeResult = { seconds: 0, reloadMs: [], handOverMs: [] };
    // What runs for the first time is compiled; V8 then throws away code of the walk that took it for granted.
    await Promise.all([send(rate, TRIAL_MS), change(TRIAL_MS)]);
    let known = await losses();
    const account = async (before: UnderLoad, more: LoadResult): Promise<UnderLoad> => {
      const now = lostOf(more) > 0 ? await losses() : known;
      const after = sum(before, more, known, now);
      known = now;
      return after;
    };
    do {
      const ms = Math.min(roundMs, Math.max(SHORTEST_ROUND_MS, (secondsLeft() * 1000) / 2.5));
      progress(`${Math.round(rate / 1000)},000 packets a second, unchanged`);
      without = await account(without, await send(rate, ms));
      progress(`${Math.round(rate / 1000)},000 packets a second, ${changesASecond} changes a second`);
      const [sent, changed] = await Promise.all([send(rate, ms), change(ms)]);
      changing = await account(changing, sent);
      changes = {
        seconds: changes.seconds + changed.seconds,
        reloadMs: [...changes.reloadMs, ...changed.reloadMs],
        handOverMs: [...changes.handOverMs, ...changed.handOverMs],
      };
    } while (secondsLeft() > (2.5 * roundMs) / 1000);
    return { rate, without, changing, change: changes };
  } finally {
    await Promise.all(processes.map((each) => each.end()));
    network.remove();
  }
}

async function findRate(send: (rate: number, ms: number) => Promise<LoadResult>): Promise<number> {
  // Compiles the walk; the second one counts.
  await send(Number.POSITIVE_INFINITY, WARM_UP_MS);
  const { returned, seconds } = await send(Number.POSITIVE_INFINITY, TRIAL_MS);
  if (returned === 0) throw new Error('no packet came back');
  const rates = SHARES.map((share) => Math.min(MOST_PACKETS_A_SECOND, Math.round((returned / seconds) * share)));
  for (const rate of rates) {
    if (lostOf(await send(rate, TRIAL_MS)) === 0) return rate;
  }
  return rates[rates.length - 1];
}

function noLoad(): UnderLoad {
  return {
    sent: 0,
    seconds: 0,
    returned: 0,
    again: 0,
    moved: 0,
    misrouted: 0,
    lost: 0,
    notReceived: 0,
    notForwarded: 0,
  };
}

/** A packet that came twice makes up for none. */
function lostOf({ sent, returned, again }: LoadResult): number {
  return sent - (returned - again);
}

function sum(before: UnderLoad, more: LoadResult, lossesBefore: Losses, lossesAfter: Losses): UnderLoad {
  return {
    sent: before.sent + more.sent,
    seconds: before.seconds + more.seconds,
    returned: before.returned + more.returned,
    again: before.again + more.again,
    moved: before.moved + more.moved,
    misrouted: before.misrouted + more.misrouted,
    lost: before.lost + lostOf(more),
    notReceived: before.notReceived + lossesAfter.notReceived - lossesBefore.notReceived,
    notForwarded: before.notForwarded + lossesAfter.notForwarded - lossesBefore.notForwarded,
  };
}

function present({ without, changing, change }: ChangeMeasured): CaseResult {
  const row = (name: string, value: (load: UnderLoad) => number): (string | number)[] => [
    name,
    value(without),
    value(changing),
  ];
  const times = (name: string, sorted: readonly number[]): string[] => [
    name,
    ...[0.5, 0.99, 1].map((share) => sorted[Math.ceil(share * sorted.length) - 1].toFixed(2)),
  ];
  const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
  const changesASecond = change.reloadMs.length / change.seconds;
  const isFull = changesASecond >= LEAST_SHARE_OF_CHANGES * CHANGES_A_SECOND;
  const target = (what: string, packets: number): Target => ({
    what: `${what} at ${CHANGES_A_SECOND} changes a second`,
    bound: 'at most',
    limit: 0,
    unit: 'packets',
    digits: 0,
    // One that was lost at fewer was lost.
    measured: isFull || packets > 0 ? packets : undefined,
    ...(isFull ? {} : { why: `the machine was too busy for more than ${changesASecond.toFixed(0)} a second` }),
  });
  return {
    tables: [
      {
        title: 'Packets, unchanged and while the state changes',
        says: 'Whether changes cost packets or move connections: the columns differ only in what the changes are meant to do.',
        head: ['packets', 'unchanged', 'changing'],
        rows: [
          row('sent', ({ sent }) => sent),
          row('a second', ({ sent, seconds }) => Math.round(sent / seconds)),
          row('lost', ({ lost }) => lost),
          row('of them, worker not in time to receive them', ({ notReceived }) => notReceived),
          row('of them, received and not forwarded', ({ notForwarded }) => notForwarded),
          row('at another backend than before', ({ misrouted }) => misrouted),
          row('twice or out of order', ({ again }) => again),
          row('the first that left a removed backend', ({ moved }) => moved),
        ],
      },
      {
        title: `${change.reloadMs.length.toLocaleString('en')} changes, ${changesASecond.toFixed(0)} a second`,
        says: 'How long a change takes until it is in force, while packets flow.',
        head: ['milliseconds', 'median', '99 %', 'longest'],
        rows: [
          times('a change as a whole', ascending(change.reloadMs)),
          times('of it, from the hand-over until the worker runs by it', ascending(change.handOverMs)),
        ],
      },
    ],
    charts: [],
    targets: [target('packets lost', changing.lost), target('packets misrouted', changing.misrouted)],
    notes: [
      'A change as a whole is what SIGHUP does but for reading the file: who is who, Maglev’s table, routes and next hops, hand-over.',
      'It has one core together with the worker. A worker that waits for a core longer than the receive ring has room (2,048 ' +
        'frames) is not in time, with changes or without: measure again on a machine that does nothing else.',
    ],
  };
}
