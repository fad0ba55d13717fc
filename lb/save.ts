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
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { HushlbError } from './errors.ts';

/**
 * @param expected what the file held when it was read last, so that nobody's edit is lost; null: whatever it holds.
 * @throws HushlbError SAVE_REFUSED or SAVE_FAILED, and the file is as it was then.
 */
export function saveFile(file: string, text: string, expected: string | null): void {
  let beside: string | undefined;
  try {
    const before = statSync(file, { throwIfNoEntry: false });
    if (before !== undefined && !before.isFile()) {
      throw new HushlbError('SAVE_FAILED', `${file} is there already and is no file: nothing was saved`);
    }
    // A symbolic link stays one.
    const target = before === undefined ? file : realpathSync(file);
    beside = `${target}.${process.pid}.new`;
    if (expected !== null && before !== undefined && readFileSync(file, 'utf8') !== expected) {
      throw new HushlbError(
        'SAVE_REFUSED',
        `${file} was edited since hushlb read it: hushlb reload takes it over, hushlb save --to FILE writes beside it`,
      );
    }
    // One that was killed in the middle has left it, and in a container the next has the same number.
    rmSync(beside, { force: true });
    const descriptor = openSync(beside, 'wx', 0o600);
    try {
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    chmodSync(beside, before === undefined ? 0o644 : before.mode & 0o777);
    if (before !== undefined) giveAway(beside, before, file);
    renameSync(beside, target);
  } catch (error) {
    if (beside !== undefined) rmSync(beside, { force: true });
    if (error instanceof HushlbError) throw error;
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new HushlbError('SAVE_FAILED', `${file} cannot be written (${code}): nothing was saved`);
  }
}

/** Only root may make a file another user's. */
function giveAway(beside: string, { uid, gid }: Stats, file: string): void {
  try {
    chownSync(beside, uid, gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    const own = `${process.geteuid?.()}:${process.getegid?.()}`;
    const why = `belongs to ${uid}:${gid}, and hushlb, which runs as ${own}, would take it away`;
    throw new HushlbError('SAVE_FAILED', `${file} ${why}: chown ${own} ${file}; nothing was saved`);
  }
}
