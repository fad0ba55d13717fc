/**
 * Tunnels to backends: which headers stand between Ethernet and the client's packet, for every encapsulation and both
 * families inside and outside.
 *
 * ```
 * ipip   IPv4 or IPv6 │ packet                  RFC 2003, RFC 2473, RFC 4213
 * gre    IPv4 or IPv6 │ GRE │ packet            RFC 2784, RFC 7676
 * gue    IPv4 or IPv6 │ UDP │ GUE │ packet      draft-ietf-intarea-gue; variant 1 without the GUE header
 * ```
 *
 * dsr/encap.ts, which has the common tunnel (IPv4 in IPv4 by `ipip`) written out for speed, calls `writeTunnel` for all
 * others. The second half of a backend's row there, from word 5, is laid out and filled here.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts';
import * as gre from '../wire/gre.ts';
import * as gue from '../wire/gue.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';

export const ENCAP_IPIP = 1;
export const ENCAP_GUE = 2;
export const ENCAP_GRE = 3;

export type Family = 4 | 6;

/** As `ttl`: the outer header has the inner one's. */
export const COPY_TTL = 0;

/** How the packets of one service get to its backends. Of ENCAP_L2 (dsr/encap.ts) the other fields don't matter. */
export interface Encapsulation {
  /** ENCAP_IPIP, ENCAP_GUE or ENCAP_GRE. */
  readonly encap: number;
  /** Of the packets inside: the VIP's. */
  readonly family: Family;
  /** Of the outer header: 1 to 255, or COPY_TTL. */
  readonly ttl: number;
  /** ENCAP_IPIP alone: see `variedSource`. */
  readonly varySource: boolean;
  readonly gue: { readonly port: number; readonly variant: 0 | 1 };
}

/** Word of a row: `constantSum` of the outer header where that is the common tunnel's; else a form, which is negative. */
export const SUM_OR_FORM = 5;
/** Words of a row: the outer addresses, of IPv4 ... */
export const SOURCE = 6;
export const DESTINATION = 7;
/** ... or, with the destination behind the source, of IPv6. */
const ADDRESSES_IPV6 = 8;
const SOURCE_IPV6_LAST = ADDRESSES_IPV6 + 3;
const DESTINATION_IPV6_LAST = ADDRESSES_IPV6 + 7;

/** A form is these bits: the GUE port in the low 16, TTL in the next 8, kind of tunnel and families above. */
const TTL_SHIFT = 16;
const KIND = 3 << 24;
const KIND_IPIP = 0 << 24;
const KIND_GRE = 1 << 24;
const KIND_GUE = 2 << 24;
const KIND_GUE_VARIANT_1 = 3 << 24;
const INNER_IPV6 = 1 << 26;
const OUTER_IPV6 = 1 << 27;
const VARIED_SOURCE = 1 << 28;
const IS_FORM = 1 << 31;
const SHAPE = KIND | INNER_IPV6 | OUTER_IPV6 | VARIED_SOURCE;
const IPV6_IN_IPV6 = KIND_IPIP | INNER_IPV6 | OUTER_IPV6;

/** Bytes that a tunnel adds in front of the client's packet; `outer` is the backend's family. */
export function tunnelOverhead(
  { encap, gue: { variant } }: Pick<Encapsulation, 'encap' | 'gue'>,
  outer: Family,
): number {
  return (outer === 6 ? ipv6.IPV6_HEADER_LENGTH : ipv4.IPV4_HEADER_LENGTH) + bytesBetween(kindOf(encap, variant));
}

/**
 * Fills in the row at word `at`. `source` and `destination` are the outer addresses, 4 bytes each or 16 bytes each; throws
 * RangeError for others.
 */
export function setTunnel(
  hops: Int32Array,
  at: number,
  tunnel: Encapsulation,
  source: Uint8Array,
  destination: Uint8Array,
): void {
  const { length } = source;
  if ((length !== 4 && length !== 16) || destination.length !== length) {
    throw new RangeError(
      `outer addresses of ${length} and ${destination.length} bytes: expected 4 and 4, or 16 and 16`,
    );
  }
  const outer = length === 4 ? 4 : 6;
  const to = at + (outer === 4 ? SOURCE : ADDRESSES_IPV6);
  for (let i = 0; i < length; i += 4) {
    hops[to + i / 4] = loadWord(source, i);
    hops[to + (length + i) / 4] = loadWord(destination, i);
  }
  hops[at + SUM_OR_FORM] = isCommon(tunnel, outer)
    ? ipv4.constantSum(ipv4.PROTOCOL_IPIP, hops[at + SOURCE], hops[at + DESTINATION])
    : formOf(tunnel, outer);
}

function isCommon({ encap, family, ttl, varySource }: Encapsulation, outer: Family): boolean {
  return encap === ENCAP_IPIP && family === 4 && outer === 4 && ttl === ipv4.DEFAULT_TTL && !varySource;
}

function formOf({ encap, family, ttl, varySource, gue: { port, variant } }: Encapsulation, outer: Family): number {
  return (
    IS_FORM |
    port |
    (ttl << TTL_SHIFT) |
    kindOf(encap, variant) |
    (family === 6 ? INNER_IPV6 : 0) |
    (outer === 6 ? OUTER_IPV6 : 0) |
    (encap === ENCAP_IPIP && varySource ? VARIED_SOURCE : 0)
  );
}

