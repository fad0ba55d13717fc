/**
 * The door: one frame in, one row of a `FlowBatch` out. Every length that the accessors of wire/ rely on is checked here,
 * once, and no byte sequence makes it throw or read outside the frame. lb/forwarder.ts calls `parseFlow` in the first of its
 * two passes over a batch, and lb/arrivals.ts the others for what is not plain IPv4.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { fold } from './checksum.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, etherType } from './ethernet.ts';
import * as ipv4 from './ipv4.ts';
import * as ipv6 from './ipv6.ts';
import * as tcp from './tcp.ts';
import * as udp from './udp.ts';

/** What a frame is. From `OTHER_PROTOCOL` on, and for `FLOW`, its IP header is whole and right. */
export const FLOW = 0;
export const NOT_IP = 1;
export const TRUNCATED = 2;
export const BAD_IP_HEADER = 3;
export const OTHER_PROTOCOL = 4;
export const IP_OPTIONS = 5;
export const TTL_EXPIRED = 6;
export const FRAGMENT = 7;
export const BAD_TCP_HEADER = 8;
export const BAD_UDP_HEADER = 9;

/** The flows of a batch as columns; words are as loaded little-endian from the packet. */
export interface FlowBatch {
  /** Of IPv4; what stands for an IPv6 address is the forwarder's. */
  readonly source: Int32Array;
  readonly destination: Int32Array;
  /** Source port in the low half, destination port in the high half, both in packet order. */
  readonly ports: Int32Array;
  /** 0 for UDP. */
  readonly tcpFlags: Int32Array;
  /** Total length of the IP packet: less than the frame's where Ethernet has padded it. */
  readonly ipLength: Int32Array;
  /** Of layer 4, and where its header starts. Of all packets from `OTHER_PROTOCOL` on. */
  readonly protocol: Int32Array;
  readonly l4: Int32Array;
}

export function createFlowBatch(capacity: number): FlowBatch {
  return {
    source: new Int32Array(capacity),
    destination: new Int32Array(capacity),
    ports: new Int32Array(capacity),
    tcpFlags: new Int32Array(capacity),
    ipLength: new Int32Array(capacity),
    protocol: new Int32Array(capacity),
    l4: new Int32Array(capacity),
  };
}

/** Parses the frame of `length` bytes at `offset` into row `row`. What is not IPv4 is NOT_IP here. */
export function parseFlow(view: DataView, offset: number, length: number, flows: FlowBatch, row: number): number {
  if (length < ETHERNET_HEADER_LENGTH) return TRUNCATED;
  if (etherType(view, offset) !== ETHERTYPE_IPV4) return NOT_IP;
  const available = length - ETHERNET_HEADER_LENGTH;
  if (available < ipv4.IPV4_HEADER_LENGTH) return TRUNCATED;

  const ip = offset + ETHERNET_HEADER_LENGTH;
  const headerLength = ipv4.headerLength(view, ip);
  const totalLength = ipv4.totalLength(view, ip);
  if (ipv4.version(view, ip) !== 4 || headerLength < ipv4.IPV4_HEADER_LENGTH) return BAD_IP_HEADER;
  if (totalLength < headerLength || totalLength > available) return BAD_IP_HEADER;

  const protocol = ipv4.protocol(view, ip);
  const l4 = ip + headerLength;
  flows.source[row] = ipv4.source(view, ip);
  flows.destination[row] = ipv4.destination(view, ip);
  flows.ipLength[row] = totalLength;
  flows.protocol[row] = protocol;
  flows.l4[row] = l4;
  if (protocol !== ipv4.PROTOCOL_TCP && protocol !== udp.PROTOCOL_UDP) return OTHER_PROTOCOL;
  if (ipv4.ttl(view, ip) === 0) return TTL_EXPIRED;
  if (ipv4.isFragment(view, ip)) return FRAGMENT;
  if (headerLength !== ipv4.IPV4_HEADER_LENGTH) return IP_OPTIONS;
  return parseLayer4(view, l4, totalLength - headerLength, protocol, flows, row);
}

