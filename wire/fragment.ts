/**
 * What a packet is of its datagram: all of it, the first piece, or a later one (RFC 791; RFC 8200, section 4.5). Only the
 * first has ports; the others are known by addresses and identification. lb/fragments.ts keeps the two together.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { ETHERNET_HEADER_LENGTH } from './ethernet.ts';
import * as ipv4 from './ipv4.ts';
import * as ipv6 from './ipv6.ts';
import { TCP_HEADER_LENGTH } from './tcp.ts';
import { PROTOCOL_UDP, UDP_HEADER_LENGTH } from './udp.ts';

/** What `readFragment` answers. Of an atomic fragment of IPv6 (RFC 6946), WHOLE. */
export const WHOLE = 0;
export const FIRST_FRAGMENT = 1;
export const LATER_FRAGMENT = 2;
/** No honest piece: see `readFragment`. */
export const BAD_FRAGMENT = 3;

/** Where `readFragment` writes of first and later fragments, made once: see the three places below. */
export type FragmentFacts = Int32Array;

/** The identification: 16 bits of IPv4, 32 of IPv6. */
export const FRAGMENT_ID = 0;
/** What stands for the protocol in the datagram's key: IPv4's protocol; for IPv6 always 44, as it is no part of it there. */
export const FRAGMENT_KEY = 1;
/** Offset, from the view's start, of layer 4 in a first fragment; of what is left of the datagram in a later one. */
export const FRAGMENT_L4 = 2;

const FRAGMENT_HEADER = 44;
const AUTHENTICATION = 51;
const V6_IDENTIFICATION = 4;

export function createFragmentFacts(): FragmentFacts {
  return new Int32Array(3);
}

/**
 * Says what the packet at `offset` is and fills `facts`; its IP header and `ipLength` were checked at the door.
 *
 * BAD_FRAGMENT where no sender cuts so: a piece that is not the last and no multiple of eight bytes long, or empty; one
 * that reaches beyond 65,535 bytes (the "ping of death"); a first one without the whole header of TCP or UDP, and a later
 * one that would overwrite its flags (RFC 1858, sections 3 and 4; RFC 7112); extension headers that don't add up.
 */
export function readFragment(view: DataView, offset: number, ipLength: number, facts: FragmentFacts): number {
  const ip = offset + ETHERNET_HEADER_LENGTH;
  const end = ip + ipLength;
  return ipv4.version(view, ip) === 6 ? readV6(view, ip, end, facts) : readV4(view, ip, end, facts);
}

function readV4(view: DataView, ip: number, end: number, facts: FragmentFacts): number {
  if (!ipv4.isFragment(view, ip)) return WHOLE;
  const l4 = ip + ipv4.headerLength(view, ip);
  const before = ipv4.fragmentOffset(view, ip);
  const protocol = ipv4.protocol(view, ip);
  const length = end - l4;
  if (length <= 0 || (ipv4.hasMoreFragments(view, ip) && (length & 7) !== 0)) return BAD_FRAGMENT;
  // Of the datagram put together, the header counts too: 65,535 is what its length field can say.
  if (l4 - ip + before + length > 0xffff) return BAD_FRAGMENT;
  facts[FRAGMENT_ID] = ipv4.identification(view, ip);
  facts[FRAGMENT_KEY] = protocol;
  facts[FRAGMENT_L4] = l4;
  if (before !== 0) return overwritesHeader(protocol, before) ? BAD_FRAGMENT : LATER_FRAGMENT;
  return length < headerOf(protocol) ? BAD_FRAGMENT : FIRST_FRAGMENT;
}

function readV6(view: DataView, ip: number, end: number, facts: FragmentFacts): number {
  const walk = ipv6.walkExtensions(view, ip, end);
  if (walk === ipv6.DAMAGED_EXTENSIONS) return BAD_FRAGMENT;
  if ((walk & ipv6.WALKED_FRAGMENT) === 0) return WHOLE;
  const l4 = ip + ipv6.walkedL4(walk);
  const protocol = ipv6.walkedProtocol(walk);
  const header = fragmentHeader(view, ip);
  if (l4 >= end) return BAD_FRAGMENT;
  facts[FRAGMENT_ID] = view.getInt32(header + V6_IDENTIFICATION);
  facts[FRAGMENT_KEY] = FRAGMENT_HEADER;
  facts[FRAGMENT_L4] = l4;
  if ((walk & ipv6.WALKED_LATER_FRAGMENT) !== 0) {
    return overwritesHeader(protocol, view.getUint16(header + 2) & 0xfff8) ? BAD_FRAGMENT : LATER_FRAGMENT;
  }
  return end - l4 < headerOf(protocol) ? BAD_FRAGMENT : FIRST_FRAGMENT;
}

/** The walk has been over them, and there is one: so this ends, inside the packet. */
function fragmentHeader(view: DataView, ip: number): number {
  let at = ip + ipv6.IPV6_HEADER_LENGTH;
  let protocol = ipv6.nextHeader(view, ip);
  while (protocol !== FRAGMENT_HEADER) {
    const units = view.getUint8(at + 1);
    const length = protocol === AUTHENTICATION ? (units + 2) << 2 : (units + 1) << 3;
    protocol = view.getUint8(at);
    at += length;
  }
  return at;
}

function headerOf(protocol: number): number {
  if (protocol === ipv4.PROTOCOL_TCP) return TCP_HEADER_LENGTH;
  return protocol === PROTOCOL_UDP ? UDP_HEADER_LENGTH : 0;
}

function overwritesHeader(protocol: number, before: number): boolean {
  return before < headerOf(protocol);
}
