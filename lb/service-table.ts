/**
 * A service's choice of backends, as people look at it and as packets do: who serves new connections, Maglev's lookup table
 * over them, and the rotation of round-robin. Used by lb/prepare.ts and lb/forwarding-state.ts; `hushlb table` shows a lookup
 * table.
 */
import { buildLookupTable, type LookupTable, NO_BACKEND } from '../hashing/lookup-table.ts';
import { shares } from '../hashing/table-facts.ts';
import type { BackendConfig, ServiceConfig } from './config.ts';
import type { BackendPlace } from './places.ts';

export interface ServiceTable extends LookupTable {
  /** Backend index for each of the M slots, or NO_BACKEND, on shared memory. */
  readonly slots: Uint16Array;
  /** The names of the backends that get new connections, in the order of the file. */
  readonly serving: readonly string[];
}

/** Backends that health checks found down, as `backendKey` names them. */
export type Down = ReadonlySet<string>;

export const NOBODY_DOWN: Down = new Set();

/** `web/b2`: names have no slash. */
export function backendKey(service: string, backend: string): string {
  return `${service}/${backend}`;
}

/** Maglev over a service's active backends: a draining one gets no slot. */
export function lookupTableOf(service: ServiceConfig): LookupTable {
  return buildLookupTable(activeBackends(service), service.tableSize);
}

/**
 * Who gets new connections: the active backends that are up. Where none is, `allDown` decides: nobody, or whoever of them
 * served before, because checks are wrong more often than all of a service is.
 */
export function servingBackends(service: ServiceConfig, down: Down, before: readonly string[]): BackendConfig[] {
  const active = activeBackends(service);
  const up = down.size === 0 ? active : active.filter(({ name }) => !down.has(backendKey(service.name, name)));
  if (up.length > 0 || service.allDown === 'drop') return up;
  const last = active.filter(({ name }) => before.includes(name));
  return last.length > 0 ? last : active;
}

/** `table`: of those who serve, where it is built already. */
export function buildTable(
  service: ServiceConfig,
  serving: readonly BackendConfig[],
  places: readonly BackendPlace[],
  table: LookupTable = buildLookupTable(serving, service.tableSize),
): ServiceTable {
  return { ...table, slots: slotsByIndex(table, places), serving: serving.map(({ name }) => name) };
}

const counted = new WeakMap<ServiceTable, ReadonlyMap<string, number>>();

/** How many slots each backend has, in table order. Counted once a table: those of a thousand services have 65 million. */
export function slotCounts(table: ServiceTable): ReadonlyMap<string, number> {
  const known = counted.get(table);
  if (known !== undefined) return known;
  const counts = new Map(shares(table).map(({ backend, slots }) => [backend, slots]));
  counted.set(table, counts);
  return counts;
}

function activeBackends({ backends }: ServiceConfig): BackendConfig[] {
  return backends.filter((backend) => backend.state === 'active');
}

/** The table names backends by their place in sorted order; packets need the index that connection tables know. */
function slotsByIndex(table: LookupTable, places: readonly BackendPlace[]): Uint16Array {
  const known = new Map(places.map(({ name, index }) => [name, index]));
  const indexes = Uint16Array.from(table.backends, (name) => known.get(name) ?? NO_BACKEND);
  const { entries } = table;
  const slots = new Uint16Array(new SharedArrayBuffer(entries.byteLength));
  if (indexes.length === 0) return slots.fill(NO_BACKEND);
  for (let slot = 0; slot < slots.length; slot++) slots[slot] = indexes[entries[slot]];
  return slots;
}

/** Equal for equal tables of services of one name; the order in the file does not matter. */
export function tableKey({ tableSize }: ServiceConfig, serving: readonly BackendConfig[]): string {
  return [tableSize, ...serving.map(({ name, weight }) => `${name} ${weight}`).sort()].join('\n');
}

/** One for all: a thousand of them would travel to every worker. */
const NO_ROTATION = new Uint16Array(0);

/** Round-robin only, else empty. Rounds over those who serve: in round r stand those whose weight is at least r. */
export function rotationOf(
  service: ServiceConfig,
  serving: readonly string[],
  places: readonly BackendPlace[],
): Uint16Array {
  const rotation: number[] = [];
  if (service.scheduler !== 'round-robin') return NO_ROTATION;
  const heaviest = Math.max(...service.backends.map((backend) => backend.weight));
  for (let round = 1; round <= heaviest; round++) {
    service.backends.forEach((backend, i) => {
      if (backend.weight >= round && serving.includes(backend.name)) rotation.push(places[i].index);
    });
  }
  return Uint16Array.from(rotation);
}
