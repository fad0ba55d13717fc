/**
 * The door: one frame in, one row of a `FlowBatch` out. Every length that the accessors of wire/ rely on is checked here,
 * once, and no byte sequence makes it throw or read outside the frame. lb/forwarder.ts calls it in the first of its two
 * passes over a batch.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { fold } from './checksum.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, etherType } from './ethernet.ts';
import * as ipv4 from './ipv4.ts';
import * as tcp from './tcp.ts';

/** What `parseFlow` found. From `OTHER_PROTOCOL` on, and for `FLOW`, the row's addresses are filled in. */
export const FLOW = 0;
export const NOT_IPV4 = 1;
export const TRUNCATED = 2;
export const BAD_IP_HEADER = 3;
export const OTHER_PROTOCOL = 4;
export const IP_OPTIONS = 5;
export const TTL_EXPIRED = 6;
export const FRAGMENT = 7;
export const BAD_TCP_HEADER = 8;

/** The flows of a batch as columns; words are as loaded little-endian from the packet. */
export interface FlowBatch {
  readonly source: Int32Array;
  readonly destination: Int32Array;
  /** Source port in the low half, destination port in the high half, both in packet order. */
  readonly ports: Int32Array;
  readonly tcpFlags: Int32Array;
  /** Total length of the IP packet: less than the frame's where Ethernet has padded it. */
  readonly ipLength: Int32Array;
}

export function createFlowBatch(capacity: number): FlowBatch {
  return {
    source: new Int32Array(capacity),
    destination: new Int32Array(capacity),
    ports: new Int32Array(capacity),
    tcpFlags: new Int32Array(capacity),
    ipLength: new Int32Array(capacity),
  };
}

/** Parses the frame of `length` bytes at `offset` into row `row`. */
export function parseFlow(view: DataView, offset: number, length: number, flows: FlowBatch, row: number): number {
  if (length < ETHERNET_HEADER_LENGTH) return TRUNCATED;
  if (etherType(view, offset) !== ETHERTYPE_IPV4) return NOT_IPV4;
  const available = length - ETHERNET_HEADER_LENGTH;
  if (available < ipv4.IPV4_HEADER_LENGTH) return TRUNCATED;

  const ip = offset + ETHERNET_HEADER_LENGTH;
  const headerLength = ipv4.headerLength(view, ip);
  const totalLength = ipv4.totalLength(view, ip);
  if (ipv4.version(view, ip) !== 4 || headerLength < ipv4.IPV4_HEADER_LENGTH) return BAD_IP_HEADER;
  if (totalLength < headerLength || totalLength > available) return BAD_IP_HEADER;

  flows.source[row] = ipv4.source(view, ip);
  flows.destination[row] = ipv4.destination(view, ip);
  flows.ipLength[row] = totalLength;
  if (ipv4.protocol(view, ip) !== ipv4.PROTOCOL_TCP) return OTHER_PROTOCOL;
  if (headerLength !== ipv4.IPV4_HEADER_LENGTH) return IP_OPTIONS;
  if (ipv4.ttl(view, ip) === 0) return TTL_EXPIRED;
  if (ipv4.isFragment(view, ip)) return FRAGMENT;

  const l4 = ip + headerLength;
  const l4Length = totalLength - headerLength;
  if (l4Length < tcp.TCP_HEADER_LENGTH) return BAD_TCP_HEADER;
  const tcpHeaderLength = tcp.tcpHeaderLength(view, l4);
  if (tcpHeaderLength < tcp.TCP_HEADER_LENGTH || tcpHeaderLength > l4Length) return BAD_TCP_HEADER;

  flows.ports[row] = tcp.ports(view, l4);
  flows.tcpFlags[row] = tcp.flags(view, l4);
  return FLOW;
}

/**
 * True where the TCP checksum of a parsed segment (frame at `offset`) is the bare sum of the pseudo-header: the sender
 * left the rest to a network card's offload, and no card was on the way (Linux: CHECKSUM_PARTIAL). Receivers drop it.
 */
export function hasUnfinishedChecksum(view: DataView, offset: number, ipLength: number): boolean {
  const ip = offset + ETHERNET_HEADER_LENGTH;
  const pseudoSum = fold(ipv4.pseudoHeaderSum(view, ip, ipLength - ipv4.IPV4_HEADER_LENGTH));
  return tcp.checksumField(view, ip + ipv4.IPV4_HEADER_LENGTH) === pseudoSum;
}
