/**
 * Lines of aligned columns without borders, for lists that scroll by or are piped on. Used by conntrack.ts, events.ts and top.ts.
 */
import { cut } from './terminal.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'right';
}

/** A heading and a line each; two spaces between columns, nothing behind the last. Longer lines are cut at `width`. */
export function columnLines(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): string[] {
  const widths = columns.map(({ title }, i) => rows.reduce((most, row) => Math.max(most, row[i].length), title.length));
  const line = (cells: readonly string[]): string =>
    cut(
      cells
        .map((cell, i) => (columns[i].align === 'right' ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
        .join('  ')
        .trimEnd(),
      width,
    );
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}

/** `850 ms`, `12.3 s`, `4 min`, `2 h`: short, for people. */
export function briefMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}
