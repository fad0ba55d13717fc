/**
 * The files that cli/replay.ts is given: what may not be done to them, and what went wrong with which. A dash is standard input
 * or standard output.
 */
import { fstatSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';
import { HushlbError } from '../lb/errors.ts';
import { isStandardOutput } from '../replay/output-file.ts';
import { UsageError } from './errors.ts';

const STANDARD_INPUT = 0;
const STANDARD_OUTPUT = 1;

/** Throws UsageError where writing `output` would destroy a capture that is to be read, or fill a terminal with bytes. */
export function refuseOutput(output: string, captures: readonly (string | undefined)[]): void {
  if (isStandardOutput(output)) {
    if (!isatty(STANDARD_OUTPUT)) return;
    throw new UsageError(`${output}: standard output is a terminal; send it to a file or a program`);
  }
  const { dev, ino } = statSync(output, { throwIfNoEntry: false }) ?? {};
  for (const path of captures) {
    const read = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    if (read?.isFile() && read.dev === dev && read.ino === ino) {
      throw new UsageError(`${output}: it is a capture to read; name another file to write`);
    }
  }
}

/** Not a pipe, which may keep one waiting for its next bytes. */
export function isFile(path: string): boolean {
  const stats = path === '-' ? fstatSync(STANDARD_INPUT) : statSync(path, { throwIfNoEntry: false });
  return stats?.isFile() ?? false;
}

/** Calls what has to do with a file, and names the file in its errors. */
export function about<T>(path: string | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fileError(path ?? '', error);
  }
}

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'no such file or directory',
  EISDIR: 'expected a file, got a directory',
  EACCES: 'permission is missing',
  EPERM: 'permission is missing',
  ENOSPC: 'no space is left for it',
  ENXIO: 'a socket; - stands for standard input and output',
};

/** What node:fs throws, in words. */
export function fileError(path: string, error: unknown): unknown {
  if (!(error instanceof Error && 'syscall' in error && 'code' in error)) return error;
  const code = String(error.code);
  // Whoever read what we write has closed it: no error, as in cli/terminal.ts.
  if (code === 'EPIPE') process.exit();
  return new HushlbError('REPLAY_FILE', `${path}: ${FILE_ERRORS[code] ?? code}`);
}
