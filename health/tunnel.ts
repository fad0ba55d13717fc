/**
 * Checks through the tunnel. By tcp: does a client's packet get to the server? A SYN with the VIP as destination goes to the
 * backend in the service's encapsulation, which lb/ puts around it; the backend takes that off, knows the VIP on its `lo`,
 * and its server's kernel answers past the balancer's forwarding, straight to the balancer's own address (DSR). An RST
 * through the tunnel ends what never became a connection. By http and https: health/http.ts over health/tunnel-stream.ts. Made and
 * closed by lb/health.ts.
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
import { randomBytes, randomInt } from 'node:crypto';
import { openRawSocket, type RawSocket } from '../io/raw-socket.ts';
import { openSilentPort, type SilentPort } from '../io/silent-port.ts';
import { formatAddress } from '../wire/address.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import { type Expectation, httpCheck } from './http.ts';
import type { CheckResult } from './judge.ts';
import type { Check } from './monitor.ts';
import { packetOf, segmentOf } from './tcp-packet.ts';
import { dialThroughTunnel, type Exchanges, IDS } from './tunnel-stream.ts';

export interface TunnelTarget {
  readonly vip: Uint8Array;
  readonly port: number;
  /**
   * Those who may ask the same backend at the same VIP and port at one time have different ones, from 0 on: each lane comes from a
   * port of its own, so that theirs are different connections.
   */
  readonly lane: number;
  /**
   * This host's own address of the VIP's family, asked at every check. Throws where there is none.
   */
  source(): Uint8Array;
  /** Sends an IP packet to the backend in its tunnel. Throws where there is no way to it now. */
  send(packet: Uint8Array): void;
}

export interface Tunnels {
  check(target: TunnelTarget): Check;
  checkHttp(target: TunnelTarget, expectation: Expectation, tls: boolean): Check;
  close(): void;
}

const NOTHING = new Uint8Array();
/** From one check of a backend to the next: within its window, so that a SYN resets what a lost RST left half-open. */
const SEQUENCE_STEP = 1024;

interface Listener {
  readonly port: number;
  /** By the acknowledgement that answers them. */
  readonly waiting: Map<number, (flags: number) => void>;
  readonly exchanges: Exchanges;
}

export function createTunnels(): Tunnels {
  const listeners = new Map<string, Listener>();
  const open: (SilentPort | RawSocket)[] = [];

  function listenerOn(source: Uint8Array, lane: number): Listener {
    const key = `${formatAddress(source)} ${lane}`;
    const known = listeners.get(key);
    if (known !== undefined) return known;
    const silent = openSilentPort(source);
    open.push(silent);
    const listener: Listener = { port: silent.port, waiting: new Map(), exchanges: new Map() };
    const family = source.length === 4 ? 4 : 6;
    open.push(
      openRawSocket({
        family,
        protocol: ipv4.PROTOCOL_TCP,
        onMessage(bytes) {
          const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
          const at = family === 4 ? ipv4.headerLength(view, 0) : 0;
          if (at + tcp.TCP_HEADER_LENGTH > bytes.length || tcp.destinationPort(view, at) !== listener.port) return;
          const answered = tcp.acknowledgement(view, at);
          listener.waiting.get(answered)?.(tcp.flags(view, at));
          const segment = segmentOf(bytes, at);
          if (segment !== undefined) listener.exchanges.get(Math.floor(answered / IDS))?.(segment);
        },
      }),
    );
    listeners.set(key, listener);
    return listener;
  }

  return {
    check(target) {
      let sequence = randomBytes(4).readUInt32BE();
      return (signal) =>
        new Promise((resolve, reject) => {
          const source = target.source();
          const { port, waiting } = listenerOn(source, target.lane);
          const way = { source, port, vip: target.vip, vipPort: target.port };
          const send = (number: number, flags: number): void =>
            target.send(packetOf(way, { sequence: number, acknowledgement: 0, flags, payload: NOTHING }));
          sequence = (sequence + SEQUENCE_STEP) >>> 0;
          const next = (sequence + 1) >>> 0;
          waiting.set(next, (flags) => {
            waiting.delete(next);
            const result = resultOf(flags);
            try {
              if (result.ok) send(next, tcp.RST);
              resolve(result);
            } catch (error) {
              reject(error);
            }
          });
          signal.addEventListener('abort', () => waiting.delete(next), { once: true });
          send(sequence, tcp.SYN);
        });
    },
    checkHttp(target, expectation, tls) {
      const id = randomInt(IDS);
      const place = { address: formatAddress(target.vip), port: target.port };
      return httpCheck(place, expectation, tls, () => {
        const source = target.source();
        const { port, exchanges } = listenerOn(source, target.lane);
        const way = { source, port, vip: target.vip, vipPort: target.port };
        return dialThroughTunnel({ exchanges, id, send: (segment) => target.send(packetOf(way, segment)) });
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
