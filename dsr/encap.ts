/**
 * Direct server return, the balancer's half: what is done to a packet so that its backend gets it and answers the client
 * itself. Two ways: `l2` rewrites the destination MAC and nothing else, `ipip` (RFC 2003) puts an outer IPv4 header in
 * front. lb/forwarder.ts calls `encapsulate` for every packet that it forwards.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, writeHeader as writeEthernet } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';

export const ENCAP_L2 = 0;
export const ENCAP_IPIP = 1;

/**
 * Where the packets of one service go: a row of eight words a backend, made once when a forwarding state is built, so that
 * a packet takes its constants from one cache line.
 *
 * ```
 *   0 destination MAC, bytes 0 to 3        4 outer source address
 *   1 its bytes 4 and 5, source MAC 0, 1   5 outer destination address
 *   2 source MAC, bytes 2 to 5             6 `constantSum` of the outer header
 *   3 largest IP packet that fits          7 where its packets are counted
 * ```
 */
export type NextHops = Int32Array;

const ROW_SHIFT = 3;
const ROW = 1 << ROW_SHIFT;
const MAC_0 = 0;
const MAC_1 = 1;
const MAC_2 = 2;
const LARGEST = 3;
const OUTER_SOURCE = 4;
const OUTER_DESTINATION = 5;
const OUTER_SUM = 6;
const COUNTER = 7;

/** What `largestPacket` says of a row that is no backend's: of one that was removed. */
export const NO_LONGER_THERE = -1;

export interface NextHop {
  /** Six bytes each: the next hop's, and the sending interface's. */
  readonly mac: Uint8Array;
  readonly ownMac: Uint8Array;
  /** Outer addresses, as packet words (wire/ipv4.ts, `addressWord`). */
  readonly source: number;
  readonly destination: number;
  /** Of the path's first link: bytes of the largest IP packet that it takes. */
  readonly mtu: number;
}

/** `count` rows that are no backend's yet. */
export function createNextHops(count: number): NextHops {
  const hops = new Int32Array(count * ROW);
  for (let row = 0; row < count; row++) hops[row * ROW + LARGEST] = NO_LONGER_THERE;
  return hops;
}

/** Makes `row` a backend's, without a next hop; `counter` is the first of its counter slots (metrics/counters.ts). */
export function openRow(hops: NextHops, row: number, counter: number): void {
  hops[row * ROW + LARGEST] = 0;
  hops[row * ROW + COUNTER] = counter;
}

export function setNextHop(hops: NextHops, row: number, encap: number, hop: NextHop): void {
  const macs = new DataView(Uint8Array.of(...hop.mac, ...hop.ownMac).buffer);
  const at = row * ROW;
  for (let i = MAC_0; i <= MAC_2; i++) hops[at + i] = macs.getInt32(4 * i, true);
  hops[at + LARGEST] = hop.mtu - overhead(encap);
  hops[at + OUTER_SOURCE] = hop.source;
  hops[at + OUTER_DESTINATION] = hop.destination;
  hops[at + OUTER_SUM] = ipv4.constantSum(ipv4.PROTOCOL_IPIP, hop.source, hop.destination);
}

/** Bytes of the largest IP packet that can be sent to the backend of `row`; 0 where it has no next hop, or NO_LONGER_THERE. */
export function largestPacket(hops: NextHops, row: number): number {
  return hops[(row << ROW_SHIFT) | LARGEST];
}

/** The first counter slot of the backend of `row`. */
export function counterOf(hops: NextHops, row: number): number {
  return hops[(row << ROW_SHIFT) | COUNTER];
}

/** Bytes that an encapsulation adds in front of the IP packet: what clients' MSS or the path's MTU must leave room for. */
export function overhead(encap: number): number {
  return encap === ENCAP_IPIP ? ipv4.IPV4_HEADER_LENGTH : 0;
}

/**
 * Rewrites the frame at `offset` for row `row` of `hops`. The caller has checked that `ipLength` is not above
 * `largestPacket`, and that the overhead fits in front of the frame. Returns the bytes that the frame grew at its front: the
 * new frame starts at `offset` minus that, and is that plus the Ethernet header plus `ipLength` long (an Ethernet padding
 * is cut off).
 *
 * The outer header follows field practice: TTL 64; DSCP and ECN copied (RFC 6040, normal mode); DF and identification
 * copied, so that a packet which may be fragmented has an identification of its own (RFC 6864), and path MTU discovery
 * keeps working (RFC 2003, 5.1). The inner packet is not touched, its TTL neither.
 */
export function encapsulate(
  view: DataView,
  offset: number,
  ipLength: number,
  encap: number,
  hops: NextHops,
  row: number,
): number {
  const at = row << ROW_SHIFT;
  const grown = overhead(encap);
  const frame = offset - grown;
  if (encap === ENCAP_IPIP) {
    const inner = offset + ETHERNET_HEADER_LENGTH;
    ipv4.writeHeader(
      view,
      inner - grown,
      ipv4.tos(view, inner),
      ipLength + grown,
      ipv4.identificationAndDf(view, inner),
      ipv4.PROTOCOL_IPIP,
      hops[at | OUTER_SOURCE],
      hops[at | OUTER_DESTINATION],
      hops[at | OUTER_SUM],
    );
  }
  writeEthernet(view, frame, hops[at | MAC_0], hops[at | MAC_1], hops[at | MAC_2], ETHERTYPE_IPV4);
  return grown;
}
