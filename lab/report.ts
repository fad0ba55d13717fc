/**
 * What people read: one scenario's story, ladder, outcome and promise, and at the end a table of them all. Text from
 * lab/findings.ts's results; the caller says how wide it may be and whether colours are welcome.
 */
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import { newcomersOf, type Prediction, percentText, predictionsOf } from './change.ts';
import { tally } from './claims.ts';
import { type Connection, OUTCOMES, type Outcome } from './connections.ts';
import { drawLadder, hostLabel, type Paint, type Style, wrap } from './draw.ts';
import { type Scenario, silenceMs, titleOf } from './scenario.ts';
import type { RunResult } from './scenarios.ts';

export interface Look {
  readonly width: number;
  readonly paint: Paint;
}

export const OUTCOME_LABELS: Readonly<Record<Outcome, string>> = {
  kept: 'kept',
  'reset-by-backend': 'reset by a backend',
  'reset-by-balancer': 'reset by the balancer',
  'reset-by-unknown': 'reset, sender not seen',
  'closed-by-server': 'closed by the server',
  'closed-by-balancer': 'closed by the balancer',
  'bad-gateway': 'answered with 502',
  hung: 'hung',
  error: 'other error',
};
/** Rows that are shown only where there is something to show. */
const RARE: readonly Outcome[] = ['reset-by-unknown', 'closed-by-server', 'closed-by-balancer', 'bad-gateway', 'error'];
const WIDEST_BAR = 30;
const WIDEST = 100;

/** What stands above a scenario's result, and can be printed before it runs. */
export function describeScenario(scenario: Scenario, scale: string, look: Look): string[] {
  const title = titleOf(scenario);
  const width = Math.min(look.width, WIDEST);
  const rule = '─'.repeat(Math.max(0, width - title.length - 4));
  const settings = `${[balancerSettings(scenario), timeouts(scenario), scale].filter((text) => text !== '').join('. ')}.`;
  return [
    `${look.paint('dim', '──')} ${look.paint('strong', title)} ${look.paint('dim', rule)}`,
    ...wrap(scenario.story, width),
    ...wrap(settings, width).map((line) => look.paint('dim', line)),
  ];
}

function balancerSettings({ balancer, proxy }: Scenario): string {
  if (balancer !== null) {
    const table = balancer.conntrack === false ? ', without a connection table' : '';
    const encap = balancer.encap === undefined ? '' : `, encap ${balancer.encap}`;
    return `Balancer: mode ${balancer.mode}, scheduler ${balancer.scheduler}${encap}${table}`;
  }
  return proxy === undefined ? '' : `Balancer: ${proxy === 'nginx' ? 'nginx' : 'HAProxy'}, in layer 7`;
}

function timeouts(scenario: Scenario): string {
  const seconds = (milliseconds: number): string => `${milliseconds / 1000} s`;
  const { client, balancer, server } = scenario.timeouts;
  const hasBalancer = scenario.balancer !== null || scenario.proxy !== undefined;
  const idle = `Idle timeouts: client ${seconds(client)}${hasBalancer ? `, balancer ${seconds(balancer)}` : ''}, server ${seconds(server)}`;
  return scenario.plot.kind === 'idle'
    ? `${idle}; the client is silent for ${seconds(silenceMs(scenario.timeouts))}`
    : idle;
}

export function describeResult(result: RunResult, look: Look): string[] {
  return [
    ...storyOfOne(result, look),
    '',
    ...outcomes(result, look),
    ...clientLines(result, look),
    ...changeLines(result, look),
    ...balancerLines(result, look),
    '',
    ...promise(result, look),
  ];
}

function storyOfOne({ ladder, connections }: RunResult, { width, paint }: Look): string[] {
  if (ladder === null) return [];
  const shown = connections.find(({ clientPort }) => clientPort === ladder.clientPort);
  const usable = Math.min(width, WIDEST);
  return [
    '',
    ...wrap(`One of ${connections.length}, from client port ${ladder.clientPort}, as captured at each host:`, usable),
    '',
    ...drawLadder(ladder, usable, paint),
    '',
    ...wrap([...footnotes(ladder), ...evidenceOf(shown)].join(' '), usable).map((line) => paint('dim', line)),
  ];
}

