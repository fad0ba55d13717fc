/**
 * What a configuration changes about the one before it, in traffic: slots that move, connections that break with their entries
 * and without, load by backend, settings, what needs a restart. `hushlb plan` shows it for two files, or for a file and the
 * balancer that runs (admin/plan-routes.ts). Pure; the tables compared are those that packets would meet.
 */
import type { BackendConfig, Config, ServiceConfig } from '../lb/config.ts';
import { socketOf } from '../lb/places.ts';
import { portText } from '../lb/ports.ts';
import { type Prepared, prepare, prepareNext, ROOM_FOR_CHANGES } from '../lb/prepare.ts';
import { fixedDifferences } from '../lb/reload.ts';
import type { EntryCount } from '../lb/worker-requests.ts';
import { type Fates, fatesOf, type Move, type Side, sharesOf } from './fates.ts';
import { globalDifferences, type Setting, serviceDifferences } from './settings.ts';

export interface Plan {
  /** Something moves: a slot, a connection, a service; or the change needs a restart. */
  readonly moves: boolean;
  /** A running balancer would refuse the file; what is said of connections is said of a restart. */
  readonly needsRestart: boolean;
  readonly settings: readonly Setting[];
  readonly services: readonly ServicePlan[];
}

export interface ServicePlan {
  readonly name: string;
  /** `moved`: another VIP, protocol or port; `renamed`: another name on the same ones. */
  readonly status: 'same' | 'changed' | 'added' | 'removed' | 'moved' | 'renamed';
  /** `VIP PROTOCOL PORT`. */
  readonly socket: string;
  readonly settings: readonly Setting[];
  readonly backends: readonly BackendPlan[];
  /** Null where there is nothing to compare. */
  readonly slots: { readonly of: number; readonly moved: number | null; readonly share: number } | null;
  readonly moves: readonly Move[];
  readonly connections: ConnectionsPlan | null;
  readonly notes: readonly string[];
}

/** Shares of the service's connections, 0 to 1, that the change would break. */
export interface ConnectionsPlan {
  /** Of those that have an entry in the connection table. */
  readonly withTable: number;
  /** Of those that have none: forgotten, or taken over by another balancer. */
  readonly withoutTable: number;
  /** The running balancer's entries, and how many of those would break; null where nobody was asked. */
  readonly entries: { readonly now: number; readonly broken: number } | null;
}

export interface BackendPlan {
  readonly name: string;
  readonly before: BackendSide | null;
  readonly after: BackendSide | null;
  readonly entries: number | null;
}

export interface BackendSide {
  readonly address: string;
  readonly weight: number;
  readonly state: BackendConfig['state'];
  /** Of new connections, 0 to 1. */
  readonly share: number;
}

/** Two files: the first is taken for running, with all backends up. */
export function planOfFiles(before: Config, after: Config): Plan {
  return planOf(prepare(before, ROOM_FOR_CHANGES), after, 0);
}

/** A configuration that follows what runs; `counts` are its entries, where the workers were asked. */
export function planOf(before: Prepared, config: Config, nowMs: number, counts?: readonly EntryCount[]): Plan {
  const needsRestart = fixedDifferences(before.config, config).length > 0;
  const after = needsRestart ? prepare(config, ROOM_FOR_CHANGES) : prepareNext(config, before, nowMs);
  const pairs = pairServices(before.config.services, config.services);
  const services = pairs.map((pair) => servicePlan(pair, before, after, needsRestart, counts));
  const settings = globalDifferences(before.config, config);
  return { moves: needsRestart || services.some(isMoving), needsRestart, settings, services };
}

function isMoving({ status, slots, connections }: ServicePlan): boolean {
  if (status === 'added' || status === 'removed' || status === 'moved') return true;
  return (slots?.share ?? 0) > 0 || (connections?.withTable ?? 0) > 0 || (connections?.entries?.broken ?? 0) > 0;
}

interface Pair {
  readonly before: number | undefined;
  readonly after: number | undefined;
}

/** Packets know a service by its VIP, protocol and port; people know it by its name. */
function pairServices(before: readonly ServiceConfig[], after: readonly ServiceConfig[]): Pair[] {
  const sockets = new Map(after.map((service, i) => [socketOf(service), i]));
  const bySocket = before.map((service) => sockets.get(socketOf(service)));
  const taken = new Set(bySocket);
  const names = new Map(after.flatMap(({ name }, i) => (taken.has(i) ? [] : [[name, i] as const])));
  const pairs = before.map(({ name }, i): Pair => ({ before: i, after: bySocket[i] ?? names.get(name) }));
  const paired = new Set(pairs.map((pair) => pair.after));
  return [...pairs, ...after.flatMap((_, i): Pair[] => (paired.has(i) ? [] : [{ before: undefined, after: i }]))];
}

