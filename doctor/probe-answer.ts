/**
 * What comes back for doctor's probes, read from captured frames: answers of TCP and UDP, echo replies, and ICMP errors with what
 * they are about. Cold and pure; lengths are checked at each step, because anybody may have sent the frame.
 */
import { formatAddress } from '../wire/address.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts';
import { GRE_HEADER_LENGTH, PROTOCOL_GRE } from '../wire/gre.ts';
import { GUE_HEADER_LENGTH } from '../wire/gue.ts';
import * as icmp from '../wire/icmp.ts';
import { IPV4_HEADER_LENGTH, PROTOCOL_IPIP, PROTOCOL_TCP } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, PROTOCOL_ICMPV6, PROTOCOL_IPV6 } from '../wire/ipv6.ts';
import { ACK, RST, SYN } from '../wire/tcp.ts';
import { PROTOCOL_UDP, UDP_HEADER_LENGTH } from '../wire/udp.ts';

/** Why an ICMP error says that a packet goes no further. */
export type Refusal = 'protocol' | 'port' | 'host' | 'too-big' | 'prohibited' | 'ttl' | 'other';

export type Answer =
  | {
      readonly kind: 'accepted' | 'reset' | 'datagram';
      readonly from: string;
      readonly port: number;
      readonly acknowledges: number;
    }
  | { readonly kind: 'echo'; readonly from: string; readonly identifier: number }
  | {
      readonly kind: 'error';
      readonly from: string;
      readonly refusal: Refusal;
      /** Of `too-big`: what would fit. */
      readonly mtu: number | null;
      /** Where the refused packet, as it was on the way, was going. */
      readonly towards: string;
      /** The source port of the client's packet, where the quote reaches so far and it has one. */
      readonly port: number | null;
      /** Of an echo request. */
      readonly identifier: number | null;
    };

interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** What follows the IP header. */
  readonly rest: Buffer;
}

/** Undefined for what is none of these. `port` of an answer is the probe's own. */
export function readAnswer(frame: Uint8Array): Answer | undefined {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length < ETHERNET_HEADER_LENGTH) return undefined;
  const type = bytes.readUInt16BE(12);
  if (type !== ETHERTYPE_IPV4 && type !== ETHERTYPE_IPV6) return undefined;
  const packet = readPacket(bytes.subarray(ETHERNET_HEADER_LENGTH));
  if (packet === undefined || packet.rest.length < 8) return undefined;
  const { source: from, protocol, rest } = packet;
  if (protocol === PROTOCOL_TCP && rest.length >= 20) {
    const flags = rest[13];
    const kind = (flags & RST) !== 0 ? 'reset' : 'accepted';
    if (kind === 'accepted' && (flags & (SYN | ACK)) !== (SYN | ACK)) return undefined;
    return { kind, from, port: rest.readUInt16BE(2), acknowledges: rest.readUInt32BE(8) };
  }
  if (protocol === PROTOCOL_UDP) return { kind: 'datagram', from, port: rest.readUInt16BE(2), acknowledges: 0 };
  if (protocol === icmp.PROTOCOL_ICMP) return readIcmp(from, rest, rest[0] === icmp.ECHO_REPLY, refusalOf);
  if (protocol === PROTOCOL_ICMPV6) return readIcmp(from, rest, rest[0] === icmp.V6_ECHO_REPLY, refusalOfV6);
  return undefined;
}

function readPacket(bytes: Buffer): Packet | undefined {
  if (bytes.length >= IPV4_HEADER_LENGTH && bytes[0] >> 4 === 4) {
    return {
      source: formatAddress(bytes.subarray(12, 16)),
      destination: formatAddress(bytes.subarray(16, 20)),
      protocol: bytes[9],
      rest: bytes.subarray((bytes[0] & 0x0f) * 4),
    };
  }
  if (bytes.length >= IPV6_HEADER_LENGTH && bytes[0] >> 4 === 6) {
    return {
      source: formatAddress(bytes.subarray(8, 24)),
      destination: formatAddress(bytes.subarray(24, 40)),
      protocol: bytes[6],
      rest: bytes.subarray(IPV6_HEADER_LENGTH),
    };
  }
  return undefined;
}

