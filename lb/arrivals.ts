/**
 * The first pass for whatever is no plain IPv4 segment: IPv6, VLAN tags, IP options, fragments, ICMP. lb/forwarder.ts calls
 * `arriveOtherwise`, which fills the same columns as its own fast path and answers with FLOW, with one of the detours below,
 * or with the exit that the packet leaves by.
 *
 * ```
 *   802.1Q, QinQ ─► the tags aside, then as without them          (put back on the way out)
 *   IPv6         ─► extension headers ─► service ─► FLOW
 *   IP options   ─► service ─► FLOW, where it accepts them
 *   ICMP error   ─► the packet that it quotes ─► service ─► RELATED
 *   echo request ─► answered here, or ECHO for a backend
 *   fragment     ─► FIRST_PIECE with ports, LATER_PIECE without
 * ```
 *
 * An IPv6 address doesn't fit a column. `source` has 32 bits that stand for it, and the connection's hash is over 32 others
 * (hashing/flow-hash-ipv6.ts).
 */
// Hot path: no allocation, no throw, no closure, no await.
import { connectionHash } from '../hashing/flow-hash.ts';
import { connectionHashIpv6, digestAndWord } from '../hashing/flow-hash-ipv6.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV6, etherType } from '../wire/ethernet.ts';
import { FLOW, FRAGMENT, IP_OPTIONS, NOT_IP, OTHER_PROTOCOL, parseFlow, parseIpv6, parseLayer4 } from '../wire/flow.ts';
import { FIRST_FRAGMENT, FRAGMENT_L4, LATER_FRAGMENT, readFragment } from '../wire/fragment.ts';
import * as icmp from '../wire/icmp.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { destinationPortOf, flags as flagsAt, ports as portsAt } from '../wire/tcp.ts';
import { PROTOCOL_UDP } from '../wire/udp.ts';
import { answerEcho } from './echo.ts';
import * as exits from './exits.ts';
import type { Forwarder } from './forwarder.ts';
import { ECHO_ANSWER, ECHO_BACKEND, type ForwardingState } from './forwarding-state.ts';
import { findQuote, QUOTE_OF_FLOW, QUOTED_IP, QUOTED_L4, QUOTED_PROTOCOL } from './icmp-errors.ts';
import { OFFSET_MASK } from './offset-mask.ts';
import { findService, findService6, firstService, NO_SERVICE, VIP_ONLY, vipRow, vipRow6 } from './service-index.ts';
import { takeTagsOff } from './vlan-tags.ts';

/** Ways through the second pass (lb/detours.ts) beside FLOW's; no exit is negative. */
export const RELATED = -1;
export const ECHO = -2;
export const FIRST_PIECE = -3;
export const LATER_PIECE = -4;

/** What the first pass asks for packet `i`, of which `parseFlow` said `parsed`, and not FLOW. */
export type ArriveOtherwise = (state: ForwardingState, i: number, parsed: number) => number;

