/**
 * All that follows from a configuration and from what health checks found, before the network is asked: places, lookup
 * tables, counters. The daemon prepares one at its start and one for each change, which takes over from the one before what
 * stays. What people want (the configuration) and what is observed (`down`) stay apart.
 */
import type { LookupTable } from '../hashing/lookup-table.ts';
import { type CounterLayout, type CounterRoom, createCounterLayout } from '../metrics/counters.ts';
import { type BackendConfig, type Config, MAX_BACKENDS, MAX_SERVICES, type ServiceConfig } from './config.ts';
import { EXITS } from './exits.ts';
import { assignPlaces, NO_PLACES, type Places } from './places.ts';
import {
  backendKey,
  buildTable,
  type Down,
  NOBODY_DOWN,
  type ServiceTable,
  servingBackends,
  tableKey,
} from './service-table.ts';
import type { TableOrder } from './table-thread.ts';

export interface Prepared {
  readonly config: Config;
  readonly down: Down;
  readonly places: Places;
  /** One a service. */
  readonly tables: readonly ServiceTable[];
  readonly layout: CounterLayout;
  readonly room: CounterRoom;
}

/** For a process whose configuration changes: twice what a file may hold, because removed backends keep theirs a while. */
export const ROOM_FOR_CHANGES: CounterRoom = { services: 2 * MAX_SERVICES, backends: 2 * (MAX_BACKENDS + 1) };

/** Lookup tables that are built already (lb/table-threads.ts), by their service: those of `tablesWanted`, or some of them. */
export type LookupTables = ReadonlyMap<string, LookupTable>;

const NOTHING_BUILT: LookupTables = new Map();

/** What `prepare` has to build, and `prepareNext` for what follows `before`. */
export function tablesWanted(config: Config, before?: Prepared, down = before?.down ?? NOBODY_DOWN): TableOrder[] {
  return choices(config, down, before).flatMap(({ service, serving, table }) => {
    if (table !== undefined) return [];
    const backends = serving.map(({ name, weight }) => ({ name, weight }));
    return { service: service.name, backends, tableSize: service.tableSize };
  });
}

/** A configuration that nothing ran before. `room` is for its counters; exactly enough by default. */
export function prepare(
  config: Config,
  room: CounterRoom = exactRoom(config),
  lookups: LookupTables = NOTHING_BUILT,
): Prepared {
  return arrange(
    choices(config, NOBODY_DOWN),
    config,
    NOBODY_DOWN,
    assignPlaces(config, NO_PLACES, room, 0),
    room,
    lookups,
  );
}

/** A configuration that follows `before` at the time `nowMs`. Throws HushlbError where there is no room for it. */
export function prepareNext(
  config: Config,
  before: Prepared,
  nowMs: number,
  down: Down = before.down,
  lookups: LookupTables = NOTHING_BUILT,
): Prepared {
  const { places, room } = before;
  return arrange(choices(config, down, before), config, down, assignPlaces(config, places, room, nowMs), room, lookups);
}

/** The same with some of its services alone, by their indexes: they keep tables, places and counters. */
export function withServices(prepared: Prepared, indexes: readonly number[]): Prepared {
  const { config, places, tables, room } = prepared;
  const those = <T>(all: readonly T[]): T[] => indexes.map((i) => all[i]);
  const services = those(places.services);
  return {
    ...prepared,
    config: { ...config, services: those(config.services) },
    places: { ...places, services },
    tables: those(tables),
    layout: createCounterLayout({ exits: EXITS, room, services }),
  };
}

/** Whether connections leave the backend because it is down. Where `allDown: keep` lets it serve, they stay. */
export function isForsaken({ config, tables, down }: Prepared, service: number, backend: string): boolean {
  const { name, onDown } = config.services[service];
  return (
    onDown === 'rehash' &&
    down.size > 0 &&
    down.has(backendKey(name, backend)) &&
    !tables[service].serving.includes(backend)
  );
}

/** Who serves new connections of a service. */
interface Choice {
  readonly service: ServiceConfig;
  readonly serving: readonly BackendConfig[];
  /** Of the same backends with the same weights: nothing is to be built. */
  readonly table: ServiceTable | undefined;
}

function choices({ services }: Config, down: Down, before?: Prepared): Choice[] {
  const olds = new Map(
    before?.config.services.map((service, i) => [service.name, { service, table: before.tables[i] }]),
  );
  return services.map((service) => {
    const old = olds.get(service.name);
    const serving = servingBackends(service, down, old?.table.serving ?? []);
    // Its backends have their indexes still, because it never lost its places.
    const stays = old !== undefined && servedKey(old) === tableKey(service, serving);
    return { service, serving, table: stays ? old.table : undefined };
  });
}

function arrange(
  chosen: readonly Choice[],
  config: Config,
  down: Down,
  places: Places,
  room: CounterRoom,
  lookups: LookupTables,
): Prepared {
  const tables = chosen.map(
    ({ service, serving, table }, i) =>
      table ?? buildTable(service, serving, places.services[i].backends, lookups.get(service.name)),
  );
  return {
    config,
    down,
    places,
    tables,
    layout: createCounterLayout({ exits: EXITS, room, services: places.services }),
    room,
  };
}

function servedKey({ service, table }: { service: ServiceConfig; table: ServiceTable }): string {
  const serving = new Set(table.serving);
  return tableKey(
    service,
    service.backends.filter(({ name }) => serving.has(name)),
  );
}

function exactRoom({ services }: Config): CounterRoom {
  return { services: services.length, backends: services.reduce((sum, { backends }) => sum + backends.length, 0) };
}
