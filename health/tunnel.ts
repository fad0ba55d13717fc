/**
 * A tcp check through the tunnel: does a client's packet get to the server? A SYN with the VIP as destination goes to the
 * backend in the service's encapsulation, which lb/ puts around it; the backend takes that off, knows the VIP on its `lo`,
 * and its server's kernel answers past the balancer's forwarding, straight to the balancer's own address (DSR). An RST
 * through the tunnel ends what never became a connection. Made and closed by lb/health.ts.
 *
 * ```
 *   balancer:61234 ── [tunnel] SYN to VIP:80 ──► backend
 *                  ◄──────── SYN-ACK from VIP:80 ──── its kernel
 *                  ── [tunnel] RST ────────────►
 * ```
 *
 * All of it is done by raw sockets. The balancer's own kernel would answer the SYN-ACK with an RST, to the VIP and so into
 * the service's own traffic; the port that all checks come from (io/silent-port.ts) keeps it quiet.
 */
import { randomBytes } from 'node:crypto';
import { openRawSocket, type RawSocket } from '../io/raw-socket.ts';
import { openSilentPort, type SilentPort } from '../io/silent-port.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import type { CheckResult } from './judge.ts';
import type { Check } from './monitor.ts';

export interface TunnelTarget {
  readonly vip: Uint8Array;
  readonly port: number;
  /**
   * This host's own address of the VIP's family, asked at every check. Throws where there is none.
   */
  source(): Uint8Array;
  /** Sends an IP packet to the backend in its tunnel. Throws where there is no way to it now. */
  send(packet: Uint8Array): void;
}

export interface Tunnels {
  check(target: TunnelTarget): Check;
  close(): void;
}

const WINDOW = 65_535;
/** From one check of a backend to the next: within its window, so that a SYN resets what a lost RST left half-open. */
const SEQUENCE_STEP = 1024;

interface Listener {
  readonly port: number;
  /** By the acknowledgement that answers them. */
  readonly waiting: Map<number, (flags: number) => void>;
}

export function createTunnels(): Tunnels {
  const listeners = new Map<string, Listener>();
  const open: (SilentPort | RawSocket)[] = [];

  function listenerOn(source: Uint8Array): Listener {
    const known = listeners.get(source.join());
    if (known !== undefined) return known;
    const silent = openSilentPort(source);
    open.push(silent);
    const listener: Listener = { port: silent.port, waiting: new Map() };
    const family = source.length === 4 ? 4 : 6;
    open.push(
      openRawSocket({
        family,
        protocol: ipv4.PROTOCOL_TCP,
        onMessage(bytes) {
          const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
          const at = family === 4 ? ipv4.headerLength(view, 0) : 0;
          if (at + tcp.TCP_HEADER_LENGTH > bytes.length || tcp.destinationPort(view, at) !== listener.port) return;
          listener.waiting.get(tcp.acknowledgement(view, at))?.(tcp.flags(view, at));
        },
      }),
    );
    listeners.set(source.join(), listener);
    return listener;
  }

  return {
    check(target) {
      let sequence = randomBytes(4).readUInt32BE();
      return (signal) =>
        new Promise((resolve) => {
          const source = target.source();
          const { port, waiting } = listenerOn(source);
          sequence = (sequence + SEQUENCE_STEP) >>> 0;
          const next = (sequence + 1) >>> 0;
          const way = { source, port, vip: target.vip, vipPort: target.port };
          waiting.set(next, (flags) => {
            waiting.delete(next);
            const result = resultOf(flags);
            if (result.ok) target.send(segment({ ...way, sequence: next, flags: tcp.RST }));
            resolve(result);
          });
          signal.addEventListener('abort', () => waiting.delete(next), { once: true });
          target.send(segment({ ...way, sequence, flags: tcp.SYN }));
        });
    },
    close() {
      for (const each of open.splice(0)) each.close();
      listeners.clear();
    },
  };
}

function resultOf(flags: number): CheckResult {
  if ((flags & tcp.RST) !== 0) return { ok: false, reason: 'connection to the VIP refused' };
  return { ok: true, reason: 'the VIP answered through the tunnel' };
}

interface Segment {
  readonly source: Uint8Array;
  readonly port: number;
  readonly vip: Uint8Array;
  readonly vipPort: number;
  readonly sequence: number;
  readonly flags: number;
}

/** An IP packet with a TCP header and nothing else. */
function segment({ source, port, vip, vipPort, sequence, flags }: Segment): Uint8Array {
  const addresses = Buffer.concat([source, vip]);
  const words = Int32Array.from({ length: addresses.length / 4 }, (_, i) => addresses.readInt32LE(4 * i));
  const headerLength = words.length === 2 ? ipv4.IPV4_HEADER_LENGTH : ipv6.IPV6_HEADER_LENGTH;
  const packet = new Uint8Array(headerLength + tcp.TCP_HEADER_LENGTH);
  const view = new DataView(packet.buffer);
  const [from, to] = words;
  let sum: number;
  if (words.length === 2) {
    const constant = ipv4.constantSum(ipv4.PROTOCOL_TCP, from, to);
    ipv4.writeHeader(view, 0, 0, packet.length, ipv4.ATOMIC, ipv4.PROTOCOL_TCP, from, to, constant);
    sum = ipv4.pseudoHeaderSum(view, 0, tcp.TCP_HEADER_LENGTH);
  } else {
    ipv6.writeHeader(view, 0, 0, 0, tcp.TCP_HEADER_LENGTH, ipv4.PROTOCOL_TCP, ipv4.DEFAULT_TTL, words, 0);
    sum = ipv6.pseudoHeaderSum(view, 0, ipv4.PROTOCOL_TCP, tcp.TCP_HEADER_LENGTH);
  }
  tcp.writeBareHeader(view, headerLength, port, vipPort, sequence, 0, flags, sum);
  if (flags === tcp.SYN) tcp.setWindow(view, headerLength, WINDOW);
  return packet;
}
