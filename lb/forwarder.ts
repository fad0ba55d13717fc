/**
 * The packet's walk.
 *
 * ```
 * device.rx ─► parse flow ─► find service ─► connection table ──hit──► backend ─► encapsulate ─► device.tx
 *               │              │               │ miss (SYN always)                  │
 *               │              │               └► Maglev lookup table ─► insert ────┘
 *               ▼              ▼                  (not SYN, onMiss: reset ─► RST, drop ─► drop)
 *           drop: reason    pass to kernel
 * ```
 *
 * IPv4 without options takes the way that is written here. IPv6, tags, fragments and ICMP are looked at in lb/arrivals.ts and
 * join it where their service is known, or leave by lb/detours.ts.
 *
 * A worker (lb/worker.ts) calls `walk` with each batch that its device received; tests, replays and benchmarks
 * call it in the same way. A batch is walked twice: parse and hash first, then look up, so that the cache misses of the
 * connection table overlap (measured: 127 against 200 ns a packet at a million flows). Every packet leaves by one of the
 * exits in lb/exits.ts and is counted there.
 *
 * The walk is made once for a worker and keeps what never changes (view, columns, counters) in constants: V8 compiles a
 * function that was instantiated once with its constants' addresses in the code, which halves the cost of a packet. For
 * the same reason the build joins this module with all that it imports (scripts/join.mjs).
 */
// Hot path: no allocation, no throw, no closure, no await.
import { type ConnectionTable, find, forget, insert, MISS, markClosing, prefetch } from '../conntrack/table.ts';
import { counterOf, encapsulate, largestPacket, NO_LONGER_THERE } from '../dsr/encap.ts';
import { connectionHash, flowSlot } from '../hashing/flow-hash.ts';
import { flowSlotIpv6 } from '../hashing/flow-hash-ipv6.ts';
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import type { FrameBatch } from '../io/device.ts';
import { BACKEND_BYTES, BACKEND_PACKETS, SERVICE_HITS } from '../metrics/counters.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { FLOW, type FlowBatch, parseFlow } from '../wire/flow.ts';
import type { FragmentFacts } from '../wire/fragment.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { ACK, destinationPortOf, FIN, RST, SYN } from '../wire/tcp.ts';
import { createArrivals } from './arrivals.ts';
import { createDetours } from './detours.ts';
import * as exits from './exits.ts';
import { noteSegment, type ResetQueue, takeExpired } from './expiry-reset.ts';
import { type ExpiryRows, prefetchRow, WORTH_PREFETCHING } from './expiry-rows.ts';
import { type ForwardingState, ON_MISS_FORWARD, type ServiceState } from './forwarding-state.ts';
import type { FragmentStore } from './fragments.ts';
import type { Quote } from './icmp-errors.ts';
import { OFFSET_MASK } from './offset-mask.ts';
import { createOpenings } from './openings.ts';
import type { TokenBucket } from './rate-limit.ts';
import { createRefusals } from './refusals.ts';
import { findService, NO_SERVICE, VIP_ONLY } from './service-index.ts';
import { putTagsBack } from './vlan-tags.ts';
import type { WaitingFrames } from './waiting.ts';

/** One worker's forwarder: what it reads (frames, state), and what it alone writes (tables, counters). */
export interface Forwarder {
  readonly view: DataView;
  readonly batch: FrameBatch;
  readonly counters: Float64Array;
  readonly flows: FlowBatch;
  /** For each packet of the batch: its service's index, and the hash that its connection is looked up by. */
  readonly service: Int32Array;
  readonly hash: Int32Array;
  /** For each packet of the batch: the exit that it left by (lb/exits.ts). */
  readonly exit: Int32Array;
  /** For each packet for which one was chosen: its backend. */
  readonly backend: Int32Array;
  /** For each ICMP error about a flow: where in the frame the client's address stands, of IPv6. */
  readonly client: Int32Array;
  /** VLAN tags of the batch, two words a packet, and their bytes; how many packets have some (lb/vlan-tags.ts). */
  readonly tags: Int32Array;
  readonly tagsLength: Int32Array;
  tagged: number;
  /** Written and read within one packet (lb/icmp-errors.ts). */
  readonly quote: Quote;
  /** Of a fragment; written and read within one packet (wire/fragment.ts). */
  readonly piece: FragmentFacts;
  /** Where the datagrams went whose pieces arrive, and pieces that came before their first. */
  readonly fragments: FragmentStore;
  /** Packets that wait for an empty batch (lb/waiting.ts). */
  readonly waiting: WaitingFrames;
  /** Adds a frame to the batch, as the device does (io/device.ts). */
  append(length: number): number;
  /** For the ICMP errors that it sends. */
  readonly icmpBudget: TokenBucket;
  state: ForwardingState;
  /** By service index; null where a service forwards by hash alone. */
  tables: (ConnectionTable | null)[];
  /** By service index; null but for services with `onExpiry: reset` (lb/expiry-rows.ts). */
  expiryRows: (ExpiryRows | null)[];
  readonly resets: ResetQueue;
  /** Round-robin's place in the rotation, by service index. */
  cursors: Uint32Array;
  /** Written only, so that loads made for the caches' sake are not optimised away. */
  touched: number;
}

