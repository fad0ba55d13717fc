/** What case `real-tcp` has measured, as tables, charts and targets. */
import type { CaseResult, Cell, Figure, ResultTable, Target } from '../case.ts';
import { figure, ratios, spread } from '../rounds.ts';
import { numberText } from '../show.ts';
import { LARGE_BYTES, type Subject, type SubjectKey } from './subjects.ts';
import type { WrkReport } from './wrk.ts';

/** What is asked for: small answers on kept connections, each on a connection of its own, large answers on kept ones. */
export type LoadName = 'requests' | 'connections' | 'transfer';

/** One subject at one load: a report a round. */
export interface Measured {
  readonly key: SubjectKey;
  readonly load: LoadName;
  readonly reports: readonly WrkReport[];
}

type Value = (report: WrkReport) => number;

const thousands: Value = ({ requests, seconds }) => requests / seconds / 1000;
const megabytes: Value = ({ bytes, seconds }) => bytes / seconds / 1e6;

const VALUE_OF: Readonly<Record<LoadName, Value>> = {
  requests: thousands,
  connections: thousands,
  transfer: megabytes,
};

const LOAD_NAMES = ['requests', 'connections', 'transfer'] as const;
const COUNTED: Readonly<Record<LoadName, string>> = {
  requests: 'requests',
  connections: 'connections',
  transfer: 'megabytes',
};

const PERCENTILES = ['p50', 'p99', 'p999'] as const;
const PERCENTILE_NAMES: Readonly<Record<(typeof PERCENTILES)[number], string>> = {
  p50: 'p50',
  p99: 'p99',
  p999: 'p99.9',
};
/** hushlb's. */
const OWN: readonly SubjectKey[] = ['hushlb', 'ipip'];
const US_A_MS = 1000;

const LARGE_KIB = LARGE_BYTES / 1024;

export function present(
  measured: readonly Measured[],
  subjects: readonly Subject[],
  missing: readonly string[],
): CaseResult {
  const valuesOf = (key: SubjectKey, load: LoadName, value = VALUE_OF[load]): number[] | undefined =>
    measured.find((each) => each.key === key && each.load === load)?.reports.map(value);
  const ratio = (over: SubjectKey, under: SubjectKey, load: LoadName, value?: Value): number[] | undefined => {
    const [a, b] = [valuesOf(over, load, value), valuesOf(under, load, value)];
    return a === undefined || b === undefined ? undefined : ratios(a, b);
  };
  const others = subjects.filter(({ key }) => !OWN.includes(key));

  const rates: ResultTable = {
    title: 'A second: requests on kept connections, connections of one request each, megabytes',
    says: 'What a client gets through each balancer; straight, without one, is what none can exceed. More is better.',
    head: ['subject', '1,000 requests', '1,000 connections', `MB, answers of ${LARGE_KIB} KiB`],
    rows: subjects.map(({ key, name }) => [
      name,
      cell(valuesOf(key, 'requests'), 1),
      cell(valuesOf(key, 'connections'), 1),
      cell(valuesOf(key, 'transfer'), 0),
    ]),
  };
  const latencies: ResultTable = {
    title: 'Latency of requests on kept connections, ms',
    says: 'How long a client waits for an answer at full load: half of the answers, 99 % and 99.9 % are there by then. Less is better.',
    head: ['subject', ...PERCENTILES.map((each) => PERCENTILE_NAMES[each])],
    rows: subjects.map(({ key, name }) => [
      name,
      ...PERCENTILES.map((each) => cell(valuesOf(key, 'requests', inMs(each)), 2)),
    ]),
  };
  const compared: ResultTable = {
    title: 'hushlb run, L2, over the others, round by round',
    says: 'By how much hushlb is ahead; below 1 the other one is.',
    head: ['over', 'requests', 'connections', 'megabytes'],
    rows: others.map(({ key, name }) => [
      name,
      cell(ratio('hushlb', key, 'requests'), 2),
      cell(ratio('hushlb', key, 'connections'), 2),
      cell(ratio('hushlb', key, 'transfer'), 2),
    ]),
  };

  const target = (limits: Pick<Target, 'what' | 'bound' | 'limit'>, values: readonly number[] | undefined): Target => ({
    ...limits,
    unit: 'times',
    digits: 2,
    measured: values === undefined ? undefined : spread(values).median,
    ...(values === undefined ? { why: 'a program is missing, see the notes' } : {}),
  });
  const atLeast = (what: string, limit: number, under: SubjectKey, load: LoadName): Target =>
    target({ what: `${what}, real TCP`, bound: 'at least', limit }, ratio('hushlb', under, load));

  return {
    tables: subjects.length === 0 ? [] : [rates, compared, latencies],
    charts: subjects.length === 0 ? [] : charts(subjects, valuesOf),
    targets: [
      atLeast('requests over HAProxy', 1.8, 'haproxy', 'requests'),
      atLeast('requests over nginx stream', 1, 'nginx', 'requests'),
      atLeast('requests over nftables DNAT', 1.1, 'nft', 'requests'),
      atLeast('requests over straight', 0.75, 'straight', 'requests'),
      target(
        { what: 'p99 over HAProxy’s, real TCP', bound: 'at most', limit: 1 },
        ratio('hushlb', 'haproxy', 'requests', inMs('p99')),
      ),
      atLeast('new connections over HAProxy', 1, 'haproxy', 'connections'),
      atLeast('new connections over nginx stream', 1, 'nginx', 'connections'),
    ],
    notes: [...missing, ...failures(measured, subjects), ...whoIsAhead(others, ratio), ...limits(ratio), ...READING],
  };
}

