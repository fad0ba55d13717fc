/**
 * What becomes of a service's connections when one configuration follows another, counted over the lookup tables: plan/plan.ts
 * asks for each service. A connection is as likely on one slot as on any other; it is lost where its packets reach another host
 * than before, or none.
 */
import type { LookupTable } from '../hashing/lookup-table.ts';
import type { ServiceConfig } from '../lb/config.ts';
import { isForsaken, type Prepared } from '../lb/prepare.ts';
import type { ServiceTable } from '../lb/service-table.ts';

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
  const [old, next] = [tableOf(before), tableOf(after)];
  const counts = new Map<string | null, Map<string | null, number>>();
  const chances = new Map<string | null, Chances>();
  for (const [from, targets] of rowsOf(old, next).entries()) {
    const named = [...targets].map(([to, count]) => [nameOf(next, to), count] as const);
    const sum = named.reduce((total, [, count]) => total + count, 0);
    if (sum === 0) continue;
    counts.set(nameOf(old, from), new Map(named));
    chances.set(nameOf(old, from), new Map(named.map(([to, count]) => [to, count / sum])));
  }
  return { counts, chances };
}

/** By backend, the last for nobody: how many of its slots lead to which. */
function rowsOf(old: LookupTable, next: LookupTable): Map<number, number>[] {
  const rows = Array.from({ length: old.backends.length + 1 }, () => new Map<number, number>());
  const [nobody, nobodyNext] = [old.backends.length, next.backends.length];
  // Numbered by both: millions of slots are counted without a map, where there are not too many pairs.
  const width = nobodyNext + 1;
  const isDense = rows.length * width <= MOST_PAIRS;
  const pairs = new Uint32Array(isDense ? rows.length * width : 0);
  for (let slot = 0; slot < old.tableSize; slot++) {
    const from = Math.min(old.entries[slot], nobody);
    const to = Math.min(next.entries[slot], nobodyNext);
    if (isDense) pairs[from * width + to]++;
    else rows[from].set(to, (rows[from].get(to) ?? 0) + 1);
  }
  for (const [pair, count] of pairs.entries()) {
    if (count > 0) rows[Math.floor(pair / width)].set(pair % width, count);
  }
  return rows;
}

const MOST_PAIRS = 2 ** 20;

function tableOf({ prepared, place }: Side): ServiceTable {
  return prepared.tables[place];
}

/** NO_BACKEND is above every backend's number, so that nobody comes last. */
function nameOf({ backends }: LookupTable, number: number): string | null {
  return backends[number] ?? null;
}

/** Of new connections, 0 to 1, by backend. */
export function sharesOf(side: Side): Chances {
  const table = tableOf(side);
  const { scheduler, backends } = serviceOf(side);
  if (scheduler === 'round-robin' && table.serving.length > 0) {
    const turns = backends.filter(({ name }) => table.serving.includes(name));
    const sum = turns.reduce((total, { weight }) => total + weight, 0);
    return new Map(turns.map(({ name, weight }) => [name, weight / sum]));
  }
  const counts = new Uint32Array(table.backends.length + 1);
  for (const entry of table.entries) counts[Math.min(entry, table.backends.length)]++;
  const chances = Array.from(counts, (count, number) => [nameOf(table, number), count / table.tableSize] as const);
  return new Map(chances.filter(([, share]) => share > 0));
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