/** Walks the device's batch; `now` in milliseconds modulo 2^32, signed or not, on a clock that does not step. */
export type Walk = (now: number) => void;

/** The walk of one forwarder. Cold; what it returns is hot. */
export function createWalk(forwarder: Forwarder): Walk {
  const { view, batch, flows, counters, service, hash, exit, backend: backends } = forwarder;
  const { offset, length, action } = batch;
  const { source, destination, ports, tcpFlags, ipLength, protocol } = flows;
  const actions = exits.EXIT_ACTION;
  const arriveOtherwise = createArrivals(forwarder);
  const detours = createDetours(forwarder, leave, sendTo);
  const openings = createOpenings(forwarder);
  const refusals = createRefusals(forwarder);

  function walk(now: number): void {
    const { state } = forwarder;
    const { count } = batch;
    touchFrames(count);
    for (let i = 0; i < count; i++) exit[i] = arrive(state, i);
    touchBuckets(count);
    if (state.resetsOnExpiry) touchRows(count);
    if (state.routesQuic) detours.routeQuic(state, count);
    for (let i = 0; i < count; i++) {
      let owner = service[i];
      let left = exit[i];
      if (left === FLOW) exit[i] = left = leave(state, state.services[owner], owner, i, now);
      else if (left < FLOW) {
        exit[i] = left = detours.leave(state, i, left, now);
        owner = service[i];
      }
      action[i] = actions[left];
      counters[(owner >= 0 ? state.services[owner].exitBase : state.strayExitBase) + left]++;
    }
    if (forwarder.tagged > 0) putTagsBack(forwarder);
  }

  /**
   * Loads the first byte of each frame, which the core that received them has in its cache, not ours. This loop and
   * `touchBuckets` are so tight that the processor has a dozen of their misses under way at once; the passes are not.
   */
  function touchFrames(count: number): void {
    let touched = 0;
    for (let i = 0; i < count; i++) {
      if (length[i] > 0) touched ^= view.getUint8(offset[i]);
    }
    forwarder.touched = touched;
  }

  /** First pass: what is it, whose is it. Returns FLOW for a packet of a service, or the exit that it leaves by. */
  function arrive(state: ForwardingState, i: number): number {
    const parsed = parseFlow(view, offset[i] & OFFSET_MASK, length[i], flows, i);
    if (parsed !== FLOW) {
      service[i] = NO_SERVICE;
      return arriveOtherwise(state, i, parsed);
    }
    const owner = findService(state.index, destination[i], destinationPortOf(ports[i]), protocol[i]);
    if (owner < 0) {
      service[i] = NO_SERVICE;
      return owner === VIP_ONLY ? exits.OTHER_PORT : exits.NOT_VIP;
    }
    service[i] = owner;
    hash[i] = connectionHash(source[i], ports[i], state.hashSeed);
    return FLOW;
  }

  /** Between the passes: the buckets of the connection table that the second one will look into. */
  function touchBuckets(count: number): void {
    const { tables } = forwarder;
    let touched = 0;
    for (let i = 0; i < count; i++) {
      if (exit[i] !== FLOW) continue;
      const table = tables[service[i]];
      if (table !== null) touched ^= prefetch(table, hash[i]);
    }
    forwarder.touched = touched;
  }

  /** And the rows of `onExpiry: reset` that belong to the connections in these buckets (lb/expiry-rows.ts). */
  function touchRows(count: number): void {
    const { tables, expiryRows } = forwarder;
    let touched = 0;
    for (let i = 0; i < count; i++) {
      if (exit[i] !== FLOW) continue;
      const table = tables[service[i]];
      const rows = expiryRows[service[i]];
      if (table === null || rows === null || table.size < WORTH_PREFETCHING) continue;
      touched ^= prefetchRow(rows, table, hash[i], source[i], ports[i]);
    }
    forwarder.touched = touched;
  }

  /** Second pass: connection table, lookup table, encapsulation. Returns the exit. */
  function leave(state: ForwardingState, owner: ServiceState, ownerIndex: number, i: number, now: number): number {
    const table = forwarder.tables[ownerIndex];
    const flags = tcpFlags[i];
    // A SYN overwrites what the table says: a reused port is a new connection, not the old one's backend.
    const opens = (flags & (SYN | ACK | RST | FIN)) === SYN;

    let backend = MISS;
    if (!opens && table !== null) backend = find(table, hash[i], source[i], ports[i], now);
    if (backend !== MISS) {
      counters[owner.serviceBase + SERVICE_HITS]++;
      if ((flags & (FIN | RST)) !== 0) markClosing(table as ConnectionTable);
      if (owner.resetsOnExpiry) noteSegment(forwarder, ownerIndex, i, backend, false);
    } else {
      if (opens) openings.note(owner, i);
      else counters[owner.missSlot]++;
      if (!opens && owner.resetsOnExpiry && takeExpired(forwarder, ownerIndex, false)) {
        return refusals.refuseExpired(state, owner, i);
      }
      if (!opens && owner.onMiss !== ON_MISS_FORWARD) return refusals.refuse(state, owner, i);
      backend = chooseBackend(state, owner, ownerIndex, i);
      if (backend === NO_BACKEND) return exits.NO_BACKEND_LEFT;
      // An RST ends a connection: it is forwarded, but never worth an entry.
      if (table !== null && (flags & RST) === 0) {
        insert(table, hash[i], source[i], ports[i], backend, now);
        if ((flags & FIN) !== 0) markClosing(table);
        if (owner.resetsOnExpiry) noteSegment(forwarder, ownerIndex, i, backend, true);
      }
      if (opens && owner.mssClamp !== 0) openings.clamp(owner, backend, i);
    }
    return sendTo(state, owner, ownerIndex, backend, i, now);
  }

  /** The consistent choice, or round-robin's inconsistent one. */
  function chooseBackend(state: ForwardingState, owner: ServiceState, ownerIndex: number, i: number): number {
    const { rotation, lookupTable, hashKind } = owner;
    const { hashSeed } = state;
    if (rotation.length > 0) {
      const turn = forwarder.cursors[ownerIndex];
      forwarder.cursors[ownerIndex] = turn + 1 < rotation.length ? turn + 1 : 0;
      return rotation[turn];
    }
    const slot = owner.isIpv6
      ? slotIpv6(owner, i, hashSeed)
      : flowSlot(lookupTable.length, hashKind, source[i], destination[i], ports[i], owner.protocol, hashSeed);
    return lookupTable[slot];
  }

  function slotIpv6({ lookupTable, hashKind, protocol }: ServiceState, i: number, seed: number): number {
    const ip = offset[i] + ETHERNET_HEADER_LENGTH;
    const from = ip + ipv6.SOURCE;
    const to = ip + ipv6.DESTINATION;
    return flowSlotIpv6(lookupTable.length, hashKind, view, from, to, ports[i], protocol, seed);
  }

  function sendTo(
    state: ForwardingState,
    owner: ServiceState,
    ownerIndex: number,
    backend: number,
    i: number,
    now: number,
  ): number {
    const { hops, encap } = owner;
    backends[i] = backend;
    const bytes = ipLength[i];
    const largest = largestPacket(hops, backend);
    if (bytes > largest) {
      if (largest === NO_LONGER_THERE) return leaveAnew(state, owner, ownerIndex, i, now);
      return largest === 0 ? exits.NO_NEIGHBOUR : detours.tooBig(state, owner, ownerIndex, backend, i, now);
    }
    const grown = encapsulate(view, offset[i] & OFFSET_MASK, bytes, encap, hops, backend, hash[i]);
    offset[i] -= grown;
    length[i] = ETHERNET_HEADER_LENGTH + bytes + grown;
    const counter = counterOf(hops, backend);
    counters[counter + BACKEND_PACKETS]++;
    counters[counter + BACKEND_BYTES] += bytes;
    return exits.FORWARDED;
  }

  /** The table knows the connection, and its backend was removed since: it misses after all. */
  function leaveAnew(state: ForwardingState, owner: ServiceState, ownerIndex: number, i: number, now: number): number {
    counters[owner.serviceBase + SERVICE_HITS]--;
    forget(forwarder.tables[ownerIndex] as ConnectionTable);
    return leave(state, owner, ownerIndex, i, now);
  }

  return walk;
}
