/**
 * Writes a configuration where the next start reads it: whole or not at all, with the owner and the rights of the file that
 * it replaces. Called by lb/control-plane.ts.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { HushlbError } from './errors.ts';

/**
 * @param expected what the file held when it was read last, so that nobody's edit is lost; null: whatever it holds.
 * @throws HushlbError SAVE_REFUSED or SAVE_FAILED, and the file is as it was then.
 */
export function saveFile(file: string, text: string, expected: string | null): void {
  const beside = `${file}.${process.pid}.new`;
  try {
    const before = statSync(file, { throwIfNoEntry: false });
    if (expected !== null && before !== undefined && readFileSync(file, 'utf8') !== expected) {
      throw new HushlbError(
        'SAVE_REFUSED',
        `${file} was edited since hushlb read it: hushlb reload takes it over, hushlb save --to FILE writes beside it`,
      );
    }
    const descriptor = openSync(beside, 'wx', 0o600);
    try {
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    chmodSync(beside, before === undefined ? 0o644 : before.mode & 0o777);
    if (before !== undefined) chownSync(beside, before.uid, before.gid);
    renameSync(beside, file);
  } catch (error) {
    if (error instanceof HushlbError) throw error;
    rmSync(beside, { force: true });
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new HushlbError('SAVE_FAILED', `${file} cannot be written (${code}): nothing was saved`);
  }
}
