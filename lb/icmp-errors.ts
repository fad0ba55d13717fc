/**
 * Whose connection is an ICMP error about? Routers and clients answer what a backend sent, as if the VIP had sent it; so
 * the error comes to the balancer, and the backend must hear of it: without "fragmentation needed" its connection hangs.
 * The error quotes the backend's packet, from the VIP to the client, and eight bytes of layer 4 hold both ports.
 *
 * lb/forwarder.ts calls `findQuote` for errors of a kind that is about packets of a flow. The flow is the quoted one the
 * other way round: its client is the quoted destination, its service's port the quoted source port.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { PROTOCOL_UDP } from '../wire/udp.ts';

/** What `findQuote` found: a packet of a flow, or why not. */
export const QUOTE_OF_FLOW = 0;
/** No error, an error of a kind that no backend acts on (redirects), or a quote of another protocol. */
export const QUOTE_NOT_ABOUT_FLOW = 1;
/** The quoted packet is ICMP itself: the answer to an echo request, say. */
export const QUOTE_OF_ICMP = 2;
/** The quoted packet is a piece of a datagram, and not its first, which alone has ports. */
export const QUOTE_WITHOUT_PORTS = 3;
/** It ends before eight bytes of layer 4. */
export const QUOTE_TRUNCATED = 4;
/** Its header cannot be right, or it was not sent by the address that the error came to: forged, or misdirected. */
export const QUOTE_DAMAGED = 5;

/** Where `findQuote` writes, made once: see the three places below. */
export type Quote = Int32Array;

/** Offset of the quoted IP header from the view's start. */
export const QUOTED_IP = 0;
/** Offset of the quoted layer 4 header, of which eight bytes are there. */
export const QUOTED_L4 = 1;
/** TCP or UDP. */
export const QUOTED_PROTOCOL = 2;

/** Ports and sequence number: what RFC 792 promises to be quoted. */
const QUOTED_L4_LENGTH = 8;

export function createQuote(): Quote {
  return new Int32Array(3);
}

/**
 * Looks into the error at `l4` of the frame at `offset`, whose IP header and length were checked at the door. Writes `quote`
 * and returns QUOTE_OF_FLOW, or returns a reason. The error's own checksum is left to the backend, as a segment's is.
 */
export function findQuote(view: DataView, offset: number, ipLength: number, l4: number, quote: Quote): number {
  const ip = offset + ETHERNET_HEADER_LENGTH;
  const end = ip + ipLength;
  if (l4 + icmp.ICMP_HEADER_LENGTH > end) return QUOTE_TRUNCATED;
  const type = icmp.type(view, l4);
  const quoted = l4 + icmp.ICMP_HEADER_LENGTH;
  if (ipv4.version(view, ip) === 6) {
    return isAboutV6Flow(type) ? findV6Quote(view, ip, quoted, end, quote) : QUOTE_NOT_ABOUT_FLOW;
  }
  return isAboutFlow(type) ? findV4Quote(view, ip, quoted, end, quote) : QUOTE_NOT_ABOUT_FLOW;
}

/** Source quench is deprecated (RFC 6633), and a redirect is for the host that it is addressed to, not for a backend. */
function isAboutFlow(type: number): boolean {
  return type === icmp.UNREACHABLE || type === icmp.TIME_EXCEEDED || type === icmp.PARAMETER_PROBLEM;
}

function isAboutV6Flow(type: number): boolean {
  return type >= icmp.V6_UNREACHABLE && type <= icmp.V6_PARAMETER_PROBLEM;
}

function findV4Quote(view: DataView, ip: number, quoted: number, end: number, quote: Quote): number {
  if (quoted + ipv4.IPV4_HEADER_LENGTH > end) return QUOTE_TRUNCATED;
  const headerLength = ipv4.headerLength(view, quoted);
  if (ipv4.version(view, quoted) !== 4 || headerLength < ipv4.IPV4_HEADER_LENGTH) return QUOTE_DAMAGED;
  if (ipv4.source(view, quoted) !== ipv4.destination(view, ip)) return QUOTE_DAMAGED;
  // Its total length says how long the packet was, not how much of it is quoted: only too short is a lie.
  if (ipv4.totalLength(view, quoted) < headerLength) return QUOTE_DAMAGED;
  const isLater = ipv4.fragmentOffset(view, quoted) !== 0;
  return settle(quoted, quoted + headerLength, end, ipv4.protocol(view, quoted), isLater, quote);
}

function findV6Quote(view: DataView, ip: number, quoted: number, end: number, quote: Quote): number {
  if (quoted + ipv6.IPV6_HEADER_LENGTH > end) return QUOTE_TRUNCATED;
  if (ipv6.version(view, quoted) !== 6) return QUOTE_DAMAGED;
  for (let k = 0; k < 4; k++) {
    if (ipv6.sourceWord(view, quoted, k) !== ipv6.destinationWord(view, ip, k)) return QUOTE_DAMAGED;
  }
  const walk = ipv6.walkExtensions(view, quoted, end);
  if (walk === ipv6.DAMAGED_EXTENSIONS) return QUOTE_DAMAGED;
  const isLater = (walk & ipv6.WALKED_LATER_FRAGMENT) !== 0;
  return settle(quoted, quoted + ipv6.walkedL4(walk), end, ipv6.walkedProtocol(walk), isLater, quote);
}

function settle(ip: number, l4: number, end: number, protocol: number, isLater: boolean, quote: Quote): number {
  if (protocol === icmp.PROTOCOL_ICMP || protocol === ipv6.PROTOCOL_ICMPV6) return QUOTE_OF_ICMP;
  if (protocol !== ipv4.PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return QUOTE_NOT_ABOUT_FLOW;
  if (isLater) return QUOTE_WITHOUT_PORTS;
  if (l4 + QUOTED_L4_LENGTH > end) return QUOTE_TRUNCATED;
  quote[QUOTED_IP] = ip;
  quote[QUOTED_L4] = l4;
  quote[QUOTED_PROTOCOL] = protocol;
  return QUOTE_OF_FLOW;
}
