/**
 * A simulation for people: what was asked, what became of the connections, the story of one, why, and what to change; and
 * the matrix as a table. `hushlb simulate` prints these, `jsonOf` is what it prints for programs.
 */
import { causesOf } from './advice.ts';
import { formatDuration, formatTime } from './duration.ts';
import { type MatrixRow, ORDERINGS } from './matrix.ts';
import { OUTCOMES, type Outcome } from './programs.ts';
import type { MomentKind, SimulationResult } from './run.ts';
import { changedBackend } from './settings.ts';
import type { Tale } from './story.ts';

const OUTCOME_TEXT: Record<Outcome, string> = {
  kept: 'kept',
  'reset-by-backend': 'reset by a backend',
  'reset-by-balancer': 'reset by the balancer',
  hung: 'hung',
  raced: "lost in a race with the server's FIN",
  'closed-by-server': 'closed by the server in time, and opened again',
};

const MOMENT_TEXT: Record<MomentKind, string> = {
  last: '',
  probed: ', beginning right after a keepalive probe',
  race: ', as the server closes',
  late: ', after the server has closed',
};

export function reportText(result: SimulationResult, width: number): string {
  const { moments, connections, shown, story } = result;
  const [first] = story;
  const lines = [
    ...wrapped(settingsText(result), '', width),
    '',
    ...moments.flatMap(({ kind, pauseMs, outcomes }) =>
      OUTCOMES.flatMap((outcome) => {
        const count = outcomes[outcome];
        if (count === undefined) return [];
        const when = `idle for ${formatDuration(pauseMs)}${MOMENT_TEXT[kind]}`;
        return wrapped(
          `${when}: ${count} of ${connections.length / moments.length} ${OUTCOME_TEXT[outcome]}`,
          '',
          width,
        );
      }),
    ),
    '',
    `The story of connection ${shown}:`,
    ...story.flatMap((tale) => taleLines(withItsEnd(tale, result), first.timeMs, width)),
    '',
    ...causesOf(result).flatMap(({ why, remedies }) => [
      ...wrapped(`Why: ${why}`, '', width),
      ...remedies.flatMap((remedy, i) => wrapped(`${i === 0 ? 'Cure:' : '  or:'} ${remedy}`, '      ', width)),
    ]),
    '',
    result.lives ? 'Connections live.' : 'Connections break.',
  ];
  return `${lines.join('\n')}\n`;
}

/** Where a half-open socket is never let go of, its tale says so. */
function withItsEnd(tale: Tale, { connections, shown }: SimulationResult): Tale {
  const ends = connections[shown].halfOpen.find(({ backend }) => backend === tale.who)?.untilMs ?? null;
  return tale.kind === 'half-open' && ends === null ? { ...tale, text: `${tale.text}, for ever` } : tale;
}

function settingsText({ settings, behaviour }: SimulationResult): string {
  const { profile, mode, scheduler, conntrack, clientIdleMs, serverIdleMs, backends } = settings;
  const { idleTimeoutMs, onExpiry, onMiss } = behaviour;
  const name = profile ?? (scheduler === 'round-robin' ? scheduler : mode);
  const table = conntrack ? `idle timeout ${formatDuration(idleTimeoutMs)}, ${onExpiry} at expiry` : 'no table';
  const parts = [
    `client: idle timeout ${formatDuration(clientIdleMs)}${keepaliveText(settings.clientKeepaliveMs, settings)}`,
    `balancer ${name}: ${table}, on a miss ${onMiss}`,
    `${backends} ${backends === 1 ? 'server' : 'servers'}: ${serverIdleMs === null ? 'no idle timeout' : `idle timeout ${formatDuration(serverIdleMs)}`}${keepaliveText(settings.serverKeepaliveMs, settings)}`,
    ...(settings.change === undefined ? [] : [`${changedBackend(settings)} is ${settings.change} half-way`]),
  ];
  return parts.join('; ');
}

function keepaliveText(ms: number | null, { keepaliveIntervalMs }: SimulationResult['settings']): string {
  if (ms === null) return '';
  const then = keepaliveIntervalMs > ms ? `, then every ${formatDuration(keepaliveIntervalMs)}` : '';
  return `, keepalive after ${formatDuration(ms)}${then}`;
}

