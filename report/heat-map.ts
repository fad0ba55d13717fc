/**
 * The matrix as a heat map: a table whose cells say in words, by colour and by pattern what became of their connections.
 * The deeper a cell's colour, the larger the share that fared so. report/page.ts puts it into the page.
 */
import { BY_SEVERITY, type CellOutcome, type MatrixCell, type MatrixResult, orderingLabel } from '../lab/matrix.ts';
import { OUTCOME_LABELS } from '../lab/report.ts';
import { span } from './words.ts';

const CELL_LABELS: Readonly<Record<CellOutcome, string>> = { ...OUTCOME_LABELS, 'closed-in-time': 'closed in time' };

/** What templates.ts's MATRIX wants. */
export function matrixView({ rows, orderings, settings, held }: MatrixResult): object {
  const cells = rows.flatMap((row) => row.cells);
  const verdicts = BY_SEVERITY.filter((outcome) => cells.some((cell) => cell.verdict === outcome)).reverse();
  return {
    held,
    settings: [
      ['connections at each moment', String(settings.connections)],
      ['servers', settings.webServer],
      ['cable', `${settings.cableMs} ms each way`],
    ],
    columns: orderings.map((ordering, i) => ({
      label: orderingLabel(ordering),
      times: ordering.map((side) => [side, span(rows[0]?.cells[i]?.timeouts[side] ?? 0)]),
    })),
    times: timesOf(rows[0]?.cells[0]),
    rows: rows.map((row) => ({
      name: row.name,
      summary: row.summary,
      cells: row.cells.map(cellView),
    })),
    legend: verdicts.map((outcome) => ({ className: `outcome-${outcome}`, label: CELL_LABELS[outcome] })),
    broken: rows.flatMap((row) => [
      ...row.broken.map((line) => `${row.name}: ${line}`),
      ...row.cells.flatMap((cell) =>
        cell.broken.map((line) => `${row.name}, ${orderingLabel(cell.ordering)}: ${line}`),
      ),
    ]),
    moments: rows.flatMap((row) =>
      row.cells.flatMap((cell) =>
        cell.moments.map(({ kind, pauseMs, outcomes }) => ({
          row: row.name,
          ordering: orderingLabel(cell.ordering),
          kind,
          pause: span(pauseMs),
          outcomes: partsOf(outcomes)
            .map(({ label, count }) => `${count} ${label}`)
            .join(', '),
        })),
      ),
    ),
  };
}

/** '2 s, 4 s, 6 s' */
function timesOf(cell: MatrixCell | undefined): string {
  return cell?.ordering.map((side) => span(cell.timeouts[side])).join(', ') ?? '';
}

function cellView({ verdict, promised, held, outcomes, ordering }: MatrixCell): object {
  const total = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const count = outcomes[verdict] ?? 0;
  const share = total === 0 ? 0 : count / total;
  return {
    ordering: orderingLabel(ordering),
    label: CELL_LABELS[verdict],
    verdict,
    held,
    promised: CELL_LABELS[promised],
    count: count === total ? String(count) : `${count} of ${total}`,
    // Even a small share is to be seen.
    depth: Math.round(35 + 65 * share),
    parts: partsOf(outcomes),
  };
}

function partsOf(
  outcomes: MatrixCell['outcomes'],
): { className: string; label: string; count: number; roomy: boolean }[] {
  return [...BY_SEVERITY].reverse().flatMap((outcome) => {
    const count = outcomes[outcome] ?? 0;
    return count === 0 ? [] : [{ className: `outcome-${outcome}`, label: CELL_LABELS[outcome], count, roomy: false }];
  });
}
