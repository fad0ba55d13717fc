/**
 * Who may write to a configuration decides where packets go. A file that anybody may change, or replace, is refused: by every
 * command that reads one (lb/config-file.ts). What less is to be trusted than it looks is a warning.
 */
import { realpathSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';

const OTHERS_MAY_WRITE = 0o002;
const GROUP_MAY_WRITE = 0o020;
const STICKY = 0o1000;

/** Why nobody should run what is in the file, and what to do; undefined where nothing is wrong. Throws as fs does. */
export function whyUntrusted(path: string, status: Stats): string | undefined {
  if ((status.mode & OTHERS_MAY_WRITE) !== 0) {
    return `anybody on this host may write to it: chmod o-w ${path}`;
  }
  const directory = dirname(realpathSync(path));
  const { mode } = statSync(directory);
  if ((mode & OTHERS_MAY_WRITE) === 0) return undefined;
  if ((mode & STICKY) === 0) {
    return `anybody on this host may replace it, its directory is open to all: chmod o-w ${directory}`;
  }
  // Where the directory is sticky (/tmp), only a file's owner may replace it.
  if (status.uid === 0 || status.uid === process.geteuid?.()) return undefined;
  return `it is another user's file in a directory that is open to all: move it to one that only root may write to`;
}

/** What may surprise; undefined for a group of root's or of the owner alone. */
export function groupWarning({ mode, uid, gid }: Stats): string | undefined {
  if ((mode & GROUP_MAY_WRITE) === 0 || gid === 0 || gid === uid) return undefined;
  return `the members of group ${gid} may write to it, and decide by that where packets go: chmod g-w takes it from them`;
}
