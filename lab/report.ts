/**
 * What people read: one scenario's story, ladder, outcome and promise, and at the end a table of them all. Text from
 * lab/findings.ts's results; the caller says how wide it may be and whether colours are welcome.
 */
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import { type Connection, OUTCOMES, type Outcome } from './connections.ts';
import { drawLadder, hostLabel, type Paint, type Style, wrap } from './draw.ts';
import { type RunResult, type Scenario, tally } from './scenarios.ts';

export interface Look {
  readonly width: number;
  readonly paint: Paint;
}

const OUTCOME_LABELS: Record<Outcome, string> = {
  kept: 'kept',
  'reset-by-backend': 'reset by a backend',
  'reset-by-balancer': 'reset by the balancer',
  'reset-by-unknown': 'reset, sender not seen',
  hung: 'hung',
  error: 'other error',
};
/** Rows that are shown only where there is something to show. */
const RARE: readonly Outcome[] = ['reset-by-unknown', 'error'];
const WIDEST_BAR = 30;
const WIDEST = 100;

/** What stands above a scenario's result, and can be printed before it runs. */
export function describeScenario(scenario: Scenario, scale: string, look: Look): string[] {
  const { name, story, balancer, clientIdleMs } = scenario;
  const width = Math.min(look.width, WIDEST);
  const rule = '─'.repeat(Math.max(0, width - name.length - 4));
  const settings =
    `Balancer: mode ${balancer.mode}, scheduler ${balancer.scheduler}, idleTimeout ${balancer.idleTimeoutMs / 1000} s. ` +
    `Client: silent for ${clientIdleMs / 1000} s. ${scale}.`;
  return [
    `${look.paint('dim', '──')} ${look.paint('strong', name)} ${look.paint('dim', rule)}`,
    ...wrap(story, width),
    ...wrap(settings, width).map((line) => look.paint('dim', line)),
  ];
}

export function describeResult(result: RunResult, look: Look): string[] {
  return [
    ...storyOfOne(result, look),
    '',
    ...outcomes(result, look),
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
    ...wrap([...footnotes(ladder), ...evidence(shown)].join(' '), usable).map((line) => paint('dim', line)),
  ];
}

function footnotes(ladder: NonNullable<RunResult['ladder']>): string[] {
  const [client, balancer] = ladder.columns;
  const answersBypass = ladder.rows.some(
    (row) => row.kind === 'packet' && row.hops.some(({ from, to }) => to === client && from !== balancer),
  );
  return [
    ...(answersBypass ? ['Backends answer the client directly, past the balancer (DSR).'] : []),
    ...(ladder.bareAcksLeftOut > 0 ? [`${ladder.bareAcksLeftOut} bare ACKs are not drawn.`] : []),
  ];
}

function evidence(connection: Connection | undefined): string[] {
  if (connection?.reset == null) return [];
  const { sent, arrived } = connection.reset;
  const delayUs = Math.round((arrived.timeMs - sent.timeMs) * 1000);
  const sender = sent.host === 'lb' ? 'the balancer' : hostLabel(sent.host);
  return [`The RST with sequence number ${sent.sequence} left ${sender} ${delayUs} µs before it reached the client.`];
}

function outcomes(result: RunResult, { width, paint }: Look): string[] {
  const total = result.connections.length;
  const shown = OUTCOMES.filter((outcome) => !RARE.includes(outcome) || tally(result, outcome) > 0);
  const labelWidth = Math.max(...shown.map((outcome) => OUTCOME_LABELS[outcome].length));
  const barWidth = Math.max(0, Math.min(WIDEST_BAR, width - labelWidth - 20));
  return [
    `${total} connections`,
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

function balancerLines({ balancer }: RunResult, { width, paint }: Look): string[] {
  const resets = `RSTs sent by the balancer: ${balancer.resetsCaptured} captured, ${balancer.resetsCounted} by its own count`;
  const table =
    `its table: ${balancer.entriesAtPeak} entries at most, ${balancer.expired} expired, ` +
    `${balancer.synMisses} SYN misses, ${balancer.nonSynMisses} non-SYN misses`;
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

/** One row a scenario; as lines where the terminal is too narrow for a table. */
export function summarise(results: readonly RunResult[], { width, paint }: Look): string[] {
  const rows = results.map((result) => ({
    scenario: result.scenario,
    kept: `${tally(result, 'kept')} of ${result.connections.length}`,
    byBackend: String(tally(result, 'reset-by-backend')),
    byBalancer: String(tally(result, 'reset-by-balancer')),
    hung: String(tally(result, 'hung')),
    resets: String(result.balancer.resetsCaptured),
    promise: result.promise.held ? paint('good', 'held') : paint('bad', 'broken'),
  }));
  const head = ['scenario', 'kept', 'reset by\na backend', 'reset by\nbalancer', 'hung', 'balancer\nRSTs', 'promise'];
  const table = new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
  });
  table.push(...rows.map((row) => Object.values(row)));
  const lines = table.toString().split('\n');
  if (stripVTControlCharacters(lines[0]).length <= width) return lines;
  return results.flatMap((result, i) => {
    const counts = OUTCOMES.filter((outcome) => tally(result, outcome) > 0).map(
      (outcome) => `${tally(result, outcome)} ${OUTCOME_LABELS[outcome]}`,
    );
    return wrap(`${result.scenario}: ${counts.join(', ')}, promise ${rows[i].promise}`, width);
  });
}
