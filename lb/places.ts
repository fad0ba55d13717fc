/**
 * Who is who from one configuration to the next: a service is known by its name, a backend by its service's and its own.
 * Whoever stays keeps its place, whatever its place in the file: entries of the connection table name a backend by its
 * index, counters are counted in by their number. Pure: lb/prepare.ts asks for the places of a configuration, given those
 * of the one before.
 *
 * ```
 *   before        b1 → 0   b2 → 1   b3 → 2
 *   after         b3 → 2   b1 → 0   b4 → 3        retired: b2 → 1, until no entry can name it
 * ```
 */
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import type { CounterRoom } from '../metrics/counters.ts';
import type { Config, ServiceConfig } from './config.ts';
import { HushlbError } from './errors.ts';
import { portText } from './ports.ts';

export interface BackendPlace {
  readonly name: string;
  /** What entries of the connection table say, and the row of its next hop. */
  readonly index: number;
  /** Of its counters. */
  readonly place: number;
}

/** A removed backend, whose index and counters nobody else gets yet. */
export interface RetiredPlace extends BackendPlace {
  readonly sinceMs: number;
  /** The longest that the service's entries may have lived without a packet since. */
  readonly idleTimeoutMs: number;
}

export interface ServicePlaces {
  readonly name: string;
  /** VIP, protocol and ports: with others it is another service, whose connection table starts empty. */
  readonly socket: string;
  /** The number of its connection table: the same one, the same entries. */
  readonly connections: number;
  /** Of its counters. */
  readonly place: number;
  readonly idleTimeoutMs: number;
  /** In the order of the configuration. */
  readonly backends: readonly BackendPlace[];
  readonly retired: readonly RetiredPlace[];
}

export interface Places {
  readonly services: readonly ServicePlaces[];
  /** The next number of a connection table. */
  readonly connections: number;
}

/** Before the first configuration. */
export const NO_PLACES: Places = { services: [], connections: 0 };

/**
 * The places of `config`, which follows the one that `before` belongs to. With nobody before, indexes are places in the file.
 *
 * @param nowMs the time of the change, on a clock that doesn't step.
 * @throws HushlbError PLACES_EXHAUSTED where the retired leave no index or no counters free.
 */
export function assignPlaces(config: Config, before: Places, room: CounterRoom, nowMs: number): Places {
  const known = new Map(before.services.map((service) => [service.name, service]));
  const pairs = config.services.map((service) => {
    const old = known.get(service.name);
    return { service, old, retired: stillRetired(service, old, nowMs) };
  });
  // Those who go now are still counted for by workers that have not heard of it: their places are free the time after.
  const taken = new Set(
    [...before.services.flatMap(({ backends }) => backends), ...pairs.flatMap((pair) => pair.retired)].map(
      ({ place }) => place,
    ),
  );
  const takenServices = new Set(before.services.map(({ place }) => place));
  const nextService = freeNumbers(takenServices, room.services, 'counters for another service');
  const nextBackend = freeNumbers(taken, room.backends, 'counters for another backend');
  let { connections } = before;
  const services = pairs.map(({ service, old, retired }): ServicePlaces => {
    const keeps = keepsConnections(service, old);
    return {
      name: service.name,
      socket: socketOf(service),
      connections: keeps ? old.connections : connections++,
      place: old?.place ?? nextService(),
      idleTimeoutMs: service.conntrack.idleTimeoutMs,
      ...backendPlaces(service, old, retired, nextBackend, nowMs),
    };
  });
  return { services, connections };
}

function backendPlaces(
  service: ServiceConfig,
  old: ServicePlaces | undefined,
  retired: readonly RetiredPlace[],
  nextCounters: () => number,
  nowMs: number,
): Pick<ServicePlaces, 'backends' | 'retired'> {
  const known = new Map([...retired, ...(old?.backends ?? [])].map((place) => [place.name, place]));
  const indexes = new Set([...known.values()].map(({ index }) => index));
  const nextIndex = freeNumbers(indexes, NO_BACKEND, `index for another backend of service ${service.name}`);
  const backends = service.backends.map(({ name }): BackendPlace => {
    const { index, place } = known.get(name) ?? { index: nextIndex(), place: nextCounters() };
    return { name, index, place };
  });
  if (!keepsConnections(service, old)) return { backends, retired: [] };

  const present = new Set(backends.map(({ name }) => name));
  const idleTimeoutMs = Math.max(old.idleTimeoutMs, service.conntrack.idleTimeoutMs);
  const leaving = old.backends.map((place) => ({ ...place, sinceMs: nowMs, idleTimeoutMs }));
  return { backends, retired: [...retired, ...leaving].filter(({ name }) => !present.has(name)) };
}

/** Other VIPs, protocols and ports are other connections. */
function keepsConnections(service: ServiceConfig, old: ServicePlaces | undefined): old is ServicePlaces {
  return old !== undefined && old.socket === socketOf(service);
}

/** `VIP PROTOCOL PORTS`: what packets know of a service. */
export function socketOf({ vip, protocol, ports }: ServiceConfig): string {
  return `${vip} ${protocol} ${portText(ports)}`;
}

/** A longer idle timeout counts for entries that have not been swept yet, so for the backends that they name. */
function stillRetired(service: ServiceConfig, old: ServicePlaces | undefined, nowMs: number): RetiredPlace[] {
  if (!keepsConnections(service, old)) return [];
  return old.retired
    .map((place) => ({ ...place, idleTimeoutMs: Math.max(place.idleTimeoutMs, service.conntrack.idleTimeoutMs) }))
    .filter((place) => !isForgotten(place, nowMs));
}

/** Workers take a change over within this, and a removed backend's last entry is as old as that change. */
const TAKEOVER_MS = 60_000;

/** No entry names it any more: all have idled out, and a sweep has passed them (every half of an idle timeout). */
function isForgotten({ sinceMs, idleTimeoutMs }: RetiredPlace, nowMs: number): boolean {
  return nowMs - sinceMs > 2 * idleTimeoutMs + TAKEOVER_MS;
}

/** Gives the lowest number below `end` that is not taken, then the next one. */
function freeNumbers(taken: ReadonlySet<number>, end: number, what: string): () => number {
  let next = 0;
  return () => {
    while (taken.has(next)) next++;
    if (next >= end) {
      const advice = 'wait until the connections of removed ones have idled out, or restart hushlb';
      throw new HushlbError('PLACES_EXHAUSTED', `no ${what} left: ${advice}`);
    }
    return next++;
  };
}

/** Rows that indexes lead to, those of retired backends too. */
export function rowCount({ backends, retired }: ServicePlaces): number {
  return [...backends, ...retired].reduce((count, { index }) => Math.max(count, index + 1), 0);
}
