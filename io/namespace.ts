/**
 * Network namespaces by name, as `ip netns` keeps them under /run/netns: run a piece of work inside one.
 *
 * The lab and the tests use it to open sockets and start processes where they belong. A socket opened inside stays
 * there, a child process started inside inherits it, and a synchronous write to /proc/sys/net goes to it.
 * /sys/class/net does not follow, because sysfs shows the namespace that mounted it: ask links.ts instead.
 *
 * Only the calling thread moves, so the work must be synchronous. Starting asynchronous file or DNS work inside is a
 * mistake even when nobody waits for it there: the threads of Node's pool are born on first use and would keep the
 * namespace for good. A Worker created inside stays inside.
 */
import { closeSync, openSync } from 'node:fs';
import { errno, SystemCallError, setNamespace } from './ffi.ts';

const CLONE_NEWNET = 0x4000_0000;

const ADVICE: Record<number, string> = {
  [errno.ENOENT]: 'does not exist: `ip netns list` shows those that do',
  [errno.EINVAL]: 'is not a network namespace: `ip netns delete` removes the leftover',
  [errno.EPERM]: 'may be entered by root only (CAP_SYS_ADMIN)',
  [errno.EACCES]: 'may be entered by root only (CAP_SYS_ADMIN)',
};

function enter(name: string): void {
  let fd = -1;
  try {
    fd = openSync(`/run/netns/${name}`, 'r');
    setNamespace(fd, CLONE_NEWNET);
  } catch (error) {
    const number = Math.abs((error as NodeJS.ErrnoException).errno ?? 0);
    throw new SystemCallError('setns', number, `network namespace ${name} ${ADVICE[number] ?? 'cannot be entered'}`);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/**
 * Runs `work` with the calling thread in the network namespace `name`, goes back whatever happens, and returns its
 * result. Calls may be nested. Throws SystemCallError when the namespace cannot be entered, TypeError when `work`
 * returns a promise (what it left to do would run outside).
 */
export function inNamespace<T>(name: string, work: () => T): T {
  const original = openSync('/proc/thread-self/ns/net', 'r');
  try {
    enter(name);
    let result: T;
    try {
      result = work();
    } finally {
      setNamespace(original, CLONE_NEWNET);
    }
    if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') {
      throw new TypeError(`work in network namespace ${name} returned a promise: only synchronous work stays inside`);
    }
    return result;
  } finally {
    closeSync(original);
  }
}
