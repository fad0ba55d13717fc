/**
 * The second pass for packets that go to a backend by another way than their own connection's, or don't go there at all:
 * ICMP errors, pings for a backend, fragments (lb/arrivals.ts says which), and what does not fit the path. lb/forwarder.ts
 * makes them for its walk.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { MISS, peek } from '../conntrack/table.ts';
import { largestPacket, NO_LONGER_THERE } from '../dsr/encap.ts';
import { connectionHash, flowSlot, SOURCE_IP } from '../hashing/flow-hash.ts';
import { addressWord, flowSlotIpv6 } from '../hashing/flow-hash-ipv6.ts';
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import { RELEASE } from '../io/device.ts';
import { SERVICE_RELATED } from '../metrics/counters.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { FRAGMENT_ID, FRAGMENT_KEY, readFragment } from '../wire/fragment.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { ECHO, FIRST_PIECE, RELATED, vipRowOf } from './arrivals.ts';
import * as exits from './exits.ts';
import type { Forwarder } from './forwarder.ts';
import type { ForwardingState, ServiceState } from './forwarding-state.ts';
import { cut } from './fragmenting.ts';
import { findTarget, hold, NO_TARGET, NOTHING_HELD, nextHeld, noteFirst } from './fragments.ts';
import { BY_SERVER_ID, createQuicWays } from './quic-ways.ts';
import { takeToken } from './rate-limit.ts';
import { NO_SERVICE, soleService } from './service-index.ts';
import { TOO_BIG_GROWTH, V6_TOO_BIG_GROWTH, writeTooBig } from './too-big.ts';
import { copyTags, putTagsBackOn } from './vlan-tags.ts';
import { keepWaiting } from './waiting.ts';

/** What the detours need of the walk: the second pass of a flow's packet, and its last step. */
export type Leave = (state: ForwardingState, owner: ServiceState, ownerIndex: number, i: number, now: number) => number;
export type SendTo = (
  state: ForwardingState,
  owner: ServiceState,
  ownerIndex: number,
  backend: number,
  i: number,
  now: number,
) => number;

export interface Detours {
  /** Packet `i`, by the way that its arrival has named; returns the exit. */
  leave(state: ForwardingState, i: number, way: number, now: number): number;
  /** Between the passes, where a service has `quic`: sends packets of the batch to `leave` (lb/quic-ways.ts). */
  routeQuic(state: ForwardingState, count: number): void;
  /**
   * A packet that doesn't fit the way to `backend`: its sender is told what does, where it asked to be by DF or by being IPv6;
   * others are cut, where the service says so.
   */
  tooBig(
    state: ForwardingState,
    owner: ServiceState,
    ownerIndex: number,
    backend: number,
    i: number,
    now: number,
  ): number;
}

