/** Tables, chart and targets of case `stateful-stateless`, from what it measured. */
import type { CaseResult, Cell, Target } from '../case.ts';
import { figure } from '../rounds.ts';
import { type EventKey, FLOODS, type Outcome, type StateEvent } from './events.ts';
import type { StateResult } from './measure.ts';
import type { SubjectKey } from './subject.ts';

const ALL: readonly SubjectKey[] = ['stateless', 'no-table', 'stateful', 'nat'];
const NAMES: Readonly<Record<SubjectKey, string>> = {
  stateless: 'stateless',
  'no-table': 'no table',
  stateful: 'stateful',
  nat: 'nftables NAT',
};
const CHART_NAMES: Readonly<Record<SubjectKey, string>> = {
  ...NAMES,
  stateless: 'hushlb, stateless',
  'no-table': 'hushlb, stateless, no table',
  stateful: 'hushlb, stateful',
};
/** Of the target: so many connections are to outlive the flood. */
const SURVIVORS = 1000;
const FLOOD_OF_TARGET = 1_000_000;
const MIB = 2 ** 20;

export function presentState(result: StateResult): CaseResult {
  const { events, outcomes, plan, keys, mpps } = result;
  const of = (event: EventKey, subject: SubjectKey): Outcome | undefined =>
    outcomes.find((each) => each.event === event && each.subject === subject);
  const perSubject = (cell: (key: SubjectKey) => Cell): Cell[] =>
    ALL.map((key) => (keys.includes(key) ? cell(key) : null));
  const flooded = (key: SubjectKey, number: (outcome: Outcome) => Cell, event: EventKey = 'flood'): Cell => {
    const outcome = of(event, key);
    return outcome === undefined ? null : number(outcome);
  };
  const survived = ({ connections, lost }: Outcome): Cell => connections - lost;
  return {
    tables: [
      {
        title: 'Connections lost',
        says: 'Who loses open connections when something happens to the balancer: lost are those without an answer to the next request.',
        head: ['event', ...ALL.map((key) => NAMES[key])],
        rows: [
          ...events.flatMap(({ key, name }) => {
            const row = [name, ...perSubject((subject) => lostText(of(key, subject)))];
            if (key !== 'removed') return [row];
            return [row, ['  its own connections', ...perSubject((subject) => lostText(of(key, subject)?.removed))]];
          }),
          ['RSTs that it sent, in all', ...perSubject((key) => resetsOf(outcomes, key))],
        ],
      },
      {
        title: `Under the flood, ${plan.flood.connections.toLocaleString('en')} connections open`,
        says: 'Whether open connections outlive a flood of SYNs, and what it does to the table.',
        head: ['', ...ALL.map((key) => NAMES[key])],
        rows: [
          ['connections that survived', ...perSubject((key) => flooded(key, survived))],
          ['  a backend added meanwhile', ...perSubject((key) => flooded(key, survived, 'flood-added'))],
          ['spoofed SYNs taken in', ...perSubject((key) => flooded(key, ({ counts }) => counts.syns))],
          ['connections in its table afterwards', ...perSubject((key) => flooded(key, ({ counts }) => counts.entries))],
          [
            'connections pushed out of it',
            ...perSubject((key) => (key === 'nat' ? null : flooded(key, ({ counts }) => counts.evicted))),
          ],
          ['seconds', ...perSubject((key) => flooded(key, ({ seconds }) => seconds.toFixed(1)))],
        ],
      },
      {
        title: 'Throughput, and memory after the flood',
        says: 'What remembering connections costs in packets a second (more is better) and in memory.',
        head: [
          'balancer',
          `Mpps, 64 bytes, ${plan.throughput.flows.toLocaleString('en')} flows`,
          'MiB of its table',
          'MiB resident',
        ],
        rows: keys.map((key, i) => [
          NAMES[key],
          mpps === undefined ? null : figure(mpps[i], 3),
          flooded(key, ({ memory }) => mib(memory.table)),
          flooded(key, ({ memory }) => (memory.resident === undefined ? 'in the kernel' : mib(memory.resident))),
        ]),
      },
    ],
    charts: [
      {
        name: 'stateful-stateless',
        title: `Connections lost when something happens to the balancer: percent of ${connectionsText(result)}`,
        kind: 'bars',
        unit: '% of open connections that got no answer when they were used again: less is better',
        categoryName: '',
        categories: events.map(({ name }) => name),
        series: keys.map((key) => ({
          name: CHART_NAMES[key],
          values: events.map((event) => percentLost(of(event.key, key))),
        })),
      },
    ],
    targets: targetsOf(result, of),
    notes: notesOf(result),
  };
}

