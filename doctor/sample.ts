/**
 * Packets as a balancer sends them to a backend: for the question whether a program takes their headers off, and for the probe.
 */
import { createNextHops, encapsulate, openRow, setNextHop } from '../dsr/encap.ts';
import type { Encapsulation } from '../dsr/tunnel.ts';
import { checksum } from '../wire/checksum.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts';
import { ECHO_REQUEST, ICMP_HEADER_LENGTH, PROTOCOL_ICMP, V6_ECHO_REQUEST } from '../wire/icmp.ts';
import { IPV4_HEADER_LENGTH, PROTOCOL_TCP } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, PROTOCOL_ICMPV6 } from '../wire/ipv6.ts';
import { setWindow, TCP_HEADER_LENGTH, writeBareHeader } from '../wire/tcp.ts';
import { PROTOCOL_UDP, UDP_HEADER_LENGTH } from '../wire/udp.ts';

/** By which captures tell doctor's packets: TCP sequence numbers say "hush", IPv4 identifications "HU". */
export const MARK_SEQUENCE = 0x6875_7368;
const MARK_IDENTIFICATION = 0x4855;
export const MARK_TEXT = 'hushlb doctor';

/** A host that is not a packet's last sends it back (ICMP time exceeded). */
export const TTL_OF_LAST_HOP = 1;
const TTL = 64;
const WINDOW = 1024;
/** What every tunnel has room in (dsr/tunnel.ts: 52 at most), kept even. */
const FRONT = 64;

export interface Segment {
  /** 4 bytes each or 16 bytes each. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: 'tcp' | 'udp';
  /** Of TCP. */
  readonly flags: number;
  readonly sequence: number;
  /** Zeros behind the header, so that the packet gets a length. */
  readonly payloadLength: number;
}

/** The IP packet; IPv4 with DF. */
export function packetOf(segment: Segment): Uint8Array {
  const { source, destination, protocol, payloadLength } = segment;
  const isTcp = protocol === 'tcp';
  const length = (isTcp ? TCP_HEADER_LENGTH : UDP_HEADER_LENGTH) + payloadLength;
  const number = isTcp ? PROTOCOL_TCP : PROTOCOL_UDP;
  const packet = headerOf(source, destination, number, length, TTL);
  writeTransport(viewOf(packet), packet.length - length, segment, length, number);
  return packet;
}

/** A packet with `length` bytes behind its header, all zeros. */
function headerOf(source: Uint8Array, destination: Uint8Array, protocol: number, length: number, ttl: number): Buffer {
  if (source.length === 16) {
    const packet = Buffer.alloc(IPV6_HEADER_LENGTH + length);
    packet.writeUInt32BE(0x6000_0000, 0);
    packet.writeUInt16BE(length, 4);
    packet[6] = protocol;
    packet[7] = ttl;
    packet.set(source, 8);
    packet.set(destination, 24);
    return packet;
  }
  const packet = Buffer.alloc(IPV4_HEADER_LENGTH + length);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(MARK_IDENTIFICATION, 4);
  packet[6] = 0x40;
  packet[8] = ttl;
  packet[9] = protocol;
  packet.set(source, 12);
  packet.set(destination, 16);
  packet.writeUInt16BE(checksum(viewOf(packet), 0, IPV4_HEADER_LENGTH), 10);
  return packet;
}

function writeTransport(view: DataView, at: number, segment: Segment, length: number, protocol: number): void {
  const { source, destination, sourcePort, destinationPort, flags, sequence, payloadLength } = segment;
  const addresses = Buffer.concat([source, destination]);
  const pseudo = checksumSum(addresses) + protocol + length;
  if (protocol === PROTOCOL_TCP) {
    writeBareHeader(view, at, sourcePort, destinationPort, sequence, 0, flags, pseudo);
    setWindow(view, at, WINDOW);
    return;
  }
  view.setUint16(at, sourcePort);
  view.setUint16(at + 2, destinationPort);
  view.setUint16(at + 4, length);
  const text = Buffer.from(MARK_TEXT, 'latin1').subarray(0, payloadLength);
  for (const [i, byte] of text.entries()) view.setUint8(at + UDP_HEADER_LENGTH + i, byte);
  view.setUint16(at + 6, checksum(view, at, length, pseudo) || 0xffff);
}

/** An echo request (RFC 792, RFC 4443) with the mark as its text, between two addresses of one family. */
export function echoRequest(
  source: Uint8Array,
  destination: Uint8Array,
  identifier: number,
  ttl: number = TTL,
): Uint8Array {
  const text = Buffer.from(MARK_TEXT, 'latin1');
  const isIpv6 = source.length === 16;
  const message = Buffer.alloc(ICMP_HEADER_LENGTH + text.length);
  message[0] = isIpv6 ? V6_ECHO_REQUEST : ECHO_REQUEST;
  message.writeUInt16BE(identifier, 4);
  message.set(text, ICMP_HEADER_LENGTH);
  const pseudo = isIpv6 ? checksumSum(Buffer.concat([source, destination])) + PROTOCOL_ICMPV6 + message.length : 0;
  message.writeUInt16BE(checksum(viewOf(message), 0, message.length, pseudo), 2);
  const packet = headerOf(source, destination, isIpv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP, message.length, ttl);
  packet.set(message, packet.length - message.length);
  return packet;
}

function checksumSum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  return sum;
}

export interface Outer {
  /** Six bytes each. */
  readonly mac: Uint8Array;
  readonly ownMac: Uint8Array;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** The frame that the balancer makes of `packet`: the same code puts the headers around (dsr/encap.ts). */
export function frameOf(packet: Uint8Array, encapsulation: Encapsulation, outer: Outer): Uint8Array {
  const memory = Buffer.alloc(FRONT + ETHERNET_HEADER_LENGTH + packet.length);
  memory.writeUInt16BE(packet[0] >> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4, FRONT + 12);
  memory.set(packet, FRONT + ETHERNET_HEADER_LENGTH);
  const hops = createNextHops(1);
  openRow(hops, 0, 0);
  setNextHop(hops, 0, encapsulation, { ...outer, mtu: 65_535 });
  const grown = encapsulate(viewOf(memory), FRONT, packet.length, encapsulation.encap, hops, 0, 0);
  return memory.subarray(FRONT - grown);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