function kindOf(encap: number, variant: 0 | 1): number {
  if (encap === ENCAP_IPIP) return KIND_IPIP;
  if (encap === ENCAP_GRE) return KIND_GRE;
  return variant === 1 ? KIND_GUE_VARIANT_1 : KIND_GUE;
}

/** Four bytes as packets have them, little-endian. */
export function loadWord(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

/** EtherType of the outer header. */
export function outerType(form: number): number {
  return (form & OUTER_IPV6) !== 0 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
}

/**
 * Writes the headers in front of the packet of `ipLength` bytes at `inner`, by the form of the row at word `at`. `hash`
 * is the connection's: it spreads flows, each of which keeps its way and its order. Returns the bytes written.
 */
export function writeTunnel(
  view: DataView,
  inner: number,
  ipLength: number,
  hops: Int32Array,
  at: number,
  hash: number,
): number {
  const form = hops[at | SUM_OR_FORM];
  if ((form & SHAPE) === IPV6_IN_IPV6) return writeIpv6InIpv6(view, inner, ipLength, hops, at, hash, form);
  const kind = form & KIND;
  const between = bytesBetween(kind);
  const innerIsIpv6 = (form & INNER_IPV6) !== 0;
  const innerProtocol = innerIsIpv6 ? ipv6.PROTOCOL_IPV6 : ipv4.PROTOCOL_IPIP;
  const start = inner - between;
  let protocol = innerProtocol;
  if (kind === KIND_GRE) {
    protocol = gre.PROTOCOL_GRE;
    gre.writeHeader(view, start, innerIsIpv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  } else if (kind !== KIND_IPIP) {
    protocol = udp.PROTOCOL_UDP;
    // Without a checksum: the inner packet has its own. Over IPv6 that is RFC 6935's exception for tunnels.
    udp.writeHeader(view, start, gue.sourcePortOf(hash), form & 0xffff, between + ipLength);
    if (kind === KIND_GUE) gue.writeHeader(view, inner - gue.GUE_HEADER_LENGTH, innerProtocol);
  }
  const ttl = (form >>> TTL_SHIFT) & 0xff || innerTtl(view, inner, innerIsIpv6);
  const tos = innerIsIpv6 ? ipv6.trafficClass(view, inner) : ipv4.tos(view, inner);
  if ((form & OUTER_IPV6) !== 0) {
    const ip = start - ipv6.IPV6_HEADER_LENGTH;
    // The flow label tells the flows of a tunnel apart where ports are not looked at (RFC 6438).
    ipv6.writeHeader(view, ip, tos, hash >>> 12, between + ipLength, protocol, ttl, hops, at | ADDRESSES_IPV6);
    if ((form & VARIED_SOURCE) !== 0) {
      const word = variedSource(hops[at | SOURCE_IPV6_LAST], hops[at | DESTINATION_IPV6_LAST], hash);
      ipv6.setSourceWord(view, ip, 3, word);
    }
    return between + ipv6.IPV6_HEADER_LENGTH;
  }
  const ip = start - ipv4.IPV4_HEADER_LENGTH;
  const length = ipv4.IPV4_HEADER_LENGTH + between + ipLength;
  // Around IPv6, which nobody but its sender may fragment, an atomic datagram (RFC 4213, section 3.2.2; RFC 6864).
  const identification = innerIsIpv6 ? ipv4.ATOMIC : ipv4.identificationAndDf(view, inner);
  const destination = hops[at | DESTINATION];
  const own = hops[at | SOURCE];
  const source = (form & VARIED_SOURCE) !== 0 ? variedSource(own, destination, hash) : own;
  ipv4.writeHeaderWithTtl(view, ip, tos, length, identification, ttl, protocol, source, destination);
  return between + ipv4.IPV4_HEADER_LENGTH;
}

/** The common tunnel of IPv6, without the questions that the others are asked. */
function writeIpv6InIpv6(
  view: DataView,
  inner: number,
  ipLength: number,
  hops: Int32Array,
  at: number,
  hash: number,
  form: number,
): number {
  const ip = inner - ipv6.IPV6_HEADER_LENGTH;
  const ttl = (form >>> TTL_SHIFT) & 0xff || ipv6.hopLimit(view, inner);
  const tos = ipv6.trafficClass(view, inner);
  ipv6.writeHeader(view, ip, tos, hash >>> 12, ipLength, ipv6.PROTOCOL_IPV6, ttl, hops, at | ADDRESSES_IPV6);
  return ipv6.IPV6_HEADER_LENGTH;
}

/**
 * `varySource`: the low 16 bits of the source address, which are the high half of its last word as loaded, XOR the high
 * half of the connection's hash: to a backend's network card, which looks at addresses alone, a flow is then one of 65,536
 * senders. Never the backend's own address, which no kernel takes as a source.
 */
function variedSource(word: number, destinationWord: number, hash: number): number {
  const varied = word ^ (hash & ~0xffff);
  return varied === destinationWord ? word : varied;
}

function bytesBetween(kind: number): number {
  if (kind === KIND_IPIP) return 0;
  if (kind === KIND_GRE) return gre.GRE_HEADER_LENGTH;
  return kind === KIND_GUE ? udp.UDP_HEADER_LENGTH + gue.GUE_HEADER_LENGTH : udp.UDP_HEADER_LENGTH;
}

function innerTtl(view: DataView, inner: number, innerIsIpv6: boolean): number {
  return innerIsIpv6 ? ipv6.hopLimit(view, inner) : ipv4.ttl(view, inner);
}
