/**
 * The matrix as text: a table where the terminal is wide enough, a list where not, what its words mean, and what did not
 * keep its promise. lab/matrix-session.ts prints it.
 */
import { type Style, wrap } from './draw.ts';
import {
  BY_SEVERITY,
  type CellOutcome,
  type MatrixCell,
  type MatrixResult,
  type MatrixRowResult,
  ORDERINGS,
  orderingLabel,
  timeoutsOf,
} from './matrix.ts';
import type { Look } from './report.ts';

const WORDS: Readonly<Record<CellOutcome, string>> = {
  kept: 'kept',
  'closed-in-time': 'closed',
  'closed-by-server': 'race',
  'closed-by-balancer': 'race lb',
  'bad-gateway': '502',
  'reset-by-backend': 'RST srv',
  'reset-by-balancer': 'RST lb',
  'reset-by-unknown': 'RST ?',
  hung: 'hung',
  error: 'error',
};

/** In the order of the legend. */
const MEANINGS: readonly (readonly [outcome: CellOutcome, meaning: string])[] = [
  ['kept', 'answered on the same connection'],
  ['closed-by-server', "lost where a request met the server's FIN"],
  ['closed-by-balancer', "lost where it met the balancer's"],
  ['bad-gateway', 'answered so by the balancer, which met the FIN itself'],
  ['reset-by-backend', 'reset by a server that did not know the connection, or no longer'],
  ['reset-by-balancer', 'reset by the balancer'],
  ['hung', 'no answer'],
];

const NAME_WIDTH = 20;
const CELL_WIDTH = 9;
const TABLE_WIDTH = NAME_WIDTH + ORDERINGS.length * CELL_WIDTH;

export function describeMatrix(result: MatrixResult, look: Look): string[] {
  const { width } = look;
  const body = width >= TABLE_WIDTH ? table(result, look) : result.rows.flatMap((row) => list(row, look));
  return [...body, '', ...legend(result, width), '', ...verdict(result, look)];
}

function table({ rows }: MatrixResult, { paint }: Look): string[] {
  const head = `${' '.repeat(NAME_WIDTH)}${ORDERINGS.map((ordering) => orderingLabel(ordering).padEnd(CELL_WIDTH)).join('')}`;
  return [
    paint('strong', head.trimEnd()),
    ...rows.flatMap(({ name, cells }) => [
      name.padEnd(NAME_WIDTH) + cells.map((cell) => paint(styleOf(cell), word(cell).padEnd(CELL_WIDTH))).join(''),
      paint('dim', (' '.repeat(NAME_WIDTH) + cells.map((cell) => share(cell).padEnd(CELL_WIDTH)).join('')).trimEnd()),
    ]),
  ].map((line) => line.trimEnd());
}

function list({ name, cells }: MatrixRowResult, { width, paint }: Look): string[] {
  const items = cells.map((cell) => `${orderingLabel(cell.ordering)} ${word(cell)} ${share(cell)}`);
  return [paint('strong', name), ...wrap(items.join(', '), width - 2).map((line) => `  ${line}`)];
}

function word({ verdict: outcome, held }: MatrixCell): string {
  return `${held ? '' : '✕'}${WORDS[outcome]}`;
}

function styleOf({ held, verdict: outcome }: MatrixCell): Style {
  if (!held) return 'bad';
  return outcome === 'kept' ? 'good' : 'plain';
}

/** '12' where all connections fared so, '7/24' where 7 of 24 did. */
function share({ outcomes, verdict: outcome }: MatrixCell): string {
  const total = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const count = outcomes[outcome] ?? 0;
  return count === total ? `${count}` : `${count}/${total}`;
}

function legend({ rows, settings }: MatrixResult, width: number): string[] {
  const { client, balancer, server } = timeoutsOf(ORDERINGS[0]);
  const seen = new Set(rows.flatMap(({ cells }) => cells.map((cell) => cell.verdict)));
  const meanings = MEANINGS.filter(([outcome]) => seen.has(outcome)).map(
    ([outcome, meaning]) => `${WORDS[outcome]}, ${meaning}`,
  );
  const times = [client, balancer, server].map((milliseconds) => `${milliseconds / 1000} s`).join(', ');
  const text =
    `Idle timeouts of c, client; b, balancer; s, server: ${times}, the shortest first. The worst of what happened, and to ` +
    `how many connections: ${meanings.join('; ')}.`;
  return [
    ...wrap(text, width),
    ...wrap(`Servers: ${settings.webServer}. Cable: ${settings.cableMs} ms one way.`, width),
  ];
}

function verdict({ rows }: MatrixResult, { width, paint }: Look): string[] {
  const cells = rows.flatMap((row) => row.cells.map((cell) => ({ row, cell })));
  const broken = [
    ...rows.flatMap((row) => row.broken.map((line) => `${row.name}: ${line}`)),
    ...cells.flatMap(({ row, cell }) =>
      cell.broken.map((line) => `${row.name}, ${orderingLabel(cell.ordering)}: ${inWords(line)}`),
    ),
  ];
  if (broken.length === 0) return [paint('good', `Promise held in each of ${cells.length} cells.`)];
  return [
    paint('bad', 'Promise broken:'),
    ...broken.flatMap((line) =>
      wrap(line, width - 4).map((each, i) => (i === 0 ? `  ${paint('bad', `✕ ${each}`)}` : `    ${each}`)),
    ),
  ];
}

/** A cell's complaint in the words of the table. */
function inWords(line: string): string {
  return BY_SEVERITY.reduce((text, outcome) => text.replaceAll(outcome, WORDS[outcome]), line);
}
