/**
 * Counters that packets pay for: every counter is a slot of one Float64Array over shared memory, one array a worker.
 *
 * ```
 *   slot 0                                                                                       slotCount
 *   │ exits of service 0 │ … │ exits of no service │ block of service 0 │ … │ backends of service 0 │ … │
 *     one per exit             (index services.length)  SERVICE_… below        2 per backend: BACKEND_…
 * ```
 *
 * A worker is the only writer of its array, so `slots[base + n]++` needs no atomics; the main thread adds the workers'
 * arrays up when metrics are read. A double counts exactly up to 2^53 and an aligned one is read whole on 64-bit
 * machines. The layout is plain data: it travels to workers by `postMessage`.
 */

/** Slots of a service's block, from `serviceBase[service]`. */
export const SERVICE_HITS = 0;
export const SERVICE_SYN_MISSES = 1;
export const SERVICE_NON_SYN_MISSES = 2;
/** Entries that idled out, and entries that made room for others. */
export const SERVICE_EXPIRED = 3;
export const SERVICE_EVICTED = 4;
/** Flows that found the table full and were forwarded by hash alone. */
export const SERVICE_REFUSED = 5;
/** Entries now: the one slot that also goes down. */
export const SERVICE_ENTRIES = 6;
/** RSTs that the balancer sent, for whatever cause: 0 for ever unless `onMiss` or `onExpiry` is reset. */
export const SERVICE_RESETS_SENT = 7;
/** SYNs whose sender left the checksum to hardware that its link doesn't have: the backend will drop them. */
export const SERVICE_UNFINISHED_CHECKSUMS = 8;
/** Of those RSTs the ones for connections that idled out: one to each side. */
export const SERVICE_EXPIRY_RESETS_SENT = 9;
export const SERVICE_SLOTS = 10;

/** Slots of a backend, from `backendBase[service] + backend * BACKEND_SLOTS`. */
export const BACKEND_PACKETS = 0;
export const BACKEND_BYTES = 1;
export const BACKEND_SLOTS = 2;

export interface ExitName {
  readonly verdict: string;
  readonly reason: string;
  /** Whether packets that leave there have a service by then; where it is left out, both occur. */
  readonly ofService?: boolean;
}

export interface CounterLayout {
  readonly exits: readonly ExitName[];
  readonly services: readonly { readonly name: string; readonly backends: readonly string[] }[];
  /** First exit slot by service index; one more, at `services.length`, for packets that belong to no service. */
  readonly exitBase: readonly number[];
  readonly serviceBase: readonly number[];
  readonly backendBase: readonly number[];
  readonly slotCount: number;
}

/** Where every counter lies: decided by the arguments' order alone. `services` may be those of a configuration. */
export function createCounterLayout(names: {
  readonly exits: readonly ExitName[];
  readonly services: readonly { readonly name: string; readonly backends: readonly { readonly name: string }[] }[];
}): CounterLayout {
  const exits = names.exits.map((exit) => ({ ...exit }));
  const services = names.services.map(({ name, backends }) => ({
    name,
    backends: backends.map((backend) => backend.name),
  }));
  let slotCount = 0;
  const take = (length: number) => {
    slotCount += length;
    return slotCount - length;
  };
  const exitBase = Array.from({ length: services.length + 1 }, () => take(exits.length));
  const serviceBase = services.map(() => take(SERVICE_SLOTS));
  const backendBase = services.map(({ backends }) => take(backends.length * BACKEND_SLOTS));
  return { exits, services, exitBase, serviceBase, backendBase, slotCount };
}

/** One worker's counters, all 0, on memory that the main thread reads while the worker counts. */
export function allocateCounters(layout: CounterLayout): Float64Array<SharedArrayBuffer> {
  return new Float64Array(new SharedArrayBuffer(layout.slotCount * Float64Array.BYTES_PER_ELEMENT));
}

/** A counter's value: the sum over all workers. */
export function sumSlots(workers: readonly Float64Array[], slot: number): number {
  let sum = 0;
  for (const slots of workers) sum += slots[slot];
  return sum;
}