/** The detours of one forwarder. Cold; what it returns is hot. */
export function createDetours(forwarder: Forwarder, leaveAsFlow: Leave, sendTo: SendTo): Detours {
  const { view, batch, flows, counters, service, hash, client, piece, fragments, waiting } = forwarder;
  const { offset, length } = batch;
  const { source, destination, ports, ipLength, protocol } = flows;
  const quic = createQuicWays(forwarder, sendTo);

  function leave(state: ForwardingState, i: number, way: number, now: number): number {
    if (way === RELATED) return leaveRelated(state, i, now);
    if (way === ECHO) return leaveEcho(state, i, now);
    if (way === BY_SERVER_ID) return quic.leave(state, i, now);
    return way === FIRST_PIECE ? leaveFirst(state, i, now) : leaveLater(state, i, now);
  }

  /**
   * To the backend that the table says, or that the hash finds: a balancer that never saw the flow finds the same. The entry
   * is not refreshed, because anybody can send an ICMP error.
   */
  function leaveRelated(state: ForwardingState, i: number, now: number): number {
    const ownerIndex = service[i];
    const owner = state.services[ownerIndex];
    const table = forwarder.tables[ownerIndex];
    let backend = table === null ? MISS : peek(table, hash[i], source[i], ports[i], now);
    if (backend === MISS || largestPacket(owner.hops, backend) === NO_LONGER_THERE) {
      backend = chosenByHash(state, owner, i, client[i]);
    }
    if (backend === NO_BACKEND) return exits.NO_BACKEND_LEFT;
    const left = sendTo(state, owner, ownerIndex, backend, i, now);
    if (left === exits.FORWARDED) counters[owner.serviceBase + SERVICE_RELATED]++;
    return left;
  }

  /** A ping has no ports: the VIP's first service has it, by the address alone or with ports of 0. */
  function leaveEcho(state: ForwardingState, i: number, now: number): number {
    const ownerIndex = service[i];
    const owner = state.services[ownerIndex];
    const backend = chosenByHash(state, owner, i, offset[i] + ETHERNET_HEADER_LENGTH + ipv6.SOURCE);
    return backend === NO_BACKEND ? exits.NO_BACKEND_LEFT : sendTo(state, owner, ownerIndex, backend, i, now);
  }

  /** `clientAt` is where an IPv6 client's address stands. Round-robin has no hash to ask: what it forgot is lost. */
  function chosenByHash(state: ForwardingState, owner: ServiceState, i: number, clientAt: number): number {
    const { lookupTable, hashKind, protocol } = owner;
    if (owner.rotation.length > 0) return NO_BACKEND;
    const { hashSeed } = state;
    const size = lookupTable.length;
    const vipAt = offset[i] + ETHERNET_HEADER_LENGTH + ipv6.DESTINATION;
    const slot = owner.isIpv6
      ? flowSlotIpv6(size, hashKind, view, clientAt, vipAt, ports[i], protocol, hashSeed)
      : flowSlot(size, hashKind, source[i], destination[i], ports[i], protocol, hashSeed);
    return lookupTable[slot];
  }

  /** As any packet of its flow; the other pieces will be sent where it went. */
  function leaveFirst(state: ForwardingState, i: number, now: number): number {
    const ownerIndex = service[i];
    readPiece(state, i);
    const left = leaveAsFlow(state, state.services[ownerIndex], ownerIndex, i, now);
    if (left !== exits.FORWARDED) return left;
    const target = (ownerIndex << 16) | forwarder.backend[i];
    noteFirst(fragments, pieceSource, pieceDestination, pieceId, pieceKey, target, now);
    waiting.isDue ||= nextHeld(fragments, pieceSource, pieceDestination, pieceId, pieceKey, now) !== NOTHING_HELD;
    return left;
  }

  /** After its first piece; by the address alone, where that is what the VIP's only service hashes; or it has to wait. */
  function leaveLater(state: ForwardingState, i: number, now: number): number {
    readPiece(state, i);
    const target = findTarget(fragments, pieceSource, pieceDestination, pieceId, pieceKey, now);
    if (target !== NO_TARGET) return follow(state, target >>> 16, target & 0xffff, i, now);
    const sole = soleService(state.index, vipRowOf(forwarder, state, i), protocol[i]);
    if (sole !== NO_SERVICE && state.services[sole].hashKind === SOURCE_IP) {
      const owner = state.services[sole];
      ports[i] = 0;
      return follow(
        state,
        sole,
        chosenByHash(state, owner, i, offset[i] + ETHERNET_HEADER_LENGTH + ipv6.SOURCE),
        i,
        now,
      );
    }
    // It will walk once more, from the start.
    putTagsBackOn(forwarder, i);
    const isHeld = hold(fragments, view, offset[i], length[i], pieceSource, pieceDestination, pieceId, pieceKey, now);
    return isHeld ? exits.EARLY_FRAGMENT : exits.FRAGMENT;
  }

  function follow(state: ForwardingState, ownerIndex: number, backend: number, i: number, now: number): number {
    const owner = state.services[ownerIndex];
    if (backend === NO_BACKEND || largestPacket(owner.hops, backend) === NO_LONGER_THERE) return exits.FRAGMENT;
    service[i] = ownerIndex;
    hash[i] = connectionHash(pieceSource, pieceId, state.hashSeed);
    return sendTo(state, owner, ownerIndex, backend, i, now);
  }

  /** What fragment `i` is known by. */
  let pieceSource = 0;
  let pieceDestination = 0;
  let pieceId = 0;
  let pieceKey = 0;

  function readPiece({ hashSeed }: ForwardingState, i: number): void {
    const ip = offset[i] + ETHERNET_HEADER_LENGTH;
    readFragment(view, offset[i], ipLength[i], piece);
    const isIpv6 = ipv4.version(view, ip) === 6;
    pieceSource = isIpv6 ? addressWord(view, ip + ipv6.SOURCE, hashSeed) : source[i];
    pieceDestination = isIpv6 ? addressWord(view, ip + ipv6.DESTINATION, hashSeed) : destination[i];
    pieceId = piece[FRAGMENT_ID];
    pieceKey = piece[FRAGMENT_KEY];
  }

  function tooBig(
    state: ForwardingState,
    owner: ServiceState,
    ownerIndex: number,
    backend: number,
    i: number,
    now: number,
  ): number {
    const ip = offset[i] + ETHERNET_HEADER_LENGTH;
    const isIpv6 = ipv4.version(view, ip) === 6;
    const largest = largestPacket(owner.hops, backend);
    if (!isIpv6 && !ipv4.hasDf(view, ip)) {
      return owner.fragments ? leaveInPieces(state, owner, ownerIndex, backend, i, now) : exits.TOO_BIG;
    }
    if (!takeToken(forwarder.icmpBudget, now)) return exits.TOO_BIG;
    const answer = writeTooBig(view, offset[i], ipLength[i], largest, state.ownMacLow, state.ownMacHigh);
    if (answer === 0) return exits.TOO_BIG;
    offset[i] -= isIpv6 ? V6_TOO_BIG_GROWTH : TOO_BIG_GROWTH;
    length[i] = answer;
    return exits.TOO_BIG_ANSWERED;
  }

  /** The pieces are rows behind the batch's. Where it has no room for them, the packet waits for a batch of its own. */
  function leaveInPieces(
    state: ForwardingState,
    owner: ServiceState,
    ownerIndex: number,
    backend: number,
    i: number,
    now: number,
  ): number {
    const first = batch.count;
    const added = cut(forwarder, i, ipLength[i], largestPacket(owner.hops, backend));
    if (added === 0) {
      putTagsBackOn(forwarder, i);
      return first > 1 && keepWaiting(forwarder, i) ? exits.TOO_BIG_HELD : exits.TOO_BIG;
    }
    for (let k = first; k < first + added; k++) {
      copyTags(forwarder, i, k);
      hash[k] = hash[i];
      ipLength[k] = length[k] - ETHERNET_HEADER_LENGTH;
      if (sendTo(state, owner, ownerIndex, backend, k, now) !== exits.FORWARDED) batch.action[k] = RELEASE;
    }
    ipLength[i] = length[i] - ETHERNET_HEADER_LENGTH;
    return sendTo(state, owner, ownerIndex, backend, i, now);
  }

  return { leave, routeQuic: quic.route, tooBig };
}
