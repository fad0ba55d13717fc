/**
 * The second pass for packets that go to a backend by another way than their own connection's, or don't go there at all:
 * ICMP errors, pings for a backend, fragments (lb/arrivals.ts says which), and what does not fit the path. lb/forwarder.ts
 * makes them for its walk.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { MISS, peek } from '../conntrack/table.ts';
import { largestPacket, NO_LONGER_THERE } from '../dsr/encap.ts';
import { flowSlot } from '../hashing/flow-hash.ts';
import { flowSlotIpv6 } from '../hashing/flow-hash-ipv6.ts';
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import { SERVICE_RELATED } from '../metrics/counters.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { ECHO } from './arrivals.ts';
import * as exits from './exits.ts';
import type { Forwarder } from './forwarder.ts';
import type { ForwardingState, ServiceState } from './forwarding-state.ts';
import { takeToken } from './rate-limit.ts';
import { TOO_BIG_GROWTH, V6_TOO_BIG_GROWTH, writeTooBig } from './too-big.ts';

/** What the detours need of the walk: the last step of every packet that is sent on. */
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
  /** A packet of which `largest` bytes would fit: its sender is told, where it asked to be by DF or by being IPv6. */
  tooBig(state: ForwardingState, i: number, largest: number, now: number): number;
}

/** The detours of one forwarder. Cold; what it returns is hot. */
export function createDetours(forwarder: Forwarder, sendTo: SendTo): Detours {
  const { view, batch, flows, counters, service, hash, client } = forwarder;
  const { offset, length } = batch;
  const { source, destination, ports, ipLength } = flows;

  function leave(state: ForwardingState, i: number, way: number, now: number): number {
    return way === ECHO ? leaveEcho(state, i, now) : leaveRelated(state, i, now);
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
    const backend = chosenByHash(state, owner, i, offset[i] + ETHERNET_HEADER_LENGTH + SOURCE_IPV6);
    return backend === NO_BACKEND ? exits.NO_BACKEND_LEFT : sendTo(state, owner, ownerIndex, backend, i, now);
  }

  /** `clientAt` is where an IPv6 client's address stands. Round-robin has no hash to ask: what it forgot is lost. */
  function chosenByHash(state: ForwardingState, owner: ServiceState, i: number, clientAt: number): number {
    const { lookupTable, hashKind, protocol } = owner;
    if (owner.rotation.length > 0) return NO_BACKEND;
    const { hashSeed } = state;
    const size = lookupTable.length;
    const vipAt = offset[i] + ETHERNET_HEADER_LENGTH + DESTINATION_IPV6;
    const slot = owner.isIpv6
      ? flowSlotIpv6(size, hashKind, view, clientAt, vipAt, ports[i], protocol, hashSeed)
      : flowSlot(size, hashKind, source[i], destination[i], ports[i], protocol, hashSeed);
    return lookupTable[slot];
  }

  function tooBig(state: ForwardingState, i: number, largest: number, now: number): number {
    const ip = offset[i] + ETHERNET_HEADER_LENGTH;
    const isIpv6 = ipv4.version(view, ip) === 6;
    if (!isIpv6 && !ipv4.hasDf(view, ip)) return exits.TOO_BIG;
    if (!takeToken(forwarder.icmpBudget, now)) return exits.TOO_BIG;
    const answer = writeTooBig(view, offset[i], ipLength[i], largest, state.ownMacLow, state.ownMacHigh);
    if (answer === 0) return exits.TOO_BIG;
    offset[i] -= isIpv6 ? V6_TOO_BIG_GROWTH : TOO_BIG_GROWTH;
    length[i] = answer;
    return exits.TOO_BIG_ANSWERED;
  }

  return { leave, tooBig };
}

/** Of the header. */
const SOURCE_IPV6 = 8;
const DESTINATION_IPV6 = 24;
