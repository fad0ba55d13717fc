/**
 * TCP segments of health checks as IP packets, and back. Called by health/tunnel.ts, once for each packet of a check.
 */
import { sumWords } from '../wire/checksum.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import type { PeerSegment, Segment } from './tcp-exchange.ts';

/** From this host to the VIP. */
export interface Way {
  /** Of the VIP's family. */
  readonly source: Uint8Array;
  readonly port: number;
  readonly vip: Uint8Array;
  readonly vipPort: number;
}

const WINDOW = 65_535;
/** Kind 2, four bytes (RFC 9293, 3.2). */
const MSS_OPTION = 2;
const MSS_OPTION_LENGTH = 4;

export function packetOf({ source, port, vip, vipPort }: Way, segment: Segment): Uint8Array {
  const { sequence, acknowledgement, flags, payload, mss } = segment;
  const addresses = Buffer.concat([source, vip]);
  const words = Int32Array.from({ length: addresses.length / 4 }, (_, i) => addresses.readInt32LE(4 * i));
  const at = words.length === 2 ? ipv4.IPV4_HEADER_LENGTH : ipv6.IPV6_HEADER_LENGTH;
  const headerLength = tcp.TCP_HEADER_LENGTH + (mss === undefined ? 0 : MSS_OPTION_LENGTH);
  const length = headerLength + payload.length;
  const packet = new Uint8Array(at + length);
  const view = new DataView(packet.buffer);
  if (mss !== undefined) {
    view.setUint16(at + tcp.TCP_HEADER_LENGTH, (MSS_OPTION << 8) | MSS_OPTION_LENGTH);
    view.setUint16(at + tcp.TCP_HEADER_LENGTH + 2, mss);
  }
  packet.set(payload, at + headerLength);
  const [from, to] = words;
  let sum: number;
  if (words.length === 2) {
    const constant = ipv4.constantSum(ipv4.PROTOCOL_TCP, from, to);
    ipv4.writeHeader(view, 0, 0, packet.length, ipv4.ATOMIC, ipv4.PROTOCOL_TCP, from, to, constant);
    sum = ipv4.pseudoHeaderSum(view, 0, length);
  } else {
    ipv6.writeHeader(view, 0, 0, 0, length, ipv4.PROTOCOL_TCP, ipv4.DEFAULT_TTL, words, 0);
    sum = ipv6.pseudoHeaderSum(view, 0, ipv4.PROTOCOL_TCP, length);
  }
  sum = sumWords(view, at + tcp.TCP_HEADER_LENGTH, length - tcp.TCP_HEADER_LENGTH, sum);
  tcp.writeBareHeader(view, at, port, vipPort, sequence, acknowledgement, flags, sum);
  tcp.setHeaderLength(view, at, headerLength);
  if ((flags & tcp.RST) === 0) tcp.setWindow(view, at, WINDOW);
  return packet;
}

/** A segment whose header begins at `at`; undefined where it isn't whole. Its checksum is not looked at. */
export function segmentOf(bytes: Uint8Array, at: number): PeerSegment | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (at + tcp.TCP_HEADER_LENGTH > bytes.length) return undefined;
  const end = at + tcp.tcpHeaderLength(view, at);
  if (end < at + tcp.TCP_HEADER_LENGTH || end > bytes.length) return undefined;
  return {
    sequence: tcp.sequence(view, at),
    acknowledgement: tcp.acknowledgement(view, at),
    flags: tcp.flags(view, at),
    window: tcp.window(view, at),
    payload: bytes.subarray(end),
    mss: mssOf(view, at + tcp.TCP_HEADER_LENGTH, end),
  };
}

function mssOf(view: DataView, begin: number, end: number): number | undefined {
  for (let at = begin; at < end; ) {
    const kind = view.getUint8(at);
    // The end of the options, and the one of a single byte beside it.
    if (kind === 0) return undefined;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) return undefined;
    if (kind === MSS_OPTION && length === MSS_OPTION_LENGTH) return view.getUint16(at + 2);
    at += length;
  }
  return undefined;
}
