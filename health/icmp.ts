/**
 * An icmp check: the backend answers an echo request (RFC 792, RFC 4443). All checks of a family share one raw socket, which
 * takes CAP_NET_RAW; it is opened with the first of them. Made and closed by lb/health.ts.
 *
 * An answer is known by eight random bytes that it has to bring back, so that no other program's echo, and nobody who only
 * guesses, is taken for it.
 */
import { randomBytes } from 'node:crypto';
import { openRawSocket, type RawSocket } from '../io/raw-socket.ts';
import { addressBytes } from '../wire/address.ts';
import * as icmp from '../wire/icmp.ts';
import { PROTOCOL_ICMPV6 } from '../wire/ipv6.ts';
import type { Check } from './monitor.ts';

export interface Echoes {
  check(address: string): Check;
  close(): void;
}

const NONCE_LENGTH = 8;
/** As `ping` sends it: 56 bytes of data. */
const MESSAGE_LENGTH = icmp.ICMP_HEADER_LENGTH + 56;

/** linux/icmp.h and linux/icmpv6.h: a bit for each type that is kept away. */
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const SOL_ICMPV6 = 58;
const ICMPV6_FILTER = 1;

const FAMILIES = {
  4: { protocol: icmp.PROTOCOL_ICMP, request: icmp.ECHO_REQUEST, reply: icmp.ECHO_REPLY },
  6: { protocol: PROTOCOL_ICMPV6, request: icmp.V6_ECHO_REQUEST, reply: icmp.V6_ECHO_REPLY },
} as const;

export function createEchoes(): Echoes {
  const sockets = new Map<4 | 6, RawSocket>();
  /** By their nonce. */
  const waiting = new Map<string, () => void>();
  const identifier = randomBytes(2).readUInt16BE();
  let sequence = 0;

  function socketOf(family: 4 | 6): RawSocket {
    const known = sockets.get(family);
    if (known !== undefined) return known;
    const { protocol, reply } = FAMILIES[family];
    const socket = openRawSocket({
      family,
      protocol,
      filter: family === 4 ? [SOL_RAW, ICMP_FILTER, allBut(reply, 4)] : [SOL_ICMPV6, ICMPV6_FILTER, allBut(reply, 32)],
      onMessage(bytes) {
        const at = (family === 4 ? (bytes[0] & 15) << 2 : 0) + icmp.ICMP_HEADER_LENGTH;
        waiting.get(Buffer.from(bytes.subarray(at, at + NONCE_LENGTH)).toString('hex'))?.();
      },
    });
    sockets.set(family, socket);
    return socket;
  }

  return {
    check(address) {
      const to = addressBytes(address);
      const family = to.length === 4 ? 4 : 6;
      return (signal) =>
        new Promise((resolve) => {
          const nonce = randomBytes(NONCE_LENGTH);
          const key = nonce.toString('hex');
          waiting.set(key, () => resolve({ ok: true, reason: 'answered an echo' }));
          signal.addEventListener('abort', () => waiting.delete(key), { once: true });
          sequence = (sequence + 1) & 0xffff;
          socketOf(family).send(echoRequest(family, identifier, sequence, nonce), to);
        });
    },
    close() {
      for (const socket of sockets.values()) socket.close();
      sockets.clear();
    },
  };
}

function echoRequest(family: 4 | 6, identifier: number, sequence: number, nonce: Uint8Array): Uint8Array {
  const message = new Uint8Array(MESSAGE_LENGTH);
  message.set(nonce, icmp.ICMP_HEADER_LENGTH);
  const { request } = FAMILIES[family];
  // ICMPv6 sums addresses, too, which the kernel chooses: it writes that checksum itself (RFC 3542, section 3.1).
  icmp.writeHeader(new DataView(message.buffer), 0, MESSAGE_LENGTH, request, 0, (identifier << 16) | sequence, 0);
  return message;
}

/** A filter of `length` bytes that keeps all types away but one, in words of the machine's order. */
function allBut(type: number, length: number): Uint8Array {
  const bits = new Uint32Array(length / 4).fill(0xffff_ffff);
  bits[type >> 5] &= ~(1 << (type & 31));
  return new Uint8Array(bits.buffer);
}
