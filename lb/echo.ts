/**
 * `echo: answer`: the balancer answers an echo request to a VIP itself. A ping then tells that the balancer is there and
 * that the way to it is good, as operators and monitors expect of an address; a backend's health is not asked.
 * lb/forwarder.ts calls `answerEcho` for ICMP to a VIP.
 */
// Hot path: no allocation, no throw, no closure, no await.
import {
  destinationMacHigh,
  destinationMacLow,
  ETHERNET_HEADER_LENGTH,
  setDestinationMac,
  setSourceMac,
  sourceMacHigh,
  sourceMacLow,
} from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { isAnswerable } from './answerable.ts';

/**
 * Turns the echo request in the frame at `offset` into its reply, where it lies: MACs and addresses swapped, TTL 64, type and
 * checksums changed (RFC 792; RFC 4443, section 4.2). All else, identification and data, is the request's.
 *
 * False, and nothing touched, for what is no whole and intact echo request, and for one with IP options or extension
 * headers: a route recorded or prescribed there would have to be turned round. `ipLength` was checked at the door.
 */
export function answerEcho(view: DataView, offset: number, ipLength: number): boolean {
  const ip = offset + ETHERNET_HEADER_LENGTH;
  const version = ipv4.version(view, ip);
  if (version === 4 ? !isRequest(view, ip, ipLength) : !isV6Request(view, ip, ipLength)) return false;
  if (!isAnswerable(view, offset)) return false;
  swapMacs(view, offset);
  if (version === 4) {
    ipv4.swapAddresses(view, ip);
    ipv4.setTtl(view, ip, ipv4.DEFAULT_TTL);
    icmp.changeType(view, ip + ipv4.IPV4_HEADER_LENGTH, icmp.ECHO_REQUEST, icmp.ECHO_REPLY);
  } else {
    swapV6Addresses(view, ip);
    view.setUint8(ip + V6_HOP_LIMIT, ipv4.DEFAULT_TTL);
    icmp.changeType(view, ip + ipv6.IPV6_HEADER_LENGTH, icmp.V6_ECHO_REQUEST, icmp.V6_ECHO_REPLY);
  }
  return true;
}

const V6_HOP_LIMIT = 7;

function isRequest(view: DataView, ip: number, ipLength: number): boolean {
  const message = ip + ipv4.IPV4_HEADER_LENGTH;
  const length = ipLength - ipv4.IPV4_HEADER_LENGTH;
  return (
    length >= icmp.ICMP_HEADER_LENGTH &&
    ipv4.headerLength(view, ip) === ipv4.IPV4_HEADER_LENGTH &&
    ipv4.protocol(view, ip) === icmp.PROTOCOL_ICMP &&
    !ipv4.isFragment(view, ip) &&
    icmp.type(view, message) === icmp.ECHO_REQUEST &&
    icmp.code(view, message) === 0 &&
    icmp.isIntact(view, message, length, 0)
  );
}

function isV6Request(view: DataView, ip: number, ipLength: number): boolean {
  const message = ip + ipv6.IPV6_HEADER_LENGTH;
  const length = ipLength - ipv6.IPV6_HEADER_LENGTH;
  return (
    length >= icmp.ICMP_HEADER_LENGTH &&
    ipv6.nextHeader(view, ip) === ipv6.PROTOCOL_ICMPV6 &&
    icmp.type(view, message) === icmp.V6_ECHO_REQUEST &&
    icmp.code(view, message) === 0 &&
    icmp.isIntact(view, message, length, icmp.v6PseudoSum(view, ip, length))
  );
}

function swapMacs(view: DataView, offset: number): void {
  const low = destinationMacLow(view, offset);
  const high = destinationMacHigh(view, offset);
  setDestinationMac(view, offset, sourceMacLow(view, offset), sourceMacHigh(view, offset));
  setSourceMac(view, offset, low, high);
}

function swapV6Addresses(view: DataView, ip: number): void {
  for (let k = 0; k < 4; k++) {
    const client = ipv6.sourceWord(view, ip, k);
    ipv6.setSourceWord(view, ip, k, ipv6.destinationWord(view, ip, k));
    ipv6.setDestinationWord(view, ip, k, client);
  }
}
