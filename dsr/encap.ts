/**
 * Direct server return, the balancer's half: what is done to a packet so that its backend gets it and answers the client
 * itself. `l2` rewrites the MAC addresses and nothing else; `ipip`, `gue` and `gre` put headers in front (dsr/tunnel.ts).
 * lb/forwarder.ts calls `encapsulate` for every packet that it forwards.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, writeHeader as writeEthernet, writeMacs } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import {
  DESTINATION,
  type Encapsulation,
  type Family,
  loadWord,
  outerType,
  SOURCE,
  SUM_OR_FORM,
  setTunnel,
  tunnelOverhead,
  writeTunnel,
} from './tunnel.ts';

/** The one encapsulation that is no tunnel; the others are in dsr/tunnel.ts. */
export const ENCAP_L2 = 0;

/**
 * Where the packets of one service go: a row of sixteen words a backend, made once when a forwarding state is built, so
 * that a packet takes its constants from one cache line. The common tunnel, IPv4 in IPv4, needs the first half alone.
 *
 * ```
 *   0 destination MAC, bytes 0 to 3        4 where its packets are counted
 *   1 its bytes 4 and 5, source MAC 0, 1   5 `constantSum` of the outer header, or a form (dsr/tunnel.ts)
 *   2 source MAC, bytes 2 to 5             6 outer source address        7 outer destination, of IPv4
 *   3 largest IP packet that fits          8 to 11 outer source address, 12 to 15 outer destination, of IPv6
 * ```
 */
export type NextHops = Int32Array;

const ROW_SHIFT = 4;
const ROW = 1 << ROW_SHIFT;
const MAC_0 = 0;
const MAC_1 = 1;
const MAC_2 = 2;
const LARGEST = 3;
const COUNTER = 4;

/** What `largestPacket` says of a row that is no backend's: of one that was removed. */
export const NO_LONGER_THERE = -1;

export interface NextHop {
  /** Six bytes each: the next hop's, and the sending interface's. */
  readonly mac: Uint8Array;
  readonly ownMac: Uint8Array;
  /** Outer addresses, 4 or 16 bytes, both of the backend's family; ENCAP_L2 doesn't look at them. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
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

/** Throws RangeError where the outer addresses are not two of one family. */
export function setNextHop(hops: NextHops, row: number, encapsulation: Encapsulation, hop: NextHop): void {
  const { mac, ownMac } = hop;
  const at = row * ROW;
  hops[at + MAC_0] = loadWord(mac, 0);
  hops[at + MAC_1] = mac[4] | (mac[5] << 8) | (ownMac[0] << 16) | (ownMac[1] << 24);
  hops[at + MAC_2] = loadWord(ownMac, 2);
  hops[at + LARGEST] = hop.mtu - overhead(encapsulation, hop.destination.length === 16 ? 6 : 4);
  if (encapsulation.encap !== ENCAP_L2) setTunnel(hops, at, encapsulation, hop.source, hop.destination);
}

/** Bytes of the largest IP packet that can be sent to the backend of `row`; 0 where it has no next hop, or NO_LONGER_THERE. */
export function largestPacket(hops: NextHops, row: number): number {
  return hops[(row << ROW_SHIFT) | LARGEST];
}

/** The first counter slot of the backend of `row`. */
export function counterOf(hops: NextHops, row: number): number {
  return hops[(row << ROW_SHIFT) | COUNTER];
}

/**
 * Bytes that an encapsulation adds in front of the IP packet, to a backend of family `outer`: what clients' MSS or the
 * path's MTU must leave room for. 52 at most, by GUE over IPv6.
 */
export function overhead(encapsulation: Pick<Encapsulation, 'encap' | 'gue'>, outer: Family): number {
  return encapsulation.encap === ENCAP_L2 ? 0 : tunnelOverhead(encapsulation, outer);
}

/**
 * Rewrites the frame at `offset` for row `row` of `hops`; `encap` is what the row was set with, `hash` the connection's,
 * which spreads flows over ports, flow labels or source addresses. The caller has checked that `ipLength` is not above
 * `largestPacket`, and that the overhead fits in front of the frame. Returns the bytes that the frame grew at its front: the
 * new frame starts at `offset` minus that, and is that plus the Ethernet header plus `ipLength` long (an Ethernet padding
 * is cut off).
 *
 * Outer headers follow field practice: TTL 64 unless configured; DSCP and ECN copied (RFC 6040, normal mode); of IPv4, DF
 * and identification copied, so that a packet which may be fragmented has an identification of its own (RFC 6864), and path
 * MTU discovery keeps working (RFC 2003, 5.1). The inner packet is not touched, its TTL neither; `l2` keeps the EtherType.
 */
export function encapsulate(
  view: DataView,
  offset: number,
  ipLength: number,
  encap: number,
  hops: NextHops,
  row: number,
  hash: number,
): number {
  const at = row << ROW_SHIFT;
  if (encap === ENCAP_L2) {
    writeMacs(view, offset, hops[at | MAC_0], hops[at | MAC_1], hops[at | MAC_2]);
    return 0;
  }
  const sum = hops[at | SUM_OR_FORM];
  if (sum < 0) return encapsulateByForm(view, offset, ipLength, hops, at, hash);
  const inner = offset + ETHERNET_HEADER_LENGTH;
  ipv4.writeHeader(
    view,
    inner - ipv4.IPV4_HEADER_LENGTH,
    ipv4.tos(view, inner),
    ipLength + ipv4.IPV4_HEADER_LENGTH,
    ipv4.identificationAndDf(view, inner),
    ipv4.PROTOCOL_IPIP,
    hops[at | SOURCE],
    hops[at | DESTINATION],
    sum,
  );
  const frame = offset - ipv4.IPV4_HEADER_LENGTH;
  writeEthernet(view, frame, hops[at | MAC_0], hops[at | MAC_1], hops[at | MAC_2], ETHERTYPE_IPV4);
  return ipv4.IPV4_HEADER_LENGTH;
}

/** Every tunnel but the common one; apart from it, because what is compiled into the walk has to stay small. */
function encapsulateByForm(
  view: DataView,
  offset: number,
  ipLength: number,
  hops: NextHops,
  at: number,
  hash: number,
): number {
  const grown = writeTunnel(view, offset + ETHERNET_HEADER_LENGTH, ipLength, hops, at, hash);
  const type = outerType(hops[at | SUM_OR_FORM]);
  writeEthernet(view, offset - grown, hops[at | MAC_0], hops[at | MAC_1], hops[at | MAC_2], type);
  return grown;
}
