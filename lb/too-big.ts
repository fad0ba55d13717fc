/**
 * A packet that does not fit through the tunnel to its backend, and may not be cut: its sender is told how much does (path
 * MTU discovery: RFC 1191, RFC 8201), by an ICMP error from the VIP that quotes the packet. lb/forwarder.ts calls
 * `writeTooBig`, within the limits of lb/rate-limit.ts.
 */
// Hot path: no allocation, no throw, no closure, no await.
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  setDestinationMac,
  setEtherType,
  setSourceMac,
  sourceMacHigh,
  sourceMacLow,
} from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { isAnswerable } from './answerable.ts';

/** Bytes that the frame grows at its front: the headers of the error. The larger is the headroom that is needed. */
export const TOO_BIG_GROWTH = ipv4.IPV4_HEADER_LENGTH + icmp.ICMP_HEADER_LENGTH;
export const V6_TOO_BIG_GROWTH = ipv6.IPV6_HEADER_LENGTH + icmp.ICMP_HEADER_LENGTH;

/** Bytes of the largest error: RFC 1812, section 4.3.2.3, and RFC 4443, section 2.4 (c). */
const LARGEST_ERROR = 576;
const LARGEST_V6_ERROR = 1280;

/** Precedence "internetwork control", which RFC 1812, section 4.3.2.5, asks for in errors. */
const CONTROL = 0xc0;

/** The destination's and the source's four words, as wire/ipv6.ts writes them; used within one call. */
const addresses = new Int32Array(8);

/**
 * Puts the error that answers the packet in the frame at `offset` in front of it: to the MAC and the address that it came
 * from, from the MAC given and from the packet's destination, TTL 64. `mtu` is what fits, in bytes of the packet at hand;
 * `ipLength` was checked at the door.
 *
 * Returns the length of the new frame, which starts at `offset` less TOO_BIG_GROWTH, or V6_TOO_BIG_GROWTH for IPv6. 0, and
 * nothing touched, where an error must not be sent (RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)): about an ICMP error,
 * about a fragment that is not the first, to a group or to an address that is no host's; or where `mtu` is below what
 * IPv6 promises (1280) or IPv4 can mean (68): senders ignore these, and an attacker would want them.
 */
export function writeTooBig(
  view: DataView,
  offset: number,
  ipLength: number,
  mtu: number,
  ownMacLow: number,
  ownMacHigh: number,
): number {
  if (!isAnswerable(view, offset)) return 0;
  const ip = offset + ETHERNET_HEADER_LENGTH;
  const isV6 = ipv4.version(view, ip) === 6;
  if (isV6 ? !deservesV6Error(view, ip, ipLength, mtu) : !deservesError(view, ip, ipLength, mtu)) return 0;

  const low = sourceMacLow(view, offset);
  const high = sourceMacHigh(view, offset);
  const errorLength = isV6 ? writeV6Error(view, ip, ipLength, mtu) : writeError(view, ip, ipLength, mtu);
  const frame = offset - (isV6 ? V6_TOO_BIG_GROWTH : TOO_BIG_GROWTH);
  setDestinationMac(view, frame, low, high);
  setSourceMac(view, frame, ownMacLow, ownMacHigh);
  setEtherType(view, frame, isV6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  return ETHERNET_HEADER_LENGTH + errorLength;
}

/** What every link of a family takes (RFC 791; RFC 8200, section 5). */
const IPV4_MIN_MTU = 68;
const IPV6_MIN_MTU = 1280;

function deservesError(view: DataView, ip: number, ipLength: number, mtu: number): boolean {
  if (mtu < IPV4_MIN_MTU || ipv4.fragmentOffset(view, ip) !== 0) return false;
  if (ipv4.protocol(view, ip) !== icmp.PROTOCOL_ICMP) return true;
  const headerLength = ipv4.headerLength(view, ip);
  return headerLength < ipLength && !icmp.isError(icmp.type(view, ip + headerLength));
}

function deservesV6Error(view: DataView, ip: number, ipLength: number, mtu: number): boolean {
  const walk = ipv6.walkExtensions(view, ip, ip + ipLength);
  if (mtu < IPV6_MIN_MTU || walk === ipv6.DAMAGED_EXTENSIONS) return false;
  if ((walk & ipv6.WALKED_LATER_FRAGMENT) !== 0) return false;
  if (ipv6.walkedProtocol(walk) !== ipv6.PROTOCOL_ICMPV6) return true;
  const l4 = ipv6.walkedL4(walk);
  return l4 < ipLength && !icmp.isV6Error(icmp.type(view, ip + l4));
}

/** Both return the length of the IP packet that they have written in front of `ip`. */
function writeError(view: DataView, ip: number, ipLength: number, mtu: number): number {
  const length = Math.min(TOO_BIG_GROWTH + ipLength, LARGEST_ERROR);
  const client = ipv4.source(view, ip);
  const vip = ipv4.destination(view, ip);
  const message = ip - icmp.ICMP_HEADER_LENGTH;
  const messageLength = length - ipv4.IPV4_HEADER_LENGTH;
  icmp.writeHeader(view, message, messageLength, icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, mtu, 0);
  const sum = ipv4.constantSum(icmp.PROTOCOL_ICMP, vip, client);
  ipv4.writeHeader(view, ip - TOO_BIG_GROWTH, CONTROL, length, ipv4.ATOMIC, icmp.PROTOCOL_ICMP, vip, client, sum);
  return length;
}

function writeV6Error(view: DataView, ip: number, ipLength: number, mtu: number): number {
  const length = Math.min(V6_TOO_BIG_GROWTH + ipLength, LARGEST_V6_ERROR);
  const outer = ip - V6_TOO_BIG_GROWTH;
  const messageLength = length - ipv6.IPV6_HEADER_LENGTH;
  for (let k = 0; k < 4; k++) {
    addresses[k] = ipv6.destinationWord(view, ip, k);
    addresses[4 + k] = ipv6.sourceWord(view, ip, k);
  }
  ipv6.writeHeader(view, outer, 0, 0, messageLength, ipv6.PROTOCOL_ICMPV6, ipv4.DEFAULT_TTL, addresses, 0);
  const pseudoSum = icmp.v6PseudoSum(view, outer, messageLength);
  icmp.writeHeader(view, ip - icmp.ICMP_HEADER_LENGTH, messageLength, icmp.V6_TOO_BIG, 0, mtu, pseudoSum);
  return length;
}