function servicePlan(
  pair: Pair,
  before: Prepared,
  after: Prepared,
  restarts: boolean,
  counts: readonly EntryCount[] | undefined,
): ServicePlan {
  const old = pair.before === undefined ? undefined : { prepared: before, place: pair.before };
  const next = pair.after === undefined ? undefined : { prepared: after, place: pair.after };
  const [mine, theirs] = [old, next].map((side) => side?.prepared.config.services[side.place]);
  const service = theirs ?? mine;
  if (service === undefined) throw new TypeError('a pair of no services');
  const entries = entriesOf(mine, counts);
  const backends = backendPlans(old, next, entries);
  const settings = mine === undefined || theirs === undefined ? [] : serviceDifferences(mine, theirs);
  const status = statusOf(mine, theirs, settings, backends);
  const isComparable = old !== undefined && next !== undefined && status !== 'moved';
  const keeps = status !== 'renamed' && !restarts && tableStays(mine, theirs);
  const fates = isComparable ? fatesOf(old, next, keeps) : undefined;
  return {
    name: service.name,
    status,
    socket: `${service.vip} ${service.protocol} ${portText(service.ports)}`,
    settings,
    backends,
    slots: fates === undefined ? null : slotsOf(fates, service.tableSize),
    moves: fates?.moves ?? [],
    connections: mine === undefined ? null : connectionsOf(fates, entries),
    notes: notesOf(mine, theirs, status, fates),
  };
}

function tableStays(before: ServiceConfig | undefined, after: ServiceConfig | undefined): boolean {
  return before?.conntrack.enabled === true && after?.conntrack.enabled === true;
}

function statusOf(
  before: ServiceConfig | undefined,
  after: ServiceConfig | undefined,
  settings: readonly Setting[],
  backends: readonly BackendPlan[],
): ServicePlan['status'] {
  if (before === undefined) return 'added';
  if (after === undefined) return 'removed';
  if (socketOf(before) !== socketOf(after)) return 'moved';
  if (before.name !== after.name) return 'renamed';
  return settings.length > 0 || backends.some(hasChanged) ? 'changed' : 'same';
}

function hasChanged({ before, after }: BackendPlan): boolean {
  return before?.address !== after?.address || before?.weight !== after?.weight || before?.state !== after?.state;
}

function slotsOf({ comparable, moves, moved }: Fates, size: number): ServicePlan['slots'] {
  const count =
    comparable && moves.every(({ slots }) => slots !== null)
      ? moves.reduce((sum, { slots }) => sum + (slots ?? 0), 0)
      : null;
  return { of: size, moved: count, share: moved };
}

function entriesOf(
  service: ServiceConfig | undefined,
  counts: readonly EntryCount[] | undefined,
): ReadonlyMap<string, number> | undefined {
  if (service === undefined || counts === undefined) return undefined;
  const own = counts.filter((count) => count.service === service.name);
  return new Map(own.map(({ backend, entries }) => [backend, entries]));
}

/** Without fates the service is gone from where it was, and all of its connections with it. */
function connectionsOf(fates: Fates | undefined, entries: ReadonlyMap<string, number> | undefined): ConnectionsPlan {
  const lost = (name: string): number => (fates === undefined ? 1 : (fates.lostOf.get(name) ?? 0));
  let [now, broken] = [0, 0];
  for (const [name, count] of entries ?? []) {
    now += count;
    broken += count * lost(name);
  }
  return {
    withTable: fates?.lostWithTable ?? 1,
    withoutTable: fates?.lostWithoutTable ?? 1,
    entries: entries === undefined ? null : { now, broken: Math.round(broken) },
  };
}

/** In the order of the file, those that go last. */
function backendPlans(
  old: Side | undefined,
  next: Side | undefined,
  entries: ReadonlyMap<string, number> | undefined,
): BackendPlan[] {
  const [before, after] = [old, next].map(backendSides);
  return [...new Set([...after.keys(), ...before.keys()])].map((name) => ({
    name,
    before: before.get(name) ?? null,
    after: after.get(name) ?? null,
    entries: entries === undefined ? null : (entries.get(name) ?? 0),
  }));
}

function backendSides(side: Side | undefined): Map<string, BackendSide> {
  if (side === undefined) return new Map();
  const shares = sharesOf(side);
  const { backends } = side.prepared.config.services[side.place];
  return new Map(
    backends.map(({ name, address, weight, state }) => [
      name,
      { address, weight, state, share: shares.get(name) ?? 0 },
    ]),
  );
}

function notesOf(
  before: ServiceConfig | undefined,
  after: ServiceConfig | undefined,
  status: ServicePlan['status'],
  fates: Fates | undefined,
): string[] {
  const notes: string[] = [];
  if (status === 'renamed') notes.push(`was ${before?.name}: under another name its connection table begins empty`);
  if (before === undefined || after === undefined) return notes;
  const staying = new Set(after.backends.map(({ name }) => name));
  const drained = before.backends.filter(({ name, state }) => state === 'draining' && !staying.has(name));
  for (const { name } of drained) notes.push(`${name} drains: whatever connections it has left break`);
  if (fates !== undefined && !fates.comparable) notes.push('flows are dealt anew: shares are those of chance');
  if (after.onMiss !== 'forward') {
    notes.push(`onMiss ${after.onMiss}: connections without an entry break whatever moves`);
  }
  if (after.scheduler === 'round-robin') {
    notes.push('round-robin: connections without an entry break whatever moves');
  }
  for (const { name, address } of after.backends) {
    const old = before.backends.find((backend) => backend.name === name)?.address;
    if (old !== undefined && old !== address) {
      notes.push(`${name} is another host: ${old} → ${address}, and its connections follow it there and break`);
    }
  }
  if (after.quic !== null) notes.push('datagrams whose QUIC connection id names a backend stay with it');
  return notes;
}