/** The same for a frame with EtherType 0x86dd. Fills in no address: they are longer than a column is wide. */
export function parseIpv6(view: DataView, offset: number, length: number, flows: FlowBatch, row: number): number {
  const available = length - ETHERNET_HEADER_LENGTH;
  if (available < ipv6.IPV6_HEADER_LENGTH) return TRUNCATED;

  const ip = offset + ETHERNET_HEADER_LENGTH;
  const ipLength = ipv6.IPV6_HEADER_LENGTH + ipv6.payloadLength(view, ip);
  if (ipv6.version(view, ip) !== 6 || ipLength > available) return BAD_IP_HEADER;

  let protocol = ipv6.nextHeader(view, ip);
  let l4 = ip + ipv6.IPV6_HEADER_LENGTH;
  let isFragment = false;
  if (protocol !== ipv4.PROTOCOL_TCP && protocol !== udp.PROTOCOL_UDP) {
    const walk = ipv6.walkExtensions(view, ip, ip + ipLength);
    if (walk === ipv6.DAMAGED_EXTENSIONS) return BAD_IP_HEADER;
    protocol = ipv6.walkedProtocol(walk);
    l4 = ip + ipv6.walkedL4(walk);
    isFragment = (walk & ipv6.WALKED_FRAGMENT) !== 0;
  }
  flows.ipLength[row] = ipLength;
  flows.protocol[row] = protocol;
  flows.l4[row] = l4;
  if (isFragment) return FRAGMENT;
  if (protocol !== ipv4.PROTOCOL_TCP && protocol !== udp.PROTOCOL_UDP) return OTHER_PROTOCOL;
  if (ipv6.hopLimit(view, ip) === 0) return TTL_EXPIRED;
  return parseLayer4(view, l4, ip + ipLength - l4, protocol, flows, row);
}

/** The TCP or UDP header at `l4`, in front of the end of its packet by `l4Length` bytes. */
export function parseLayer4(
  view: DataView,
  l4: number,
  l4Length: number,
  protocol: number,
  flows: FlowBatch,
  row: number,
): number {
  if (protocol !== ipv4.PROTOCOL_TCP) return parseUdp(view, l4, l4Length, flows, row);
  if (l4Length < tcp.TCP_HEADER_LENGTH) return BAD_TCP_HEADER;
  const tcpHeaderLength = tcp.tcpHeaderLength(view, l4);
  if (tcpHeaderLength < tcp.TCP_HEADER_LENGTH || tcpHeaderLength > l4Length) return BAD_TCP_HEADER;
  flows.ports[row] = tcp.ports(view, l4);
  flows.tcpFlags[row] = tcp.flags(view, l4);
  return FLOW;
}

/** A length of 0 is a jumbogram's (RFC 2675), which nobody has seen. */
function parseUdp(view: DataView, l4: number, l4Length: number, flows: FlowBatch, row: number): number {
  if (l4Length < udp.UDP_HEADER_LENGTH) return BAD_UDP_HEADER;
  const claimed = udp.lengthField(view, l4);
  if (claimed < udp.UDP_HEADER_LENGTH || claimed > l4Length) return BAD_UDP_HEADER;
  flows.ports[row] = udp.ports(view, l4);
  flows.tcpFlags[row] = 0;
  return FLOW;
}

/**
 * True where the TCP checksum of a parsed segment is the bare sum of the pseudo-header: the sender left the rest to a network
 * card's offload, and no card was on the way (Linux: CHECKSUM_PARTIAL). Receivers drop it. `ip` is where the IP header starts,
 * of either family.
 */
export function hasUnfinishedChecksum(view: DataView, ip: number, ipLength: number, l4: number): boolean {
  const l4Length = ip + ipLength - l4;
  const sum =
    ipv4.version(view, ip) === 4
      ? ipv4.pseudoHeaderSum(view, ip, l4Length)
      : ipv6.pseudoHeaderSum(view, ip, ipv4.PROTOCOL_TCP, l4Length);
  return tcp.checksumField(view, l4) === fold(sum);
}
