/**
 * Sockets that wait for somebody, as /proc/net/tcp, tcp6, udp and udp6 show them (proc_net_tcp(5)), in the network namespace
 * of the process. For checks of a backend: whether anything listens on the VIP.
 */
import { readFileSync } from 'node:fs';

export interface Listener {
  /** 4 or 16 bytes; all zeros: any address. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** Of TCP: LISTEN. Of UDP: bound and not connected, which the kernel calls closed. */
const WAITING = { tcp: '0A', udp: '07' } as const;
/** Number, local address:port, remote address:port, state; addresses are 32-bit words in the host's order, in hex. */
const LINE = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /;

/** The waiting sockets of the table in `text`. */
export function parseListeners(text: string, protocol: 'tcp' | 'udp'): Listener[] {
  return text.split('\n').flatMap((line) => {
    const [, address, port, state] = LINE.exec(line) ?? [];
    if (address === undefined || state !== WAITING[protocol]) return [];
    return [{ address: addressOf(address), port: Number.parseInt(port, 16) }];
  });
}

function addressOf(hex: string): Uint8Array {
  const bytes = Buffer.from(hex, 'hex');
  return Uint8Array.from(bytes.swap32());
}

/** Those of both families; none of a family that the kernel doesn't have. */
export function readListeners(protocol: 'tcp' | 'udp'): Listener[] {
  return [protocol, `${protocol}6`].flatMap((table) => {
    try {
      return parseListeners(readFileSync(`/proc/net/${table}`, 'latin1'), protocol);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}