const TIME_WIDTH = 9;
const WHO_WIDTH = 10;

function taleLines({ timeMs, untilMs, times, who, text }: Tale, startMs: number, width: number): string[] {
  const head = `${formatTime(timeMs - startMs).padStart(TIME_WIDTH)}  ${who.padEnd(WHO_WIDTH)}`;
  const again = times === 1 ? '' : ` (${times} times, until ${formatTime(untilMs - startMs)})`;
  return wrapped(`${head}${text}${again}`, ' '.repeat(head.length), width);
}

/** Lines of at most `width` characters, broken between words; all but the first are indented. */
function wrapped(text: string, indent: string, width: number): string[] {
  if (text.length <= width) return [text];
  const breakAt = text.lastIndexOf(' ', width);
  // A word longer than the line stays whole.
  if (breakAt <= indent.length) return [text];
  return [text.slice(0, breakAt), ...wrapped(indent + text.slice(breakAt + 1), indent, width)];
}

const CELL_TEXT: Record<Outcome, string> = {
  kept: 'kept',
  'reset-by-backend': 'RST srv',
  'reset-by-balancer': 'RST lb',
  hung: 'hung',
  raced: 'race',
  'closed-by-server': 'closed',
};

const NAME_WIDTH = 20;
const IDLE_WIDTH = 7;
const CELL_WIDTH = 8;

const MATRIX_WIDTH = NAME_WIDTH + IDLE_WIDTH + ORDERINGS.length * CELL_WIDTH;
/** A cell behind the name of its column, where columns have no room side by side. */
const NAMED_CELL_WIDTH = 15;

const LEGEND =
  "idle: the balancer's idle timeout. c<b<s: the client's is shorter than the balancer's, and that shorter than the " +
  "server's. The worst of what can happen: RST lb, reset by the balancer; RST srv, by a server that never saw the " +
  "connection; hung, dropped; race, lost if it meets the server's FIN, with any balancer or none: the client must give " +
  'up idle connections before the server.';

/** A line a row; on narrow terminals a few lines, each cell with the name of its column. */
export function matrixText(rows: readonly MatrixRow[], width: number): string {
  const heads = ORDERINGS.map((ordering) => ordering.map((side) => side[0]).join('<'));
  const lines = width > MATRIX_WIDTH ? wideMatrix(heads, rows) : narrowMatrix(heads, rows, width);
  return `${[...lines, '', ...wrapped(LEGEND, '', width)].join('\n')}\n`;
}

function wideMatrix(heads: readonly string[], rows: readonly MatrixRow[]): string[] {
  const line = (name: string, idle: string, cells: readonly string[]): string =>
    `${name.padEnd(NAME_WIDTH)}${idle.padStart(IDLE_WIDTH)} ${cells.map((cell) => ` ${cell.padEnd(CELL_WIDTH - 1)}`).join('')}`.trimEnd();
  return [
    line('', 'idle', heads),
    ...rows.map(({ name, idleTimeoutMs, cells }) =>
      line(
        name,
        formatDuration(idleTimeoutMs),
        cells.map(({ outcome }) => CELL_TEXT[outcome]),
      ),
    ),
  ];
}

function narrowMatrix(heads: readonly string[], rows: readonly MatrixRow[], width: number): string[] {
  const aLine = Math.floor(width / NAMED_CELL_WIDTH);
  return rows.flatMap(({ name, idleTimeoutMs, cells }) => {
    const named = cells.map(({ outcome }, i) => `  ${heads[i]} ${CELL_TEXT[outcome]}`.padEnd(NAMED_CELL_WIDTH));
    const lines = named.flatMap((_, i) =>
      i % aLine === 0
        ? [
            named
              .slice(i, i + aLine)
              .join('')
              .trimEnd(),
          ]
        : [],
    );
    return [`${name}, idle ${formatDuration(idleTimeoutMs)}`, ...lines];
  });
}

export function jsonOf(result: SimulationResult): object {
  return { ...result, causes: causesOf(result) };
}