export function footnotes(ladder: NonNullable<RunResult['ladder']>): string[] {
  const [client] = ladder.columns;
  const answersBypass = ladder.rows.some(
    (row) =>
      ladder.columns.includes('lb') &&
      row.kind === 'packet' &&
      row.hops.some(({ from, to }) => to === client && !from.startsWith('lb')),
  );
  return [
    ...(answersBypass ? ['Backends answer the client directly, past the balancer (DSR).'] : []),
    ...(ladder.dataLeftOut > 0 ? [`${ladder.dataLeftOut} of many data packets are not drawn.`] : []),
    ...(ladder.bareAcksLeftOut > 0 ? [`${ladder.bareAcksLeftOut} bare ACKs are not drawn.`] : []),
  ];
}

export function evidenceOf(connection: Connection | undefined): string[] {
  if (connection?.reset == null) return [];
  const { sent, arrived } = connection.reset;
  const delayUs = Math.round((arrived.timeMs - sent.timeMs) * 1000);
  const sender = sent.host.startsWith('lb') ? `the ${hostLabel(sent.host)}` : hostLabel(sent.host);
  return [`The RST with sequence number ${sent.sequence} left ${sender} ${delayUs} µs before it reached the client.`];
}

function outcomes(result: RunResult, { width, paint }: Look): string[] {
  const total = result.connections.length;
  const what = result.requests > 0 ? 'sessions' : 'connections';
  const shown = OUTCOMES.filter((outcome) => !RARE.includes(outcome) || tally(result, outcome) > 0);
  const labelWidth = Math.max(...shown.map((outcome) => OUTCOME_LABELS[outcome].length));
  const barWidth = Math.max(0, Math.min(WIDEST_BAR, width - labelWidth - 20));
  return [
    `${total} ${what}`,
    ...shown.map((outcome) => {
      const count = tally(result, outcome);
      const share = total === 0 ? 0 : count / total;
      const bar = '█'.repeat(count > 0 ? Math.max(1, Math.round(share * barWidth)) : 0);
      const style: Style = outcome === 'kept' ? 'good' : 'bad';
      const percent = count === 0 ? '' : `${Math.round(share * 100)} %`;
      const figures = `  ${OUTCOME_LABELS[outcome].padEnd(labelWidth)} ${String(count).padStart(5)} ${percent.padStart(6)}  `;
      return `${figures}${bar === '' ? '' : paint(style, bar)}`.trimEnd();
    }),
  ];
}

function clientLines({ requests, sentTooLate, attemptGapsMs }: RunResult, { width }: Look): string[] {
  const sessions = `${requests} requests in all, ${sentTooLate} came to a server that had just closed the connection`;
  const attempts = `waits before the request is sent again: ${attemptGapsMs.map((wait) => `${wait} ms`).join(', ')}`;
  return [...(requests > 0 ? [sessions] : []), ...(attemptGapsMs.length > 0 ? [attempts] : [])].flatMap((text) =>
    wrap(text, width - 2).map((line) => `  ${line}`),
  );
}

/** What the lookup tables predicted, beside what came of it. */
function changeLines(result: RunResult, { width }: Look): string[] {
  const withTable = result.balancer?.conntrack !== false;
  const line = (what: string, { predicted, byTables, broken, connections }: Prediction): string => {
    const otherwise = predicted === byTables ? '' : ` (${percentText(byTables)} without a table)`;
    const seen =
      connections === 0 ? 'none there' : `${percentText(broken / connections)} (${broken} of ${connections})`;
    return `${what}: predicted ${percentText(predicted)}${otherwise}, seen ${seen}`;
  };
  const newcomers = newcomersOf(result);
  return [
    ...predictionsOf(result, withTable).map((prediction) =>
      line(prediction.of === null ? 'broken' : `broken of ${prediction.of}`, prediction),
    ),
    ...(newcomers === undefined ? [] : [line(`new connections at ${newcomers.of}`, newcomers)]),
  ].flatMap((text) => wrap(text, width - 4).map((each, i) => `${i === 0 ? '  ' : '    '}${each}`));
}

