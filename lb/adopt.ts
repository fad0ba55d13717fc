/**
 * Beside the packet's walk, on the same thread, between batches: how a forwarder is made, how it takes over a new
 * forwarding state, and how its connection tables are swept. Called by lb/worker.ts and by whoever drives a forwarder
 * without one (tests, replays, benchmarks).
 */
import {
  type Allocate,
  type ConnectionTable,
  createConnectionTable,
  setIdleTimeout,
  sweep,
} from '../conntrack/table.ts';
import type { PacketDevice } from '../io/device.ts';
import {
  SERVICE_CAPACITY,
  SERVICE_ENTRIES,
  SERVICE_EVICTED,
  SERVICE_EXPIRED,
  SERVICE_REFUSED,
} from '../metrics/counters.ts';
import { createFlowBatch } from '../wire/flow.ts';
import { createFragmentFacts } from '../wire/fragment.ts';
import { createResetQueue, renumberResets, sweepForResets } from './expiry-reset.ts';
import { createExpiryRows } from './expiry-rows.ts';
import type { Forwarder } from './forwarder.ts';
import type { ForwardingState, ServiceState } from './forwarding-state.ts';
import { createFragmentStore, forgetTargets } from './fragments.ts';
import { createQuote } from './icmp-errors.ts';
import { createTokenBucket, ICMP_BURST, ICMP_PER_SECOND } from './rate-limit.ts';
import { createWaitingFrames, expireWaiting } from './waiting.ts';

/** What a forwarder needs of its device. */
export type ForwarderDevice = Pick<PacketDevice, 'view' | 'batch' | 'append'>;

/** A forwarder over the frames of `device`, with the counters of its layout and its tables in what `allocate` gives. */
export function createForwarder(
  device: ForwarderDevice,
  counters: Float64Array,
  state: ForwardingState,
  allocate?: Allocate,
): Forwarder {
  const { view, batch } = device;
  const tables = state.services.map((service) => createTable(service, counters, allocate));
  return {
    view,
    batch,
    counters,
    flows: createFlowBatch(batch.capacity),
    service: new Int32Array(batch.capacity),
    hash: new Int32Array(batch.capacity),
    exit: new Int32Array(batch.capacity),
    backend: new Int32Array(batch.capacity),
    client: new Int32Array(batch.capacity),
    tags: new Int32Array(2 * batch.capacity),
    tagsLength: new Int32Array(batch.capacity),
    tagged: 0,
    quote: createQuote(),
    piece: createFragmentFacts(),
    fragments: createFragmentStore(state.hashSeed),
    waiting: createWaitingFrames(),
    append: (length) => device.append(length),
    icmpBudget: createTokenBucket(ICMP_PER_SECOND, ICMP_BURST, 0),
    state,
    tables,
    expiryRows: tables.map((table, i) =>
      table !== null && state.services[i].resetsOnExpiry
        ? createExpiryRows(table, state.services[i].isIpv6, allocate)
        : null,
    ),
    resets: createResetQueue(),
    cursors: new Uint32Array(state.services.length),
    touched: 0,
  };
}

/** A new table counts on from where the service's counters stand: they never go down. */
function createTable(
  { conntrack, serviceBase }: ServiceState,
  counters: Float64Array,
  allocate: Allocate | undefined,
): ConnectionTable | null {
  if (conntrack === null) return null;
  const table = createConnectionTable({ ...conntrack, allocate });
  table.expired = counters[serviceBase + SERVICE_EXPIRED];
  table.evicted = counters[serviceBase + SERVICE_EVICTED];
  table.refused = counters[serviceBase + SERVICE_REFUSED];
  counters[serviceBase + SERVICE_CAPACITY] = table.capacity;
  return table;
}

/**
 * Takes over a new state between two batches. A service that stays keeps its table with all entries and goes on in its
 * rotation; a new idle timeout counts for the entries that are there, a new capacity only for a table that is made anew. The
 * memory of a new table comes from JavaScript, which clears it as it is used: nothing waits for it here.
 */
