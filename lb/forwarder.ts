/**
 * The packet's walk.
 *
 * ```
 * device.rx ─► parse flow ─► find service ─► connection table ──hit──► backend ─► encapsulate ─► device.tx
 *               │              │               │ miss (SYN always)                  │
 *               │              │               └► Maglev lookup table ─► insert ────┘
 *               ▼              ▼                  (mode: stateful and not SYN ─► RST)
 *           drop: reason    pass to kernel
 * ```
 *
 * A worker (lb/worker.ts) calls `forwardBatch` with each batch that its device received; tests, replays and benchmarks
 * call it in the same way. A batch is walked twice: parse and hash first, then look up, so that the cache misses of the
 * connection table overlap (measured: 127 against 200 ns a packet at a million flows). Every packet leaves by one of the
 * exits in lb/exits.ts and is counted there.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { type ConnectionTable, find, insert, MISS, markClosing, prefetch } from '../conntrack/table.ts';
import { encapsulate, overhead } from '../dsr/encap.ts';
import { connectionHash, flowSlot } from '../hashing/flow-hash.ts';
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import type { FrameBatch } from '../io/device.ts';
import {
  BACKEND_BYTES,
  BACKEND_PACKETS,
  BACKEND_SLOTS,
  SERVICE_HITS,
  SERVICE_NON_SYN_MISSES,
  SERVICE_RESETS_SENT,
  SERVICE_SYN_MISSES,
  SERVICE_UNFINISHED_CHECKSUMS,
} from '../metrics/counters.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { FLOW, type FlowBatch, hasUnfinishedChecksum, OTHER_PROTOCOL, parseFlow } from '../wire/flow.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { ACK, destinationPortOf, FIN, RST, SYN } from '../wire/tcp.ts';
import * as exits from './exits.ts';
import { type ForwardingState, ON_MISS_RESET, type ServiceState } from './forwarding-state.ts';
import { RESET_FRAME_LENGTH, writeReset } from './reset.ts';
import { findService, findVip, NO_SERVICE, VIP_ONLY } from './service-index.ts';

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
  readonly exit: Uint8Array;
  state: ForwardingState;
  /** By service index; null where a service forwards by hash alone. */
  tables: (ConnectionTable | null)[];
  /** Round-robin's place in the rotation, by service index. */
  cursors: Uint32Array;
  /** Only read by `prefetch`'s caller, so that the loads are not optimised away. */
  touched: number;
}

/** Walks the device's batch; `now` in milliseconds, on a clock that does not step. */
export function forwardBatch(forwarder: Forwarder, now: number): void {
  const { batch, exit, state } = forwarder;
  touchFrames(forwarder);
  for (let i = 0; i < batch.count; i++) exit[i] = arrive(forwarder, state, i);
  touchBuckets(forwarder);
  for (let i = 0; i < batch.count; i++) {
    const service = forwarder.service[i];
    if (exit[i] === FLOW) exit[i] = leave(forwarder, state, state.services[service], service, i, now);
    batch.action[i] = exits.EXIT_ACTION[exit[i]];
    forwarder.counters[(service >= 0 ? state.services[service].exitBase : state.strayExitBase) + exit[i]]++;
  }
}

/** First pass: what is it, whose is it. Returns FLOW for a packet of a service, or the exit that it leaves by. */
function arrive(forwarder: Forwarder, state: ForwardingState, i: number): number {
  const { batch, flows } = forwarder;
  const parsed = parseFlow(forwarder.view, batch.offset[i], batch.length[i], flows, i);
  forwarder.service[i] = NO_SERVICE;
  if (parsed !== FLOW) {
    const addressed = parsed >= OTHER_PROTOCOL;
    return addressed && findVip(state.index, flows.destination[i]) === NO_SERVICE ? exits.NOT_VIP : parsed;
  }
  const ports = flows.ports[i];
  const service = findService(state.index, flows.destination[i], destinationPortOf(ports), PROTOCOL_TCP);
  if (service < 0) return service === VIP_ONLY ? exits.OTHER_PORT : exits.NOT_VIP;
  forwarder.service[i] = service;
  const table = forwarder.tables[service];
  if (table !== null) forwarder.hash[i] = connectionHash(flows.source[i], ports, state.hashSeed);
  return FLOW;
}

/**
 * Loads the first byte of each frame, which the core that received them has in its cache, not ours. This loop and
 * `touchBuckets` are so tight that the processor has a dozen of their misses under way at once; the passes are not.
 */
function touchFrames(forwarder: Forwarder): void {
  const { view, batch } = forwarder;
  const { count, offset, length } = batch;
  let touched = 0;
  for (let i = 0; i < count; i++) {
    if (length[i] > 0) touched ^= view.getUint8(offset[i]);
  }
  forwarder.touched = touched;
}

