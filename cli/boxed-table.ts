/**
 * A table with borders, whose names are cut where it would be too wide otherwise; numbers never are. Used by table.ts,
 * status-text.ts and plan-text.ts; columns.ts has lists without borders. Pure.
 */
import Table from 'cli-table3';
import { cut } from './terminal.ts';

type Rows<Column extends string> = readonly Readonly<Record<Column, string>>[];

/** A cell's border and its two spaces. */
const CELL_FRAME = 3;
const SHORTEST_NAME = 4;

/** With whole names. */
export function boxedWidth<Column extends string>(columns: readonly Column[], rows: Rows<Column>): number {
  return columns.reduce((sum, column) => sum + widest(column, rows) + CELL_FRAME, 1);
}

/** `names` are the columns that may be cut, all to the same width; those that are not in `left` are aligned to the right. */
export function boxedTable<Column extends string>(
  columns: readonly Column[],
  rows: Rows<Column>,
  width: number,
  names: readonly string[],
  left = names,
): string {
  const isName = (column: string): boolean => names.includes(column);
  const numbers = columns.filter((column) => !isName(column));
  const count = columns.length - numbers.length;
  const room = width - boxedWidth(numbers, rows) - count * CELL_FRAME;
  const nameWidth = Math.max(SHORTEST_NAME, Math.floor(room / count));
  const drawn = new Table({
    head: [...columns],
    colAligns: columns.map((column) => (left.includes(column) ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    drawn.push(columns.map((column) => (isName(column) ? cut(row[column], nameWidth) : row[column])));
  }
  return drawn.toString();
}

function widest<Column extends string>(column: Column, rows: Rows<Column>): number {
  return rows.reduce((most, row) => Math.max(most, row[column].length), column.length);
}
