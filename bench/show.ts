/** Results as text: tables for a terminal (bench/main.ts) and for Markdown (bench/results-page.ts), from the same cells. */
import Table from 'cli-table3';
import { wrap } from '../cli/terminal.ts';
import type { CaseResult, Cell, Figure, ResultTable, Target } from './case.ts';

/** `120 (115 to 130)`; a figure of one round has no range. */
export function figureText({ median, min, max, rounds, digits }: Figure): string {
  const middle = numberText(median, digits);
  return rounds === 1 ? middle : `${middle} (${numberText(min, digits)} to ${numberText(max, digits)})`;
}

export function numberText(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function cellText(cell: Cell): string {
  if (cell === null) return '–';
  if (typeof cell === 'string') return cell;
  return typeof cell === 'number' ? cell.toLocaleString('en') : figureText(cell);
}

/** A case's results for a terminal of so many columns. */
export function caseText(title: string, { tables, notes }: CaseResult, width: number): string {
  const drawn = tables.map((table) => terminalTable(table, width)).join('\n\n');
  const remarks = notes.map((note) => `- ${lines(note, width - 2).replaceAll('\n', '\n  ')}\n`);
  return `── ${title} ──\n\n${drawn}\n${remarks.length > 0 ? '\n' : ''}${remarks.join('')}`.trimEnd();
}

export function lines(text: string, width: number): string {
  return wrap(text, width).join('\n');
}

/** Of the first column, which names the row, and of a text in any other, where a table has to be made narrower. */
const LEAST_NAME = 20;
const MOST_NAME = 24;
const MOST_TEXT = 16;
/** Of a heading that is broken to the width of its column. */
const LEAST_HEADING = 8;

/**
 * In at most `width` columns: where that takes it, the range of a figure stands below it and names are wrapped; where that is
 * not enough, the columns follow in groups below one another, each with the names.
 */
export function terminalTable({ title, says, head, rows }: ResultTable, width: number): string {
  const above = `${lines(title, width)}\n${lines(says, width)}\n`;
  const whole = [head, ...rows.map((row) => row.map(cellText))];
  if (widthOf(columnWidths(whole)) <= width) return `${above}${drawTable(whole)}`;
  const [names, ...others] = transposed(whole).map((column, at) => (at === 0 ? column : narrowed(column)));
  const room = width - widthOf(others.map(widest)) - widthOf([0]) + 1;
  const nameWidth = room >= LEAST_NAME ? room : Math.min(MOST_NAME, width - widthOf([0, widest(others.flat())]));
  const wrapped = names.map((name) => (name.length <= nameWidth ? name : lines(name, nameWidth)));
  return `${above}${grouped(wrapped, others, width).map(drawTable).join('\n')}`;
}

type Lines = readonly string[];

/** Of one column, its heading first: ranges below their figures, and no line longer than it has to be. */
function narrowed([heading, ...cells]: Lines): Lines {
  const body = cells.map((cell) => {
    const [value, range] = cell.split(/ (?=\()/);
    return range === undefined ? lines(cell, MOST_TEXT) : `${value}\n${range}`;
  });
  return [lines(heading, Math.max(LEAST_HEADING, widest(body))), ...body];
}

function grouped(names: Lines, columns: readonly Lines[], width: number): (readonly Lines[])[] {
  const groups: Lines[][] = [];
  for (const column of columns) {
    const group = groups.at(-1);
    if (group === undefined || widthOf([names, ...group, column].map(widest)) > width) groups.push([column]);
    else group.push(column);
  }
  return groups.map((group) => transposed([names, ...group]));
}

function drawTable([head, ...rows]: readonly Lines[]): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push([...row]);
  return table.toString();
}

function transposed(table: readonly Lines[]): Lines[] {
  return table[0].map((_, column) => table.map((row) => row[column]));
}

function columnWidths(table: readonly Lines[]): number[] {
  return transposed(table).map(widest);
}

/** The longest line of a column. */
function widest(cells: Lines): number {
  return Math.max(...cells.flatMap((cell) => cell.split('\n')).map(({ length }) => length));
}

/** Of a table with such columns: each has two spaces and a border, and there is a border before the first. */
function widthOf(widths: readonly number[]): number {
  return widths.reduce((sum, each) => sum + each + 3, 1);
}

export function markdownTable({ title, says, head, rows }: ResultTable): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `|${head.map((_, column) => (column === 0 ? '---' : '---:')).join('|')}|`;
  return [`**${title}**`, '', says, '', line(head), rule, ...rows.map((row) => line(row.map(cellText)))].join('\n');
}

export function targetTable(targets: readonly Target[]): ResultTable {
  return {
    title: 'Targets',
    says: 'What hushlb set out to reach, as ratios within this run where it can be; by how much of the goal it was reached or missed.',
    head: ['target', 'goal', 'measured', 'reached'],
    rows: targets.map((target) => [
      target.what,
      `${target.bound} ${numberText(target.limit, target.digits)} ${target.unit}`,
      target.measured === undefined ? '–' : `${numberText(target.measured, target.digits)} ${target.unit}`,
      verdictText(target),
    ]),
  };
}

export function isReached({ bound, limit, measured }: Target): boolean {
  return measured !== undefined && (bound === 'at most' ? measured <= limit : measured >= limit);
}

/** `yes, by 12 %`: how far on which side of the limit. */
function verdictText(target: Target): string {
  const { limit, measured, why } = target;
  if (measured === undefined) return `not measured: ${why ?? 'this run left it out'}`;
  const answer = isReached(target) ? 'yes' : 'no';
  if (limit === 0) return answer;
  return `${answer}, by ${numberText((Math.abs(measured - limit) / limit) * 100, 0)} %`;
}
