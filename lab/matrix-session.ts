/**
 * `hushlb lab matrix`: the rows that are asked for, progress and the table on the terminal, results as data in a file, and
 * Ctrl-C at any moment. cli/lab-matrix.ts calls it with the arguments and prints what it throws.
 */
import { writeFileSync } from 'node:fs';
import type { Family } from './addresses.ts';
import { attended, checkWritable, terminalLook } from './attended.ts';
import { LabError } from './errors.ts';
import type { MatrixResult } from './matrix.ts';
import { describeMatrix } from './matrix-report.ts';
import { type MatrixRow, slugOf } from './matrix-rows.ts';
import { runMatrix } from './matrix-run.ts';
import { findProgram } from './programs.ts';
import { checkPrerequisites } from './runs.ts';

/** Someone who wants the result too. */
export interface MatrixObserver {
  /** Before anything is built. */
  open(): void;
  /** Returns lines for people. */
  complete(result: MatrixResult): string[];
  /** At the end, however that came. */
  close(): void;
}

export interface MatrixSessionOptions {
  readonly rows: readonly MatrixRow[];
  readonly seed: number;
  readonly family: Family;
  /** Where the results go as JSON, if anywhere. */
  readonly jsonFile: string | undefined;
  readonly observer?: MatrixObserver | undefined;
  /** Columns of the terminal. */
  readonly width: number;
}

/** At each moment of each cell: that round-robin gives each its old backend back happens once in 500,000 cells. */
const CONNECTIONS = 12;

/** Returns the exit code: 0, 1 for a broken promise, 130 and the like after a signal. Throws LabError. */
export async function runMatrixSession(options: MatrixSessionOptions): Promise<number> {
  const { rows, seed, family, jsonFile, observer, width } = options;
  checkPrerequisites();
  checkMatrixPrograms(rows);
  if (jsonFile !== undefined) checkWritable(jsonFile);
  observer?.open();
  try {
    return await attended(async (signal, status) => {
      const progress = (running: readonly string[], done: number): void =>
        status.show(`${done} of ${rows.length} rows done; now: ${running.join('; ')}`);
      const result = await runMatrix({ rows, connections: CONNECTIONS, seed, family, signal, progress });
      status.clear();
      process.stdout.write(`${describeMatrix(result, terminalLook(width)).join('\n')}\n`);
      if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify(result, null, 2)}\n`);
      for (const line of observer?.complete(result) ?? []) process.stdout.write(`${line}\n`);
      return result.held ? 0 : 1;
    });
  } finally {
    observer?.close();
  }
}

/** Says which program a row lacks, and how to get it or go on without, before anything is built. */
function checkMatrixPrograms(rows: readonly MatrixRow[]): void {
  const needs = [
    { kind: 'nginx', program: 'nginx', debianPackage: 'nginx-light' },
    { kind: 'nft', program: 'nft', debianPackage: 'nftables' },
  ];
  for (const { kind, program, debianPackage } of needs) {
    const row = rows.find(({ between }) => between.kind === kind);
    if (row === undefined || findProgram(program) !== undefined) continue;
    const others = rows.filter(({ between }) => between.kind !== kind).map(({ name }) => slugOf(name));
    const without = others.length === 0 ? '' : `, or name the rows that you want: --row ${others.join(' --row ')}`;
    throw new LabError(
      'LAB_PROGRAM_MISSING',
      `the row "${row.name}" needs ${program}: install it (apt install ${debianPackage})${without}`,
    );
  }
}
