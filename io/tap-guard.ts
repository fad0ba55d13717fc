/**
 * Keeps the kernel's copy of the services' packets from its stack, for packet sockets: the TCX program of
 * io/tap-steering.ts, or where the kernel has no TCX (before Linux 6.6) a rule in a table of nftables of its own.
 *
 * Both end with the process, however it ends. The TCX program is held by a BPF link. The table has the flag `owner` (Linux
 * 5.12): it belongs to the nft process that made it, which runs beside us and reads from a pipe; when we end, the pipe
 * does, then nft, then the table.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createTcxLink } from './bpf-links.ts';
import { closeDescriptor, errno, SystemCallError } from './ffi.ts';
import { guardElements, guardTable } from './guard-table.ts';
import type { SteeredService, SteeringOptions } from './service-map.ts';
import { requireLink } from './xdp.ts';

export interface TapGuard {
  readonly kind: 'tcx' | 'nftables';
  /** Why it is not TCX, where `auto` came to nftables. */
  readonly fallbackReason: string | undefined;
  /** The services, which a TCX program knows from the steering's map. */
  setServices(services: readonly SteeredService[], options?: SteeringOptions): void;
  /** Resolves when nothing is attached any more. */
  detach(): Promise<void>;
}

export interface AttachTapGuardOptions {
  /** The steering's `guardFd`. */
  readonly programFd: number;
  readonly interfaceIndex: number;
  readonly kind?: TapGuard['kind'] | 'auto';
}

/**
 * Attaches it; no packet of a service reaches the kernel's stack after that. Throws SystemCallError: EPERM without the
 * privilege; of TCX, where nftables is not to be had either, EINVAL.
 */
export async function attachTapGuard(options: AttachTapGuardOptions): Promise<TapGuard> {
  const { programFd, interfaceIndex, kind = 'auto' } = options;
  const { name } = requireLink(interfaceIndex);
  if (kind === 'nftables') return attachTable(name, undefined);
  try {
    return attachTcx(programFd, interfaceIndex);
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== errno.EINVAL || kind === 'tcx') throw error;
    return await attachTable(name, 'this kernel has no TCX (Linux 6.6 has it)');
  }
}

function attachTcx(programFd: number, interfaceIndex: number): TapGuard {
  let linkFd = createTcxLink(programFd, interfaceIndex, 'ingress');
  return {
    kind: 'tcx',
    fallbackReason: undefined,
    setServices() {},
    async detach() {
      if (linkFd >= 0) closeDescriptor(linkFd);
      linkFd = -1;
    },
  };
}

const PATIENCE_MS = 5000;

async function attachTable(interfaceName: string, fallbackReason: string | undefined): Promise<TapGuard> {
  const table = `hushlb_${process.pid}`;
  // In a session of its own: Ctrl-C is for us, and the guard goes down last.
  const nft = spawn('nft', ['-i'], { detached: true });
  const ended = once(nft, 'exit').catch(() => []);
  nft.stdin.on('error', () => {});
  // It answers with the table once that stands, and with a complaint where it does not.
  nft.stdin.write(`${guardTable(table, interfaceName)}\nlist tables netdev\n`);
  const timeout = { signal: AbortSignal.timeout(PATIENCE_MS) };
  const answers = [once(nft.stdout, 'data', timeout), once(nft.stderr, 'data', timeout), ended];
  const [answer = 'no program nft'] = await Promise.race(answers).catch(() => ['no answer']);
  for (const other of answers) other.catch(() => {});
  if (!String(answer).startsWith(`table netdev ${table}`)) {
    nft.stdin.end();
    const reason = `no TCX, which Linux 6.6 has, and no nftables: ${String(answer).split('\n')[0]}`;
    throw new SystemCallError('keep VIP packets from the kernel', errno.EOPNOTSUPP, reason);
  }
  return {
    kind: 'nftables',
    fallbackReason,
    setServices(services, options) {
      nft.stdin.write(`${guardElements(table, services, options)}\n`);
    },
    async detach() {
      nft.stdin.end();
      await ended;
    },
  };
}