/** The arrivals of one forwarder. Cold; what it returns is hot. */
export function createArrivals(forwarder: Forwarder): ArriveOtherwise {
  const { view, batch, flows, service, hash, client, quote, piece } = forwarder;
  const { offset, length } = batch;
  const { source, destination, ports, tcpFlags, ipLength, protocol, l4 } = flows;

  function arrive(state: ForwardingState, i: number, parsed: number): number {
    if (parsed >= OTHER_PROTOCOL) return arriveIpv4(state, i, parsed);
    if (parsed !== NOT_IP) return parsed;
    const type = etherType(view, offset[i]);
    if (type === ETHERTYPE_IPV6) return arriveIpv6(state, i);
    return takeTagsOff(forwarder, i) ? arriveUntagged(state, i) : NOT_IP;
  }

  /** A frame whose tags were taken off: as the fast path would, which has the same lines for speed. */
  function arriveUntagged(state: ForwardingState, i: number): number {
    const parsed = parseFlow(view, offset[i], length[i], flows, i);
    if (parsed === FLOW) return enterIpv4(state, i);
    if (parsed >= OTHER_PROTOCOL) return arriveIpv4(state, i, parsed);
    if (parsed !== NOT_IP || etherType(view, offset[i]) !== ETHERTYPE_IPV6) return parsed;
    return arriveIpv6(state, i);
  }

  function arriveIpv4(state: ForwardingState, i: number, parsed: number): number {
    if (vipRow(state.index, destination[i]) === NO_SERVICE) return exits.NOT_VIP;
    if (parsed === FRAGMENT) return arriveInPieces(state, i);
    if (parsed === IP_OPTIONS) return arriveWithOptions(state, i);
    if (parsed !== OTHER_PROTOCOL || protocol[i] !== icmp.PROTOCOL_ICMP) return parsed;
    if (ipv4.isFragment(view, offset[i] + ETHERNET_HEADER_LENGTH)) return exits.FRAGMENT;
    return arriveIcmp(state, i);
  }

  /** Accepted by the service, options stay where they are: the backend gets the packet as it came. */
  function arriveWithOptions(state: ForwardingState, i: number): number {
    const end = offset[i] + ETHERNET_HEADER_LENGTH + ipLength[i];
    const parsed = parseLayer4(view, l4[i], end - l4[i], protocol[i], flows, i);
    if (parsed !== FLOW) return parsed;
    const entered = enterIpv4(state, i);
    if (entered !== FLOW || state.services[service[i]].acceptsIpOptions) return entered;
    service[i] = NO_SERVICE;
    return IP_OPTIONS;
  }

  function arriveIpv6(state: ForwardingState, i: number): number {
    const parsed = parseIpv6(view, offset[i] & OFFSET_MASK, length[i], flows, i);
    if (parsed === FLOW) return enterIpv6(state, i);
    if (parsed < OTHER_PROTOCOL) return parsed;
    if (vipRowOf(forwarder, state, i) === NO_SERVICE) return exits.NOT_VIP;
    if (parsed === FRAGMENT) return arriveInPieces(state, i);
    if (parsed !== OTHER_PROTOCOL || protocol[i] !== ipv6.PROTOCOL_ICMPV6) return parsed;
    return arriveIcmp(state, i);
  }

  /** From ports and protocol to the service: FLOW, or the exit of a packet for none. */
  function enterIpv4(state: ForwardingState, i: number): number {
    const owner = findService(state.index, destination[i], destinationPortOf(ports[i]), protocol[i]);
    if (owner < 0) return owner === VIP_ONLY ? exits.OTHER_PORT : exits.NOT_VIP;
    service[i] = owner;
    hash[i] = connectionHash(source[i], ports[i], state.hashSeed);
    return FLOW;
  }

  function enterIpv6(state: ForwardingState, i: number): number {
    const ip = (offset[i] & OFFSET_MASK) + ETHERNET_HEADER_LENGTH;
    const owner = findServiceAt(view, ip + ipv6.DESTINATION, state, destinationPortOf(ports[i]), protocol[i]);
    if (owner < 0) return owner === VIP_ONLY ? exits.OTHER_PORT : exits.NOT_VIP;
    service[i] = owner;
    noteClient(state, i, ip + ipv6.SOURCE);
    return FLOW;
  }

  /** What stands for the client, whose IPv6 address is at `at`, and its connection's hash; the ports are known. */
  function noteClient({ hashSeed }: ForwardingState, i: number, at: number): void {
    hash[i] = connectionHashIpv6(digestAndWord(source, i, view, at, hashSeed), ports[i]);
  }

  /** A piece of a datagram to a VIP. Only the first has ports, and so a service; the others follow it (lb/detours.ts). */
  function arriveInPieces(state: ForwardingState, i: number): number {
    const kind = readFragment(view, offset[i], ipLength[i], piece);
    if (kind === LATER_FRAGMENT) return LATER_PIECE;
    if (kind !== FIRST_FRAGMENT) return exits.BAD_FRAGMENT;
    if (protocol[i] !== ipv4.PROTOCOL_TCP && protocol[i] !== PROTOCOL_UDP) return exits.FRAGMENT;
    l4[i] = piece[FRAGMENT_L4];
    ports[i] = portsAt(view, l4[i]);
    tcpFlags[i] = protocol[i] === ipv4.PROTOCOL_TCP ? flagsAt(view, l4[i]) : 0;
    const isV6 = ipv4.version(view, offset[i] + ETHERNET_HEADER_LENGTH) === 6;
    const entered = isV6 ? enterIpv6(state, i) : enterIpv4(state, i);
    return entered === FLOW ? FIRST_PIECE : entered;
  }

  /** ICMP and ICMPv6 to a VIP. */
  function arriveIcmp(state: ForwardingState, i: number): number {
    const message = l4[i];
    const ip = offset[i] + ETHERNET_HEADER_LENGTH;
    if (message + icmp.ICMP_HEADER_LENGTH > ip + ipLength[i]) return exits.BAD_ICMP;
    const type = icmp.type(view, message);
    const isV6 = protocol[i] === ipv6.PROTOCOL_ICMPV6;
    if (type === (isV6 ? icmp.V6_ECHO_REQUEST : icmp.ECHO_REQUEST)) return arriveEcho(state, i, isV6);
    return (isV6 ? icmp.isV6Error(type) : icmp.isError(type)) ? arriveRelated(state, i, isV6) : OTHER_PROTOCOL;
  }

  function arriveEcho(state: ForwardingState, i: number, isV6: boolean): number {
    if (state.echo === ECHO_ANSWER) {
      if (!answerEcho(view, offset[i], ipLength[i])) return exits.BAD_ICMP;
      length[i] = ETHERNET_HEADER_LENGTH + ipLength[i];
      return exits.ECHO_ANSWERED;
    }
    if (state.echo !== ECHO_BACKEND) return OTHER_PROTOCOL;
    service[i] = firstService(state.index, vipRowOf(forwarder, state, i));
    ports[i] = 0;
    if (isV6) noteClient(state, i, offset[i] + ETHERNET_HEADER_LENGTH + ipv6.SOURCE);
    else hash[i] = connectionHash(source[i], 0, state.hashSeed);
    return ECHO;
  }

  /** An error about a packet that a backend sent: its flow is the quoted one the other way round. */
  function arriveRelated(state: ForwardingState, i: number, isV6: boolean): number {
    const found = findQuote(view, offset[i], ipLength[i], l4[i], quote);
    if (found !== QUOTE_OF_FLOW) return exits.ICMP_OF_NO_FLOW;
    const quoted = quote[QUOTED_IP];
    const quotedPorts = portsAt(view, quote[QUOTED_L4]);
    const owner = isV6
      ? findServiceAt(view, quoted + ipv6.SOURCE, state, quotedPorts & 0xffff, quote[QUOTED_PROTOCOL])
      : findService(state.index, destination[i], quotedPorts & 0xffff, quote[QUOTED_PROTOCOL]);
    if (owner < 0) return exits.ICMP_OF_NO_FLOW;
    service[i] = owner;
    ports[i] = (quotedPorts >>> 16) | (quotedPorts << 16);
    if (isV6) noteClient(state, i, quoted + ipv6.DESTINATION);
    else {
      source[i] = ipv4.destination(view, quoted);
      hash[i] = connectionHash(source[i], ports[i], state.hashSeed);
    }
    client[i] = quoted + (isV6 ? ipv6.DESTINATION : 0);
    return RELATED;
  }

  return arrive;
}

function findServiceAt(view: DataView, at: number, state: ForwardingState, port: number, protocol: number): number {
  return findService6(
    state.index,
    view.getInt32(at, true),
    view.getInt32(at + 4, true),
    view.getInt32(at + 8, true),
    view.getInt32(at + 12, true),
    port,
    protocol,
  );
}

/** The row of the VIP that packet `i` is for, of either family, or NO_SERVICE. */
export function vipRowOf({ view, batch }: Forwarder, { index }: ForwardingState, i: number): number {
  const ip = batch.offset[i] + ETHERNET_HEADER_LENGTH;
  if (ipv4.version(view, ip) === 4) return vipRow(index, ipv4.destination(view, ip));
  const at = ip + ipv6.DESTINATION;
  return vipRow6(
    index,
    view.getInt32(at, true),
    view.getInt32(at + 4, true),
    view.getInt32(at + 8, true),
    view.getInt32(at + 12, true),
  );
}
