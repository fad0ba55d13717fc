/**
 * `hushlb lab matrix --report DIR`: adds the matrix to the report as a heat map. cli/lab-matrix.ts hands it to
 * lab/matrix-session.ts.
 */
import type { MatrixObserver } from '../lab/matrix-session.ts';
import { openReport, type Report, type ReportOptions } from './report.ts';

export function reportOnMatrix(options: Omit<ReportOptions, 'files'>): MatrixObserver {
  let report: Report | undefined;
  return {
    open() {
      report = openReport({ ...options, files: [] });
    },
    complete: (result) => report?.publish((about) => ({ matrix: { about, result } })) ?? [],
    close: () => report?.close(),
  };
}