export function adoptState(forwarder: Forwarder, state: ForwardingState): void {
  const { counters, tables, expiryRows, cursors } = forwarder;
  const before = forwarder.state.services;
  const places = new Map(before.map(({ connections }, i) => [connections, i]));
  const olds = state.services.map(({ connections }) => places.get(connections) ?? -1);

  forwarder.tables = state.services.map((service, i) => {
    const table = olds[i] < 0 ? null : tables[olds[i]];
    if (table === null || service.conntrack === null) return createTable(service, counters, undefined);
    if (table.idleTimeoutMs !== service.conntrack.idleTimeoutMs) setIdleTimeout(table, service.conntrack.idleTimeoutMs);
    return table;
  });
  forwarder.expiryRows = state.services.map(({ resetsOnExpiry, isIpv6 }, i) => {
    const table = forwarder.tables[i];
    if (table === null || !resetsOnExpiry) return null;
    const kept = table === tables[olds[i]] ? expiryRows[olds[i]] : null;
    return kept ?? createExpiryRows(table, isIpv6);
  });
  forwarder.cursors = Uint32Array.from(state.services, ({ rotation }, i) => {
    const turn = olds[i] < 0 ? 0 : cursors[olds[i]];
    return turn < rotation.length ? turn : 0;
  });
  for (const [i, { serviceBase }] of state.services.entries()) {
    if (forwarder.tables[i] !== null) continue;
    counters[serviceBase + SERVICE_ENTRIES] = 0;
    counters[serviceBase + SERVICE_CAPACITY] = 0;
  }
  renumberResets(forwarder.resets, (old) => olds.indexOf(old));
  forgetTargets(forwarder.fragments);
  forwarder.state = state;
}

/** A table is swept as often as this; where nobody is told, twice an idle timeout is enough if that is longer. */
const SWEEP_PERIOD_MS = 1000;
/**
 * Packets wait for a sweep. What is more than so many slots a millisecond comes late instead, and what a worker has missed for
 * longer than it sleeps is not made up for: a thousand services with tables of the default size, all in use, come round in six
 * minutes.
 */
export const MOST_SWEPT_PER_MS = 6000;
const MOST_MADE_UP_MS = 100;

/**
 * Expires what has idled out in the `elapsedMs` since the last call: a share of each table that brings the whole of it
 * round once a period. Writes the tables' own numbers to their counter slots. What `onExpiry: reset` then has to say waits
 * for `sendResets` (lb/expiry-reset.ts). Pieces of datagrams that have waited too long are given up too (lb/waiting.ts).
 *
 * Of more than `mostPerMs` slots a millisecond only so many are passed, and tables come round later: an entry that has idled out is
 * none for packets all the same.
 */
export function sweepTables(
  forwarder: Forwarder,
  now: number,
  elapsedMs: number,
  mostPerMs = Number.POSITIVE_INFINITY,
): void {
  const { counters, state, tables } = forwarder;
  let due = 0;
  for (let i = 0; i < tables.length; i++) due += slotsDue(forwarder, i, elapsedMs);
  const share = Math.min(1, (mostPerMs * Math.min(elapsedMs, MOST_MADE_UP_MS)) / due);
  for (let i = 0; i < tables.length; i++) {
    const table = tables[i];
    if (table === null) continue;
    const slots = Math.ceil(slotsDue(forwarder, i, elapsedMs) * share);
    if (slots > 0) {
      if (forwarder.expiryRows[i] !== null) sweepForResets(forwarder, i, now, slots);
      else sweep(table, now, slots);
    }
    const base = state.services[i].serviceBase;
    counters[base + SERVICE_ENTRIES] = table.size;
    counters[base + SERVICE_EXPIRED] = table.expired;
    counters[base + SERVICE_EVICTED] = table.evicted;
    counters[base + SERVICE_REFUSED] = table.refused;
  }
  expireWaiting(forwarder, now);
}

/** Of a table that is empty, none: a thousand of them would be all that a worker sees to. */
function slotsDue({ tables, expiryRows }: Forwarder, i: number, elapsedMs: number): number {
  const table = tables[i];
  if (table === null || table.size === 0) return 0;
  const periodMs = expiryRows[i] !== null ? SWEEP_PERIOD_MS : Math.max(SWEEP_PERIOD_MS, table.idleTimeoutMs / 2);
  return (table.slotCount * Math.min(elapsedMs, periodMs)) / periodMs;
}
