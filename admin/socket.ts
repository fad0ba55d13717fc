/**
 * The Unix socket's place in the file system: who may use it, and whose it is when one is there already. Used by
 * admin/server.ts; `isLiving` also by whoever looks for a daemon.
 */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { RUNTIME_DIRECTORY } from '../lb/config-admin.ts';
import { HushlbError } from '../lb/errors.ts';

/** Bits that a new file doesn't get: the socket is its owner's alone from its first moment. */
export const OWNER_ALONE = 0o177;

export function adminError(message: string): HushlbError {
  return new HushlbError('ADMIN_LISTEN', message);
}

/** Makes way for a socket: its directory, and what a dead process left there. Throws HushlbError. */
export async function clearPlace(path: string): Promise<void> {
  if (dirname(path) === RUNTIME_DIRECTORY) makeRuntimeDirectory();
  // Node says EACCES for it.
  if (!existsSync(dirname(path)))
    throw adminError(`admin.socket: ${dirname(path)} does not exist: mkdir ${dirname(path)}`);
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isSocket()) throw adminError(`admin.socket: ${path} is there already, and is no socket`);
  const state = await socketState(path);
  if (state !== 'dead') {
    throw adminError(`admin.socket: another process listens at ${path}: stop it, or give this one a socket of its own`);
  }
  unlinkSync(path);
}

function makeRuntimeDirectory(): void {
  try {
    mkdirSync(RUNTIME_DIRECTORY, { mode: 0o755 });
    // Whatever the umask took away.
    chmodSync(RUNTIME_DIRECTORY, 0o755);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    throw adminError(
      `admin.socket: ${RUNTIME_DIRECTORY} cannot be made (${code}): set admin.socket to a path that this user may ` +
        'write, or admin: false',
    );
  }
}

/** Whether a process listens there; `denied`: this one may not ask. */
export function socketState(path: string): Promise<'living' | 'dead' | 'denied'> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (state: 'living' | 'dead' | 'denied'): void => {
      socket.destroy();
      resolve(state);
    };
    socket.once('connect', () => settle('living'));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'EACCES' || code === 'EPERM') settle('denied');
      // A queue that is full is somebody's.
      else settle(code === 'EAGAIN' ? 'living' : 'dead');
    });
  });
}

/** Lets the members of a group in, too. */
export function shareWithGroup(path: string, gid: number): void {
  chownSync(path, -1, gid);
  chmodSync(path, 0o660);
}

/** group(5). Throws HushlbError. */
export function groupId(name: string, text: string = readFileSync('/etc/group', 'utf8')): number {
  for (const line of text.split('\n')) {
    const [group, , id] = line.split(':');
    if (group === name && /^\d+$/.test(id ?? '')) return Number(id);
  }
  throw adminError(`admin.group: there is no group ${name} on this host: groupadd ${name}`);
}