function balancerLines({ balancer }: RunResult, { width, paint }: Look): string[] {
  if (balancer === null) return [];
  const resets = `RSTs sent by the balancer: ${balancer.resetsCaptured} captured, ${balancer.resetsCounted} by its own count`;
  const filled =
    `its table: ${balancer.entriesAtPeak} entries at most, ${balancer.expired} expired, ` +
    `${balancer.synMisses} SYN misses, ${balancer.nonSynMisses} non-SYN misses`;
  const table = balancer.conntrack === false ? 'it has no table' : filled;
  const style: Style = balancer.resetsCaptured > 0 ? 'bad' : 'plain';
  return [
    ...wrap(resets, width - 2).map((line) => `  ${style === 'plain' ? line : paint(style, line)}`),
    ...wrap(table, width - 2).map((line) => `  ${line}`),
  ];
}

function promise({ promise: { held, claims } }: RunResult, { width, paint }: Look): string[] {
  const lines = claims.flatMap((claim) => {
    const text = claim.held ? claim.promised : `${claim.promised}; seen: ${claim.seen}`;
    const style: Style = claim.held ? 'good' : 'bad';
    return wrap(text, width - 4).map((line, i) =>
      i === 0 ? `  ${paint(style, claim.held ? '✓' : '✕')} ${claim.held ? line : paint('bad', line)}` : `    ${line}`,
    );
  });
  return [held ? paint('good', 'Promise held:') : paint('bad', 'Promise broken:'), ...lines];
}

/**
 * One row a scenario. Where the terminal is too narrow for that, without the columns that say nothing but 0, and where that
 * is not enough, as lines.
 */
export function summarise(results: readonly RunResult[], { width, paint }: Look): string[] {
  const rows = results.map((result, i) => ({
    scenario: shortTitle(result, results[i - 1]),
    kept: `${tally(result, 'kept')} of ${result.connections.length}`,
    byBackend: String(tally(result, 'reset-by-backend')),
    byBalancer: String(tally(result, 'reset-by-balancer')),
    hung: String(tally(result, 'hung')),
    closed: String(closedOr502(result)),
    resets: result.balancer === null ? '' : String(result.balancer.resetsCaptured),
    promise: result.promise.held ? paint('good', 'held') : paint('bad', 'broken'),
  }));
  const head: Partial<Record<keyof (typeof rows)[number], string>> = {
    scenario: 'scenario',
    kept: 'kept',
    byBackend: 'reset by\na backend',
    byBalancer: 'reset by\nbalancer',
    hung: 'hung',
    ...(results.some((result) => closedOr502(result) > 0) ? { closed: 'closed\nor 502' } : {}),
    resets: 'balancer\nRSTs',
    promise: 'promise',
  };
  const all = Object.keys(head) as (keyof typeof head)[];
  const telling = all.filter((column) => rows.some((row) => row[column] !== '0' && row[column] !== ''));
  for (const columns of [all, telling]) {
    const table = new Table({
      head: columns.map((column) => head[column] ?? ''),
      style: { head: [], border: [], compact: true },
      colAligns: columns.map((column) => (column === 'scenario' || column === 'promise' ? 'left' : 'right')),
    });
    table.push(...rows.map((row) => columns.map((column) => row[column])));
    const lines = table.toString().split('\n');
    if (stripVTControlCharacters(lines[0]).length <= width) return lines;
  }
  return results.flatMap((result, i) => {
    const counts = OUTCOMES.filter((outcome) => tally(result, outcome) > 0).map(
      (outcome) => `${tally(result, outcome)} ${OUTCOME_LABELS[outcome]}`,
    );
    return wrap(
      `${titleOf({ name: result.scenario, variant: result.variant })}: ${counts.join(', ')}, promise ${rows[i].promise}`,
      width,
    );
  });
}

/** Below a run of the same scenario, only what sets it apart. */
function shortTitle({ scenario, variant }: RunResult, above: RunResult | undefined): string {
  return variant !== null && above?.scenario === scenario ? `  ${variant}` : titleOf({ name: scenario, variant });
}

function closedOr502(result: RunResult): number {
  return (['closed-by-server', 'closed-by-balancer', 'bad-gateway'] as const)
    .map((outcome) => tally(result, outcome))
    .reduce((sum, count) => sum + count, 0);
}
