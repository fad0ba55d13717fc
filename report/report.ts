/**
 * A report in the making: its directory, what the other command left there, and the page at the end. report/on-runs.ts
 * and report/on-matrix.ts each bring a part.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LabError } from '../lab/errors.ts';
import { aboutThisMachine } from './about.ts';
import { GENERATOR, openReportDirectory, PAGE_FILE, type ReportDirectory, reasonOf } from './directory.ts';
import type { About, ReportData } from './model.ts';
import { renderPage } from './page.ts';

export interface ReportOptions {
  /** As the user gave it. */
  readonly path: string;
  /** The command line, behind `hushlb`. */
  readonly commandLine: readonly string[];
  /** Of hushlb: data of another one are not added to. */
  readonly version: string;
  /** Beside the page and its data. */
  readonly files: readonly string[];
}

export interface Report {
  /** Hands over where a file is to be written. Throws LabError where that fails. */
  writing<Result>(name: string, write: (path: string) => Result): Result;
  /** Puts the part beside what was there, and everything in its place; returns lines for people. Throws LabError. */
  publish(partOf: (about: About) => Partial<ReportData>): string[];
  /** What is not published then is gone. May be called again. */
  close(): void;
}

const DATA_FILE = 'report.json';

/** Makes the directory where it is missing. Throws LabError, before any work is done. */
export function openReport({ path, commandLine, version, files }: ReportOptions): Report {
  const directory = openReportDirectory(path, [PAGE_FILE, DATA_FILE, ...files]);
  let left: ReportData;
  try {
    left = readData(path, version);
  } catch (error) {
    directory.close();
    throw error;
  }
  return {
    writing: (name, write) => guarded(path, () => write(directory.staged(name))),
    publish(partOf) {
      const data: ReportData = { ...left, ...partOf(aboutThisMachine(version, commandLine, Date.now())) };
      const page = renderPage(data);
      guarded(path, () => publish(directory, { generator: GENERATOR, version, ...data }, page));
      return [`Report: ${join(directory.path, PAGE_FILE)}`];
    },
    close: directory.close,
  };
}

function publish(directory: ReportDirectory, data: object, page: string): void {
  directory.write(DATA_FILE, `${JSON.stringify(data)}\n`);
  directory.write(PAGE_FILE, page);
  directory.publish();
}

/** What fails here is a full disk, or a directory that went away. */
function guarded<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw new LabError('LAB_REPORT', `cannot write the report to ${path}: ${reasonOf(error)}`);
  }
}

/** What a former command left; the file is one of ours. */
function readData(path: string, ownVersion: string): ReportData {
  const file = join(path, DATA_FILE);
  let text: string;
  try {
    text = readFileSync(resolve(file), 'utf8');
  } catch {
    return { runs: null, matrix: null };
  }
  try {
    const { version, runs, matrix } = JSON.parse(text) as ReportData & { version: string };
    if (version !== ownVersion) throw new Error(`it is hushlb ${version}'s`);
    renderPage({ runs, matrix }); // whoever touched it, it can be drawn again
    return { runs, matrix };
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0];
    throw new LabError('LAB_REPORT', `cannot add to ${file} (${reason}): delete it, or name another directory`);
  }
}