function lostText(outcome: { readonly connections: number; readonly lost: number } | undefined): Cell {
  if (outcome === undefined) return null;
  return `${outcome.lost.toLocaleString('en')} of ${outcome.connections.toLocaleString('en')}`;
}

function percentLost(outcome: Outcome | undefined): number | null {
  if (outcome === undefined || outcome.connections === 0) return null;
  return Math.round((outcome.lost / outcome.connections) * 1000) / 10;
}

function resetsOf(outcomes: readonly Outcome[], subject: SubjectKey): Cell {
  const counted = outcomes.filter((each) => each.subject === subject).map(({ counts }) => counts.resets);
  return counted.reduce<number | null>(
    (sum, resets) => (resets === undefined || sum === null ? null : sum + resets),
    0,
  );
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}

function connectionsText({ plan }: StateResult): string {
  const [some, flooded] = [plan.connections, plan.flood.connections].map((number) => number.toLocaleString('en'));
  return some === flooded ? some : `${some} (flood: ${flooded})`;
}

function targetsOf(
  { events, plan, leftOut }: StateResult,
  of: (event: EventKey, subject: SubjectKey) => Outcome | undefined,
): Target[] {
  const lost = ({ key, name }: StateEvent): Target => {
    const outcome = of(key, 'stateless');
    return {
      what: `stateless, ${name}`,
      bound: 'at most',
      limit: 0,
      unit: 'lost',
      digits: 0,
      measured: outcome?.connections === 0 ? undefined : outcome?.lost,
    };
  };
  const kept = (event: EventKey, what: string): Target => {
    const survivors = of(event, 'stateless');
    const whole = plan.flood.connections === SURVIVORS && (survivors?.counts.syns ?? 0) >= FLOOD_OF_TARGET;
    return {
      what,
      bound: 'at least',
      limit: SURVIVORS,
      unit: 'kept',
      digits: 0,
      measured: whole && survivors !== undefined ? survivors.connections - survivors.lost : undefined,
      ...(whole ? {} : { why: 'the flood was shorter, see its table' }),
    };
  };
  return [
    ...[...events, ...leftOut].filter(({ key }) => !FLOODS.includes(key)).map(lost),
    kept('flood', 'stateless, flood of 1M SYNs, 1,000 open'),
    kept('flood-added', 'stateless, the same and a backend added'),
  ];
}

function notesOf({ keys, leftOut, plan, natCapacity, mpps, outcomes }: StateResult): string[] {
  const short = outcomes.filter(({ event, counts }) => FLOODS.includes(event) && counts.syns < plan.flood.syns);
  return [
    ...(keys.includes('nat') ? [] : ['nftables NAT was left out: no nft (Debian: `apt-get install nftables`).']),
    ...(leftOut.length > 0 ? [`Time was short; left out: ${leftOut.map(({ name }) => name).join(', ')}.`] : []),
    ...(mpps === undefined ? ['Time was short; throughput was left out.'] : []),
    ...short.map(
      ({ event, subject, counts, seconds }) =>
        `${NAMES[subject]} took in ${counts.syns.toLocaleString('en')} SYNs in ${seconds.toFixed(1)} s; there ${event === 'flood' ? 'the flood' : 'the one with a backend added'} was ended.`,
    ),
    'Stateful is `mode: stateful`: only a SYN opens an entry, any other packet of an unknown connection is answered with RST. ' +
      'Failed over: the balancer is killed, and the route to the VIP leads to a second one, which has seen none of the ' +
      'connections. Restarted: killed and started again; of nftables: its connections flushed.',
    'Where a backend is removed, connections of those that stay are counted; its own are in the row below. nf_conntrack goes on ' +
      'sending to a backend that is in no rule any more.',
    'Under the flood hushlb’s stateful table keeps its connections too: an entry that a second packet has proven is not pushed ' +
      'out by SYNs until it was silent for half of its idle timeout, here 30 s. The second flood finds hushlb’s tables full of the first; ' +
      'nf_conntrack, which takes nobody in while it is full, is emptied before each. The backend comes when half of the SYNs have ' +
      'arrived: SIGHUP with another configuration, `nft -f` with other rules.',
    `hushlb’s tables have room for ${plan.capacity.toLocaleString('en')} connections; nf_conntrack_max, which only the whole machine ` +
      `has, is ${natCapacity?.toLocaleString('en') ?? 'unknown'}. nf_conntrack is loose (tcp_loose = 1, the default), picks the ` +
      'backend by a hash with a fixed seed and masquerades: after a failover the backends see another address.',
    'Throughput is of SYN-opened flows at overload, through a bridge to a sink; all four in turn. MiB of nf_conntrack’s table: ' +
      'its entries and buckets, without extensions.',
  ];
}
