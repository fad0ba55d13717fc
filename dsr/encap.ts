/**
 * Direct server return, the balancer's half: what is done to a packet so that its backend gets it and answers the client
 * itself. Two ways: `l2` rewrites the destination MAC and nothing else, `ipip` (RFC 2003) puts an outer IPv4 header in
 * front. lb/forwarder.ts calls `encapsulate` for every packet that it forwards.
 */
// Hot path: no allocation, no throw, no closure, no await.
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  setDestinationMac,
  setEtherType,
  setSourceMac,
} from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';

export const ENCAP_L2 = 0;
export const ENCAP_IPIP = 1;

/** Where the packets of one service go, a row a backend, written once when a forwarding state is built. */
export interface NextHops {
  /** 1 where the row has a MAC and an address to send from. */
  readonly usable: Uint8Array;
  readonly macLow: Int32Array;
  readonly macHigh: Uint16Array;
  /** Largest IP packet that the path's first link takes. */
  readonly mtu: Uint32Array;
  /** Outer source and destination, as packet words. */
  readonly source: Int32Array;
  readonly destination: Int32Array;
  /** `constantSum` of the outer header. */
  readonly headerSum: Int32Array;
}

export function createNextHops(count: number): NextHops {
  return {
    usable: new Uint8Array(count),
    macLow: new Int32Array(count),
    macHigh: new Uint16Array(count),
    mtu: new Uint32Array(count),
    source: new Int32Array(count),
    destination: new Int32Array(count),
    headerSum: new Int32Array(count),
  };
}

/** Bytes that an encapsulation adds in front of the IP packet: what clients' MSS or the path's MTU must leave room for. */
export function overhead(encap: number): number {
  return encap === ENCAP_IPIP ? ipv4.IPV4_HEADER_LENGTH : 0;
}

/**
 * Rewrites the frame at `offset` for row `row` of `hops`; `ownMacLow`/`ownMacHigh` is the sender's address. The caller has
 * checked that the row is usable, that `ipLength` plus the overhead fits its MTU, and that the overhead fits in front of
 * the frame. Returns the bytes that the frame grew at its front: the new frame starts at `offset` minus that, and is that
 * plus the Ethernet header plus `ipLength` long (an Ethernet padding is cut off).
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
  ownMacLow: number,
  ownMacHigh: number,
): number {
  const grown = overhead(encap);
  const frame = offset - grown;
  if (encap === ENCAP_IPIP) {
    const inner = offset + ETHERNET_HEADER_LENGTH;
    ipv4.writeHeader(
      view,
      inner - grown,
      ipv4.tos(view, inner),
      ipLength + grown,
      ipv4.identification(view, inner),
      ipv4.fragmentWord(view, inner) & ipv4.DONT_FRAGMENT,
      ipv4.PROTOCOL_IPIP,
      hops.source[row],
      hops.destination[row],
      hops.headerSum[row],
    );
  }
  setDestinationMac(view, frame, hops.macLow[row], hops.macHigh[row]);
  setSourceMac(view, frame, ownMacLow, ownMacHigh);
  setEtherType(view, frame, ETHERTYPE_IPV4);
  return grown;
}