const READING: readonly string[] = [
  'hushlb is compared with direct server return in layer 2, the faster of its two ways; in tunnels (IPIP) an XDP program on the ' +
    'backends takes the outer header off. Answers pass by it in both. nftables and the proxies have the answers come back through them, ' +
    'which is what they are for, and see both directions.',
  'nginx, HAProxy and hushlb have one process or thread each, wrk one thread. None is pinned to a core. HAProxy by itself would start a ' +
    'thread for each core; with two it was about 8 % faster here.',
  'Balancers and backends have the offloads that the kernel gives them; router and client send frames as a wire would carry them, for ' +
    'all subjects.',
  'The load is closed: a connection waits for its answer before it asks again, so who answers faster is asked more. Latency is that of ' +
    'full cores, and its far percentiles are the scheduler’s. They are as wrk tells them: it adds the requests that a waiting ' +
    'connection would have sent meanwhile, and of a faster subject it adds more.',
];

const LIST = new Intl.ListFormat('en-GB');

type RatioOf = (over: SubjectKey, under: SubjectKey, load: LoadName) => number[] | undefined;

/** In what the others are ahead of hushlb, by the medians. */
function whoIsAhead(others: readonly Subject[], ratio: RatioOf): string[] {
  const ahead = others.flatMap(({ key, name }) => {
    const loads = LOAD_NAMES.filter((load) => spread(ratio('hushlb', key, load) ?? [1]).median < 1);
    return loads.length === 0 ? [] : [`${name} in ${LIST.format(loads.map((load) => COUNTED[load]))}`];
  });
  return ahead.length === 0 ? [] : [`Ahead of hushlb here: ${ahead.join('; ')}.`];
}

/** What no balancer could be better than. */
function limits(ratio: RatioOf): string[] {
  const values = ratio('straight', 'haproxy', 'requests');
  if (values === undefined) return [];
  return [
    `Straight has ${numberText(spread(values).median, 2)} times the requests of HAProxy: no balancer could have more.`,
  ];
}

type ValuesOf = (key: SubjectKey, load: LoadName, value?: Value) => number[] | undefined;

function charts(subjects: readonly Subject[], valuesOf: ValuesOf): CaseResult['charts'] {
  const categories = subjects.map(({ name }) => name);
  const median = (key: SubjectKey, digits: number, load: LoadName, value?: Value): number | null => {
    const values = valuesOf(key, load, value);
    return values === undefined ? null : Number(spread(values).median.toFixed(digits));
  };
  return [
    {
      name: 'real-tcp',
      title: 'HTTP requests a second on 64 kept connections',
      kind: 'bars',
      unit: '1,000 requests a second: more is better (blue: hushlb)',
      categoryName: '',
      categories,
      own: subjects.filter(({ key }) => OWN.includes(key)).map(({ name }) => name),
      digits: 1,
      series: [{ name: 'requests', values: subjects.map(({ key }) => median(key, 1, 'requests')) }],
    },
    {
      name: 'real-tcp-latency',
      title: 'Latency of HTTP requests on 64 kept connections, all cores busy',
      kind: 'bars',
      // Bars of a logarithmic axis begin at 1, and all values have to lie on the same side of it.
      unit: 'µs: less is better',
      categoryName: '',
      categories,
      series: PERCENTILES.map((each) => ({
        name: PERCENTILE_NAMES[each],
        values: subjects.map(({ key }) => median(key, 0, 'requests', (report) => report[each])),
      })),
      logarithmic: true,
    },
  ];
}

function inMs(percentile: (typeof PERCENTILES)[number]): Value {
  return (report) => report[percentile] / US_A_MS;
}

function cell(values: readonly number[] | undefined, digits: number): Cell | Figure {
  return values === undefined ? null : figure(values, digits);
}

/** Requests and connections that failed, which there should be none of. */
function failures(measured: readonly Measured[], subjects: readonly Subject[]): string[] {
  return subjects.flatMap(({ key, name }) => {
    const reports = measured.filter((each) => each.key === key).flatMap(({ reports }) => reports);
    const sum = (value: Value): number => reports.reduce((total, report) => total + value(report), 0);
    const failed = sum((report) => report.failed);
    if (failed === 0) return [];
    const asked = failed + sum(({ requests }) => requests);
    return [`${name}: ${failed.toLocaleString('en')} of ${asked.toLocaleString('en')} requests failed.`];
  });
}
