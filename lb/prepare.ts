/**
 * All that follows from a configuration alone, before the network is asked: places, lookup tables, counters. The daemon
 * prepares one at its start and one a reload, which takes over from the one before what stays.
 */
import { type CounterLayout, type CounterRoom, createCounterLayout } from '../metrics/counters.ts';
import { type Config, MAX_BACKENDS, MAX_SERVICES } from './config.ts';
import { EXITS } from './exits.ts';
import { assignPlaces, NO_PLACES, type Places } from './places.ts';
import { buildTable, type ServiceTable, tableKey } from './service-table.ts';

export interface Prepared {
  readonly config: Config;
  readonly places: Places;
  /** One a service. */
  readonly tables: readonly ServiceTable[];
  readonly layout: CounterLayout;
  readonly room: CounterRoom;
}

/** For a process whose configuration changes: twice what a file may hold, because removed backends keep theirs a while. */
export const ROOM_FOR_CHANGES: CounterRoom = { services: 2 * MAX_SERVICES, backends: 2 * (MAX_BACKENDS + 1) };

/** A configuration that nothing ran before. `room` is for its counters; exactly enough by default. */
export function prepare(config: Config, room: CounterRoom = exactRoom(config)): Prepared {
  return arrange(config, assignPlaces(config, NO_PLACES, room, 0), room, new Map());
}

/** A configuration that follows `before` at the time `nowMs`. Throws HushlbError where there is no room for it. */
export function prepareNext(config: Config, before: Prepared, nowMs: number): Prepared {
  const built = new Map(
    before.config.services.map((service, i) => [service.name, { service, table: before.tables[i] }]),
  );
  return arrange(config, assignPlaces(config, before.places, before.room, nowMs), before.room, built);
}

type Built = ReadonlyMap<string, { readonly service: Config['services'][number]; readonly table: ServiceTable }>;

function arrange(config: Config, places: Places, room: CounterRoom, built: Built): Prepared {
  const tables = config.services.map((service, i) => {
    const old = built.get(service.name);
    // Its backends have their indexes still, because it never lost its places.
    if (old !== undefined && tableKey(old.service) === tableKey(service)) return old.table;
    return buildTable(service, places.services[i].backends);
  });
  return {
    config,
    places,
    tables,
    layout: createCounterLayout({ exits: EXITS, room, services: places.services }),
    room,
  };
}

function exactRoom({ services }: Config): CounterRoom {
  return { services: services.length, backends: services.reduce((sum, { backends }) => sum + backends.length, 0) };
}
