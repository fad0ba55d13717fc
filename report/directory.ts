/**
 * The directory of a report, and how it gets there: whole, or not at all.
 *
 *     DIR/index.html       the page
 *     DIR/report.json      what the page was made of
 *     DIR/stateless.pcapng …
 *     DIR/.hushlb-4711/    while process 4711 works at it: files are made here, and moved up when all are there
 *
 * A page or capture of someone else's is not overwritten: ours carry GENERATOR near their beginning.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { LabError } from '../lab/errors.ts';

/** What all files of a report say of their maker. */
export const GENERATOR = 'hushlb report';
export const PAGE_FILE = 'index.html';

const MARK_WITHIN = 1024;
const STAGING = /^\.hushlb-(\d+)$/;

export interface ReportDirectory {
  readonly path: string;
  /** Where a file of this name is to be written meanwhile. */
  staged(name: string): string;
  write(name: string, text: string): void;
  /** Moves all that was written into place, the page last. */
  publish(): void;
  /** Takes away what was not published, and the directory if we made it for nothing. May be called again. */
  close(): void;
}

/**
 * Makes the directory where it is missing. `names` are the files that are going to be written. Throws LabError: no
 * directory, not writable, or another's file would be overwritten.
 */
export function openReportDirectory(path: string, names: readonly string[]): ReportDirectory {
  const directory = resolve(path);
  const staging = join(directory, `.hushlb-${process.pid}`);
  let firstMade: string | undefined;
  try {
    firstMade = mkdirSync(directory, { recursive: true });
    removeLeftovers(directory);
    mkdirSync(staging);
  } catch (error) {
    if (firstMade !== undefined) removeIfEmpty(directory, firstMade);
    throw new LabError('LAB_REPORT', `cannot write a report to ${path}: ${reasonOf(error)}`);
  }
  const close = (): void => {
    process.removeListener('exit', close);
    rmSync(staging, { recursive: true, force: true });
    if (firstMade !== undefined) removeIfEmpty(directory, firstMade);
  };
  // For the ways out that pass no `finally`.
  process.once('exit', close);
  const foreign = names.find((name) => existsSync(join(directory, name)) && !isOurs(join(directory, name)));
  if (foreign !== undefined) {
    close();
    throw new LabError(
      'LAB_REPORT',
      `${join(path, foreign)} is no file of a report and would be overwritten: name another directory`,
    );
  }
  return {
    path: directory,
    staged: (name) => join(staging, name),
    write: (name, text) => writeFileSync(join(staging, name), text),
    publish() {
      const pageLast = readdirSync(staging).sort((a, b) => Number(a === PAGE_FILE) - Number(b === PAGE_FILE));
      for (const name of pageLast) renameSync(join(staging, name), join(directory, name));
    },
    close,
  };
}

/** What processes left that were killed at it. */
function removeLeftovers(directory: string): void {
  for (const name of readdirSync(directory)) {
    const pid = STAGING.exec(name)?.[1];
    if (pid !== undefined && (Number(pid) === process.pid || !existsSync(`/proc/${pid}`))) {
      rmSync(join(directory, name), { recursive: true });
    }
  }
}

/** From `directory` up to `highest`, which we made. */
function removeIfEmpty(directory: string, highest: string): void {
  for (let path = directory; path.startsWith(highest); path = resolve(path, '..')) {
    try {
      rmdirSync(path);
    } catch {
      return; // something is in it
    }
  }
}

function isOurs(file: string): boolean {
  const head = Buffer.alloc(MARK_WITHIN);
  const fd = openSync(file, 'r');
  try {
    const length = readSync(fd, head, 0, MARK_WITHIN, 0);
    return head.subarray(0, length).includes(GENERATOR);
  } catch {
    return false; // a directory, say
  } finally {
    closeSync(fd);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'it is a file, not a directory',
  ENOTDIR: 'a part of the path is a file, not a directory',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
};

/** The message of a file operation's error, without system call and path where the reason is a common one. */
export function reasonOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
}
