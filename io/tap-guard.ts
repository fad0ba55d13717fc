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
import { createTcxLink } from './bpf.ts';
import { closeDescriptor, errno, SystemCallError } from './ffi.ts';
import type { SteeredService } from './service-map.ts';
import { requireLink } from './xdp.ts';

export interface TapGuard {
  readonly kind: 'tcx' | 'nftables';
  /** Why it is not TCX, where `auto` came to nftables. */
  readonly fallbackReason: string | undefined;
  /** The services, which a TCX program knows from the steering's map. */
  setServices(services: readonly SteeredService[]): void;
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
  let linkFd = createTcxLink(programFd, interfaceIndex);
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

/** Before all other rules. */
const PRIORITY = -500;
const PATIENCE_MS = 5000;

/**
 * The rules say the same as the program: `ether type ip` is not true of a tagged frame. A fragment without ports goes where
 * its VIP does.
 */
function tableText(table: string, interfaceName: string): string {
  return `
    add table netdev ${table} { flags owner; }
    add set netdev ${table} services { type ipv4_addr . inet_proto . inet_service; }
    add set netdev ${table} vips { type ipv4_addr . inet_proto; }
    add chain netdev ${table} ingress { type filter hook ingress device "${interfaceName}" priority ${PRIORITY}; }
    add rule netdev ${table} ingress ether type != ip accept
    add rule netdev ${table} ingress meta pkttype != host accept
    add rule netdev ${table} ingress ip frag-off & 0x1fff != 0 ip daddr . ip protocol @vips drop
    add rule netdev ${table} ingress ip frag-off & 0x1fff != 0 accept
    add rule netdev ${table} ingress ip daddr . ip protocol . th dport @services drop
  `.replaceAll('\n', ';');
}

async function attachTable(interfaceName: string, fallbackReason: string | undefined): Promise<TapGuard> {
  const table = `hushlb_${process.pid}`;
  // In a session of its own: Ctrl-C is for us, and the guard goes down last.
  const nft = spawn('nft', ['-i'], { detached: true });
  const ended = once(nft, 'exit').catch(() => []);
  nft.stdin.on('error', () => {});
  // It answers with the table once that stands, and with a complaint where it does not.
  nft.stdin.write(`${tableText(table, interfaceName)}\nlist tables netdev\n`);
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
    setServices(services) {
      const elements = (of: (service: SteeredService) => string) => [...new Set(services.map(of))].join(', ');
      const address = (service: SteeredService) => service.address.join('.');
      const keys = elements((service) => `${address(service)} . ${service.protocol} . ${service.ports.first}`);
      const vips = elements((service) => `${address(service)} . ${service.protocol}`);
      const fill = (set: string, list: string) =>
        `flush set netdev ${table} ${set};${list === '' ? '' : ` add element netdev ${table} ${set} { ${list} };`}`;
      nft.stdin.write(`${fill('services', keys)} ${fill('vips', vips)}\n`);
    },
    async detach() {
      nft.stdin.end();
      await ended;
    },
  };
}