type RefusalOf = (type: number, code: number) => Refusal | undefined;

function readIcmp(from: string, rest: Buffer, isEcho: boolean, refusal: RefusalOf): Answer | undefined {
  if (isEcho) return { kind: 'echo', from, identifier: rest.readUInt16BE(4) };
  const why = refusal(rest[0], rest[1]);
  const quoted = readPacket(rest.subarray(icmp.ICMP_HEADER_LENGTH));
  if (why === undefined || quoted === undefined) return undefined;
  const mtu = why === 'too-big' ? rest.readUInt32BE(4) & 0xffff : null;
  return { kind: 'error', from, refusal: why, mtu, towards: quoted.destination, ...flowOf(quoted) };
}

/** RFC 792, and RFC 1812 for 13. */
function refusalOf(type: number, code: number): Refusal | undefined {
  if (type === icmp.TIME_EXCEEDED) return code === 0 ? 'ttl' : 'other';
  if (type !== icmp.UNREACHABLE) return undefined;
  const refusals: Record<number, Refusal> = {
    0: 'host',
    1: 'host',
    2: 'protocol',
    3: 'port',
    4: 'too-big',
    9: 'prohibited',
    10: 'prohibited',
    13: 'prohibited',
  };
  return refusals[code] ?? 'other';
}

/** RFC 4443; code 1 of a parameter problem: a next header that nobody knows. */
function refusalOfV6(type: number, code: number): Refusal | undefined {
  if (type === icmp.V6_TOO_BIG) return 'too-big';
  if (type === icmp.V6_PARAMETER_PROBLEM) return code === 1 ? 'protocol' : 'other';
  if (type === icmp.V6_TIME_EXCEEDED) return code === 0 ? 'ttl' : 'other';
  if (type !== icmp.V6_UNREACHABLE) return undefined;
  return ({ 1: 'prohibited', 4: 'port' } as Record<number, Refusal>)[code] ?? 'host';
}

/** Through whatever tunnel the packet was in. Routers quote 8 bytes at least: the port of a packet without a tunnel. */
function flowOf(packet: Packet): { port: number | null; identifier: number | null } {
  const { protocol, rest } = clientPacketIn(packet);
  const hasPorts = protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP;
  const isIcmp = protocol === icmp.PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
  return {
    port: hasPorts && rest.length >= 2 ? rest.readUInt16BE(0) : null,
    identifier: isIcmp && rest.length >= 6 ? rest.readUInt16BE(4) : null,
  };
}

const NO_PACKET: Packet = { source: '', destination: '', protocol: -1, rest: Buffer.alloc(0) };

function clientPacketIn(packet: Packet): Packet {
  const { protocol, rest } = packet;
  let inner: Buffer | undefined;
  if (protocol === PROTOCOL_IPIP || protocol === PROTOCOL_IPV6) inner = rest;
  else if (protocol === PROTOCOL_GRE) inner = rest.subarray(GRE_HEADER_LENGTH);
  else if (protocol === PROTOCOL_UDP) inner = behindGue(rest);
  return inner === undefined ? packet : (readPacket(inner) ?? NO_PACKET);
}

/** Variant 1 has the packet right behind UDP, variant 0 a header that begins with zeros. */
function behindGue(rest: Buffer): Buffer | undefined {
  const inside = rest.subarray(UDP_HEADER_LENGTH);
  if (inside.length < IPV4_HEADER_LENGTH) return undefined;
  if (inside[0] >> 6 === 1) return inside;
  return inside[0] === 0 && readPacket(inside.subarray(GUE_HEADER_LENGTH)) !== undefined
    ? inside.subarray(GUE_HEADER_LENGTH)
    : undefined;
}
