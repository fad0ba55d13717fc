/**
 * May a packet be answered by one of our own? What a group was sent, or what comes from an address that is no single host's,
 * is not: an answer would be multiplied, or would go where nobody asked (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
 * lb/echo.ts and lb/too-big.ts ask before they answer.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/** The bit of a MAC's first byte that makes it a group's, broadcast among them. */
const GROUP_BIT = 1;

/** Of a frame whose IP header was checked at the door: true where both its MACs and its source address are one host's. */
export function isAnswerable(view: DataView, offset: number): boolean {
  if (((view.getUint8(offset) | view.getUint8(offset + 6)) & GROUP_BIT) !== 0) return false;
  const ip = offset + ETHERNET_HEADER_LENGTH;
  return ipv4.version(view, ip) === 6 ? isV6Host(view, ip) : isHost(ipv4.source(view, ip) & 0xff);
}

/** By the first byte: not "this network", not loopback, not multicast or above it, broadcast included (RFC 6890). */
function isHost(first: number): boolean {
  return first !== 0 && first !== 127 && first < 224;
}

/** Not multicast, nor an address of ::/32, which holds the unspecified one and loopback. */
function isV6Host(view: DataView, ip: number): boolean {
  const first = ipv6.sourceWord(view, ip, 0);
  return first !== 0 && (first & 0xff) !== 0xff;
}
