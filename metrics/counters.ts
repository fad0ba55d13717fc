/**
 * Counters that packets pay for: every counter is a slot of one Float64Array over shared memory, one array a worker.
 *
 * ```
 *   slot 0                                                                                       slotCount
 *   │ exits of no service │ service place 0 │ service place 1 │ … │ backend place 0 │ backend place 1 │ … │
 *     one per exit          one per exit, then SERVICE_… below      BACKEND_…
 * ```
 *
 * An array lives as long as its worker and has room for more services and backends than there are: whoever stays over a
 * change of the configuration keeps its place, and so its counts (lb/places.ts). Memory that nobody counts in is not
 * resident.
 *
 * A worker is the only writer of its array, so `slots[base + n]++` needs no atomics; the main thread adds the workers'
 * arrays up when metrics are read. A double counts exactly up to 2^53 and an aligned one is read whole on 64-bit
 * machines. The layout is plain data.
 */

/** Slots of a service's block, from `serviceBase[service]`. */
export const SERVICE_HITS = 0;
export const SERVICE_SYN_MISSES = 1;
export const SERVICE_NON_SYN_MISSES = 2;
/** Entries that idled out, and entries that made room for others. */
export const SERVICE_EXPIRED = 3;
export const SERVICE_EVICTED = 4;
/** Flows that found no room in the table and were forwarded by hash alone. */
export const SERVICE_REFUSED = 5;
/** Entries now: a slot that also goes down. */
export const SERVICE_ENTRIES = 6;
/** RSTs that the balancer sent, for whatever cause: 0 for ever unless `onMiss` or `onExpiry` is reset. */
export const SERVICE_RESETS_SENT = 7;
/** SYNs whose sender left the checksum to hardware that its link doesn't have: the backend will drop them. */
export const SERVICE_UNFINISHED_CHECKSUMS = 8;
/** Of those RSTs the ones for connections that idled out: one to each side. */
export const SERVICE_EXPIRY_RESETS_SENT = 9;
/** UDP: the first of its flow, or the flow was forgotten. */
export const SERVICE_DATAGRAM_MISSES = 10;
/** SYNs whose MSS was lowered. */
export const SERVICE_MSS_CLAMPED = 11;
/** ICMP errors about a connection, sent to its backend: counted as forwarded too. */
export const SERVICE_RELATED = 12;
/** Datagrams whose QUIC connection id named their backend. */
export const SERVICE_QUIC_ROUTED = 13;
/** Entries that the table has room for. Not a count: written when the table is made. */
export const SERVICE_CAPACITY = 14;
export const SERVICE_SLOTS = 15;

/** Slots of a backend, from `backendBase[service][backend]`. */
export const BACKEND_PACKETS = 0;
export const BACKEND_BYTES = 1;
export const BACKEND_SLOTS = 2;

export interface ExitName {
  readonly verdict: string;
  readonly reason: string;
  /** Whether packets that leave there have a service by then; where it is left out, both occur. */
  readonly ofService?: boolean;
}

/** How many places there are. */
export interface CounterRoom {
  readonly services: number;
  readonly backends: number;
}

/** Who counts where: places from 0 on, no two services and no two backends in the same. */
export interface CounterPlaces {
  readonly name: string;
  readonly place: number;
  readonly backends: readonly { readonly name: string; readonly place: number }[];
}

export interface CounterLayout {
  readonly exits: readonly ExitName[];
  readonly services: readonly { readonly name: string; readonly backends: readonly string[] }[];
  /** First exit slot by service index; one more, at `services.length`, for packets that belong to no service. */
  readonly exitBase: readonly number[];
  readonly serviceBase: readonly number[];
  /** By service index and place in its list of backends. */
  readonly backendBase: readonly (readonly number[])[];
  readonly slotCount: number;
}

/** Where every counter lies. Layouts of the same exits and the same room agree on every place. */
export function createCounterLayout(names: {
  readonly exits: readonly ExitName[];
  readonly room: CounterRoom;
  readonly services: readonly CounterPlaces[];
}): CounterLayout {
  const { room, services } = names;
  const exits = names.exits.map((exit) => ({ ...exit }));
  const block = exits.length + SERVICE_SLOTS;
  const blocks = exits.length;
  const backendBlocks = blocks + room.services * block;
  const exitBase = services.map(({ place }) => blocks + place * block);
  return {
    exits,
    services: services.map(({ name, backends }) => ({ name, backends: backends.map((backend) => backend.name) })),
    exitBase: [...exitBase, 0],
    serviceBase: exitBase.map((base) => base + exits.length),
    backendBase: services.map(({ backends }) => backends.map(({ place }) => backendBlocks + place * BACKEND_SLOTS)),
    slotCount: backendBlocks + room.backends * BACKEND_SLOTS,
  };
}

/** One worker's counters, all 0, on memory that the main thread reads while the worker counts. */
export function allocateCounters(layout: CounterLayout): Float64Array<SharedArrayBuffer> {
  return new Float64Array(new SharedArrayBuffer(layout.slotCount * Float64Array.BYTES_PER_ELEMENT));
}

/** Sets the counters to 0 that `after` has and `before` has not. The caller knows that no worker counts there now. */
export function clearNewCounters(before: CounterLayout, after: CounterLayout, workers: readonly Float64Array[]): void {
  clearNew(before.exitBase, after.exitBase, after.exits.length, workers);
  clearNew(before.serviceBase, after.serviceBase, SERVICE_SLOTS, workers);
  clearNew(before.backendBase.flat(), after.backendBase.flat(), BACKEND_SLOTS, workers);
}

function clearNew(
  before: readonly number[],
  after: readonly number[],
  length: number,
  workers: readonly Float64Array[],
): void {
  const known = new Set(before);
  for (const base of after) {
    if (!known.has(base)) for (const slots of workers) slots.fill(0, base, base + length);
  }
}

/** A counter's value: the sum over all workers. */
export function sumSlots(workers: readonly Float64Array[], slot: number): number {
  let sum = 0;
  for (const slots of workers) sum += slots[slot];
  return sum;
}
