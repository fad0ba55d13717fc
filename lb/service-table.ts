/**
 * A service's choice of backends, as people look at it and as packets do: Maglev's lookup table over its active backends,
 * and the rotation of round-robin. Used by lb/prepare.ts and lb/forwarding-state.ts; `hushlb table` shows a lookup table.
 */
import { buildLookupTable, type LookupTable, NO_BACKEND } from '../hashing/lookup-table.ts';
import type { ServiceConfig } from './config.ts';
import type { BackendPlace } from './places.ts';

export interface ServiceTable extends LookupTable {
  /** Backend index for each of the M slots, or NO_BACKEND, on shared memory. */
  readonly slots: Uint16Array;
}

/** Maglev over a service's active backends: a draining one gets no slot. */
export function lookupTableOf(service: ServiceConfig): LookupTable {
  return buildLookupTable(activeBackends(service), service.tableSize);
}

export function buildTable(service: ServiceConfig, places: readonly BackendPlace[]): ServiceTable {
  const table = lookupTableOf(service);
  return { ...table, slots: slotsByIndex(table, places) };
}

function activeBackends({ backends }: ServiceConfig): ServiceConfig['backends'] {
  return backends.filter((backend) => backend.state === 'active');
}

/** The table names backends by their place in sorted order; packets need the index that connection tables know. */
function slotsByIndex(table: LookupTable, places: readonly BackendPlace[]): Uint16Array {
  const known = new Map(places.map(({ name, index }) => [name, index]));
  const indexes = table.backends.map((name) => known.get(name) ?? NO_BACKEND);
  const slots = new Uint16Array(new SharedArrayBuffer(table.tableSize * 2));
  for (let slot = 0; slot < slots.length; slot++) slots[slot] = indexes[table.entries[slot]] ?? NO_BACKEND;
  return slots;
}

/** Equal for services of one name that have equal tables; the order in the file does not matter. */
export function tableKey(service: ServiceConfig): string {
  const backends = activeBackends(service).map(({ name, weight }) => `${name} ${weight}`);
  return [service.tableSize, ...backends.sort()].join('\n');
}

/** One for all: a thousand of them would travel to every worker. */
const NO_ROTATION = new Uint16Array(0);

/** Round-robin only, else empty. Rounds over the active backends: in round r stand those whose weight is at least r. */
export function rotationOf(service: ServiceConfig, places: readonly BackendPlace[]): Uint16Array {
  const rotation: number[] = [];
  if (service.scheduler !== 'round-robin') return NO_ROTATION;
  const heaviest = Math.max(...service.backends.map((backend) => backend.weight));
  for (let round = 1; round <= heaviest; round++) {
    service.backends.forEach((backend, i) => {
      if (backend.state === 'active' && backend.weight >= round) rotation.push(places[i].index);
    });
  }
  return Uint16Array.from(rotation);
}
