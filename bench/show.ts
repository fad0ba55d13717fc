/** Results as text: tables for a terminal (bench/main.ts) and for Markdown (bench/results-page.ts), from the same cells. */
import Table from 'cli-table3';
import type { Cell, Figure, ResultTable, Target } from './case.ts';

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

export function terminalTable({ title, head, rows }: ResultTable): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push(row.map(cellText));
  return `${title}\n${table}`;
}

export function markdownTable({ title, head, rows }: ResultTable): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `|${head.map((_, column) => (column === 0 ? '---' : '---:')).join('|')}|`;
  return [`**${title}**`, '', line(head), rule, ...rows.map((row) => line(row.map(cellText)))].join('\n');
}

export function targetTable(targets: readonly Target[]): ResultTable {
  return {
    title: 'Targets',
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