/** Between the passes: the buckets of the connection table that the second one will look into. */
function touchBuckets(forwarder: Forwarder): void {
  const { batch, exit, hash, service, tables } = forwarder;
  const { count } = batch;
  let touched = 0;
  for (let i = 0; i < count; i++) {
    if (exit[i] !== FLOW) continue;
    const table = tables[service[i]];
    if (table !== null) touched ^= prefetch(table, hash[i]);
  }
  forwarder.touched = touched;
}

/** Second pass: connection table, lookup table, encapsulation. Returns the exit. */
function leave(
  forwarder: Forwarder,
  state: ForwardingState,
  service: ServiceState,
  serviceIndex: number,
  i: number,
  now: number,
): number {
  const { flows, counters } = forwarder;
  const table = forwarder.tables[serviceIndex];
  const flags = flows.tcpFlags[i];
  // A SYN overwrites what the table says: a reused port is a new connection, not the old one's backend.
  const opens = (flags & (SYN | ACK | RST | FIN)) === SYN;

  let backend = MISS;
  if (!opens && table !== null) backend = find(table, forwarder.hash[i], flows.source[i], flows.ports[i], now);
  if (backend !== MISS) {
    counters[service.serviceBase + SERVICE_HITS]++;
    if ((flags & (FIN | RST)) !== 0) markClosing(table as ConnectionTable);
  } else {
    if (opens) noteOpening(forwarder, service, i);
    else counters[service.serviceBase + SERVICE_NON_SYN_MISSES]++;
    if (!opens && service.onMiss === ON_MISS_RESET) return refuse(forwarder, state, service, i, flags);
    backend = chooseBackend(forwarder, state, service, serviceIndex, i);
    if (backend === NO_BACKEND) return exits.NO_BACKEND_LEFT;
    // An RST ends a connection: it is forwarded, but never worth an entry.
    if (table !== null && (flags & RST) === 0) {
      insert(table, forwarder.hash[i], flows.source[i], flows.ports[i], backend, now);
      if ((flags & FIN) !== 0) markClosing(table);
    }
  }
  return sendTo(forwarder, state, service, backend, i);
}

/** The consistent choice, or round-robin's inconsistent one. */
function chooseBackend(
  forwarder: Forwarder,
  state: ForwardingState,
  service: ServiceState,
  serviceIndex: number,
  i: number,
): number {
  const { flows } = forwarder;
  if (service.rotation.length > 0) {
    const turn = forwarder.cursors[serviceIndex];
    forwarder.cursors[serviceIndex] = turn + 1 < service.rotation.length ? turn + 1 : 0;
    return service.rotation[turn];
  }
  const slot = flowSlot(
    service.lookupTable.length,
    service.hashKind,
    flows.source[i],
    flows.destination[i],
    flows.ports[i],
    PROTOCOL_TCP,
    state.hashSeed,
  );
  return service.lookupTable[slot];
}

function sendTo(
  forwarder: Forwarder,
  state: ForwardingState,
  service: ServiceState,
  backend: number,
  i: number,
): number {
  const { batch, flows, counters } = forwarder;
  const { hops } = service;
  const ipLength = flows.ipLength[i];
  if (hops.usable[backend] === 0) return exits.NO_NEIGHBOUR;
  if (ipLength + overhead(service.encap) > hops.mtu[backend]) return exits.TOO_BIG;
  const grown = encapsulate(
    forwarder.view,
    batch.offset[i],
    ipLength,
    service.encap,
    hops,
    backend,
    state.ownMacLow,
    state.ownMacHigh,
  );
  batch.offset[i] -= grown;
  batch.length[i] = ETHERNET_HEADER_LENGTH + ipLength + grown;
  const counter = service.backendBase + backend * BACKEND_SLOTS;
  counters[counter + BACKEND_PACKETS]++;
  counters[counter + BACKEND_BYTES] += ipLength;
  return exits.FORWARDED;
}

/** `mode: stateful`: the balancer does TCP of its own, and breaks the connection. An RST is never answered by one. */
function refuse(forwarder: Forwarder, state: ForwardingState, service: ServiceState, i: number, flags: number): number {
  if ((flags & RST) !== 0) return exits.UNKNOWN_RESET;
  const { batch } = forwarder;
  writeReset(forwarder.view, batch.offset[i], forwarder.flows.ipLength[i], state.ownMacLow, state.ownMacHigh);
  batch.length[i] = RESET_FRAME_LENGTH;
  forwarder.counters[service.serviceBase + SERVICE_RESETS_SENT]++;
  return exits.RESET_UNKNOWN;
}

/**
 * A new connection. Its SYN is the cheapest packet to look at closely: a sender whose checksum offload leaves the work to
 * hardware that a virtual link doesn't have is found here, before somebody wonders for an evening why nothing answers.
 */
function noteOpening(forwarder: Forwarder, service: ServiceState, i: number): void {
  const { view, batch, counters, flows } = forwarder;
  counters[service.serviceBase + SERVICE_SYN_MISSES]++;
  if (hasUnfinishedChecksum(view, batch.offset[i], flows.ipLength[i])) {
    counters[service.serviceBase + SERVICE_UNFINISHED_CHECKSUMS]++;
  }
}
