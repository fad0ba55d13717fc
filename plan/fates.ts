/**
 * What becomes of a service's connections when one configuration follows another, counted over the lookup tables: plan/plan.ts
 * asks for each service. A connection is as likely on one slot as on any other; it is lost where its packets reach another host
 * than before, or none.
 */
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import type { ServiceConfig } from '../lb/config.ts';
import { isForsaken, type Prepared } from '../lb/prepare.ts';

/** A service of a configuration, by its place. */
export interface Side {
  readonly prepared: Prepared;
  readonly place: number;
}

export interface Move {
  /** Null: nobody. */
  readonly from: string | null;
  readonly to: string | null;
  /** Slots; null where flows are dealt anew, and only the share can be told. */
  readonly slots: number | null;
  readonly share: number;
}

export interface Fates {
  /** Whether a slot means the same flows in both. */
  readonly comparable: boolean;
  /** Those of other backends than before, largest first. */
  readonly moves: readonly Move[];
  /** Of all flows, 0 to 1: those that hashing alone sends to a backend of another name. */
  readonly moved: number;
  /** Of all connections, 0 to 1: lost by those that have an entry, and by those that have none. */
  readonly lostWithTable: number;
  readonly lostWithoutTable: number;
  /** By backend: the part of its own connections that is lost although they have entries. */
  readonly lostOf: ReadonlyMap<string, number>;
}

/** Name of a backend or null for nobody, and how likely. */
type Chances = ReadonlyMap<string | null, number>;

/** @param keepsTable entries of before are looked up after. */
export function fatesOf(before: Side, after: Side, keepsTable: boolean): Fates {
  const comparable = meansTheSame(before, after);
  const slots = comparable ? pairsOf(before, after) : undefined;
  const [sharesBefore, sharesAfter] = [before, after].map(sharesOf);
  const hosts = hostsOf(serviceOf(after));
  const inTurns = isRoundRobin(before) && isRoundRobin(after);
  const chancesOf = (name: string | null): Chances => {
    // Turns deal flows anew at any time, and no change is to blame for it but one that takes a backend away.
    if (inTurns && sharesAfter.has(name)) return new Map([[name, 1]]);
    return slots?.chances.get(name) ?? sharesAfter;
  };

  const moves: Move[] = [];
  const lostOf = new Map<string, number>();
  let [lostWithTable, lostWithoutTable] = [0, 0];
  const draining = serviceOf(before).backends.map(({ name }): [string, number] => [name, 0]);
  for (const [name, share] of new Map([...draining, ...sharesBefore])) {
    const chances = chancesOf(name);
    for (const [to, chance] of chances) {
      if (to === name || share * chance === 0) continue;
      const count = slots?.counts.get(name)?.get(to) ?? null;
      moves.push({ from: name, to, slots: count, share: share * chance });
    }
    // Whom its connections have left already has none to lose.
    if (name === null || isForsaken(before.prepared, before.place, name)) continue;
    const host = hostsOf(serviceOf(before)).get(name);
    const byHash = [...chances].reduce((sum, [to, chance]) => sum + (hostOf(hosts, to) === host ? 0 : chance), 0);
    const withTable = keepsTable && stays(after, name) ? Number(hosts.get(name) !== host) : byMiss(after, byHash);
    lostOf.set(name, withTable);
    lostWithTable += share * withTable;
    lostWithoutTable += share * byHash;
  }
  moves.sort((a, b) => b.share - a.share);
  const moved = moves.reduce((sum, { share }) => sum + share, 0);
  return { comparable: comparable || inTurns, moves, moved, lostWithTable, lostWithoutTable, lostOf };
}

function serviceOf({ prepared, place }: Side): ServiceConfig {
  return prepared.config.services[place];
}

function isRoundRobin(side: Side): boolean {
  return serviceOf(side).scheduler === 'round-robin';
}

/** Another size, hash input or seed deals all flows anew; so does round-robin, before or after. */
function meansTheSame(before: Side, after: Side): boolean {
  const [old, next] = [serviceOf(before), serviceOf(after)];
  return (
    old.tableSize === next.tableSize &&
    old.hash === next.hash &&
    before.prepared.config.hashSeed === after.prepared.config.hashSeed &&
    !isRoundRobin(before) &&
    !isRoundRobin(after)
  );
}

/** For each backend, where the slots lead that were its. */
function pairsOf(
  before: Side,
  after: Side,
): { counts: Map<string | null, Map<string | null, number>>; chances: Map<string | null, Chances> } {
  const [old, next] = [before.prepared.tables[before.place], after.prepared.tables[after.place]];
  const counts = new Map<string | null, Map<string | null, number>>();
  for (let slot = 0; slot < old.tableSize; slot++) {
    const from = nameIn(old, slot);
    const to = nameIn(next, slot);
    const row = counts.get(from) ?? new Map<string | null, number>();
    counts.set(from, row.set(to, (row.get(to) ?? 0) + 1));
  }
  const chances = new Map(
    [...counts].map(([from, row]) => {
      const sum = [...row.values()].reduce((a, b) => a + b, 0);
      return [from, new Map([...row].map(([to, count]) => [to, count / sum]))] as const;
    }),
  );
  return { counts, chances };
}

interface Table {
  readonly entries: Uint16Array;
  readonly backends: readonly string[];
}

function nameIn({ entries, backends }: Table, slot: number): string | null {
  return entries[slot] === NO_BACKEND ? null : backends[entries[slot]];
}

/** Of new connections, 0 to 1, by backend. */
export function sharesOf(side: Side): Chances {
  const table = side.prepared.tables[side.place];
  const { scheduler, backends } = serviceOf(side);
  const counts = new Map<string | null, number>();
  const count = (name: string | null, parts: number): void => void counts.set(name, (counts.get(name) ?? 0) + parts);
  if (scheduler === 'round-robin' && table.serving.length > 0) {
    for (const { name, weight } of backends) if (table.serving.includes(name)) count(name, weight);
  } else {
    for (let slot = 0; slot < table.tableSize; slot++) count(nameIn(table, slot), 1);
  }
  const sum = [...counts.values()].reduce((a, b) => a + b, 0);
  return new Map([...counts].map(([name, parts]) => [name, parts / sum]));
}

function hostsOf({ backends }: ServiceConfig): Map<string, string> {
  return new Map(backends.map(({ name, address }) => [name, address]));
}

function hostOf(hosts: ReadonlyMap<string, string>, name: string | null): string | undefined {
  return name === null ? undefined : hosts.get(name);
}

/** Entries that name the backend are followed. */
function stays(after: Side, name: string): boolean {
  const { prepared, place } = after;
  return serviceOf(after).backends.some((backend) => backend.name === name) && !isForsaken(prepared, place, name);
}

/** A packet that has lost its entry meets `onMiss`. */
function byMiss(after: Side, byHash: number): number {
  return serviceOf(after).onMiss === 'forward' ? byHash : 1;
}
