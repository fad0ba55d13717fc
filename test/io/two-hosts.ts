/**
 * Two network namespaces joined by a veth pair, for the tests of io/ that need a kernel. Everything is told to the
 * kernel by iproute2, which is also the oracle of many tests.
 *
 *   left 198.18.0.1/24, 2001:db8::1/64 ─── right 198.18.0.2/24, 2001:db8::2/64
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { inNamespace } from '../../io/namespace.ts';

/** For the `skip` option of a suite. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it makes network namespaces';

export interface TwoHosts {
  /** The namespaces' names; the interface in each is called as its side: left, right. */
  readonly left: string;
  readonly right: string;
  remove(): void;
}

let made = 0;

/** `queues` of each kind at each end; the generator's frames come in at that of the CPU that it runs on. */
export function makeTwoHosts({ queues }: { readonly queues?: number } = {}): TwoHosts {
  const prefix = `hushlb-test-${process.pid}-${made++}`;
  const [left, right] = [`${prefix}-left`, `${prefix}-right`];
  const remove = () => {
    for (const name of [left, right]) {
      try {
        ip('netns', 'delete', name);
      } catch {
        // It was not made.
      }
    }
  };
  try {
    for (const name of [left, right]) {
      ip('netns', 'add', name);
      // No duplicate address detection, no router solicitations: the tests want a quiet link.
      sysctl(name, 'ipv6/conf/default/router_solicitations', 0);
      sysctl(name, 'ipv6/conf/default/accept_dad', 0);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    const counts = queues === undefined ? [] : ['numrxqueues', `${queues}`, 'numtxqueues', `${queues}`];
    const peer = ['peer', 'name', 'right', 'netns', right, ...counts];
    ip('link', 'add', 'left', 'netns', left, ...counts, 'type', 'veth', ...peer);
    for (const [name, side, host] of [
      [left, 'left', 1],
      [right, 'right', 2],
    ] as const) {
      ip('-n', name, 'link', 'set', side, 'up');
      ip('-n', name, 'address', 'add', `198.18.0.${host}/24`, 'dev', side);
      ip('-n', name, 'address', 'add', `2001:db8::${host}/64`, 'dev', side, 'nodad');
    }
  } catch (error) {
    remove();
    throw error;
  }
  return { left, right, remove };
}

/** Runs iproute2 and returns what it prints. */
export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs `ip -j` in a namespace and returns its answer. */
// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON has no schema
export function ipJson(namespace: string, ...args: string[]): any[] {
  return JSON.parse(ip('-n', namespace, '-j', ...args) || '[]');
}

/** Runs many iproute2 commands in a namespace, in one process. */
export function ipBatch(namespace: string, lines: readonly string[]): void {
  execFileSync('ip', ['-n', namespace, '-batch', '-'], { input: lines.join(''), stdio: ['pipe', 'ignore', 'pipe'] });
}

/** Sets a sysctl below /proc/sys/net in a namespace. */
export function sysctl(namespace: string, name: string, value: number): void {
  inNamespace(namespace, () => writeFileSync(`/proc/sys/net/${name}`, `${value}`));
}

/** Address text to 4 or 16 bytes, the naive way. */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(':')) return Uint8Array.from(text.split('.').map(Number));
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const before = groups(head);
  const after = groups(tail ?? '');
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return Uint8Array.from(all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]));
}

/** MAC text to 6 bytes. */
export function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':').map((byte) => Number.parseInt(byte, 16)));
}

/** Open descriptors of this process, to see leaks. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Waits until `condition` holds; throws after `timeoutMs`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
