/**
 * What there is to know about a lookup table once it is built: how even it is, and what a change to it moves. For
 * `hushlb table`, for tests, and for whoever weighs a change before making it.
 */
import { type LookupTable, NO_BACKEND } from './lookup-table.ts';

export interface BackendShare {
  readonly backend: string;
  readonly weight: number;
  /** Slots that name the backend. */
  readonly slots: number;
  /** Slots as a share of the table, 0 to 1. */
  readonly share: number;
  /** The share that the weight asks for: weight / sum of weights. */
  readonly fairShare: number;
}

/** One row for each backend, in table order. */
export function shares(table: LookupTable): BackendShare[] {
  const slots = new Uint32Array(table.backends.length);
  for (const backend of table.entries) slots[backend]++;
  const weightSum = table.weights.reduce((sum, weight) => sum + weight, 0);
  return table.backends.map((backend, i) => ({
    backend,
    weight: table.weights[i],
    slots: slots[i],
    share: slots[i] / table.tableSize,
    fairShare: table.weights[i] / weightSum,
  }));
}

/**
 * How far the most overloaded backend is above what its weight asks for: the largest share / fairShare. 1 is even, and
 * 1.01 means that some backend gets 1 % more than it should. With equal weights it is the maximum percent of entries per
 * backend (Maglev paper, section 5.3) over the average; section 3.4 takes M above 100 times the backends to keep the
 * difference within 1 %. A table without backends is even.
 */
export function imbalance(table: LookupTable): number {
  return shares(table).reduce((worst, { share, fairShare }) => Math.max(worst, share / fairShare), 1);
}

/**
 * Disruption: the share of flows, 0 to 1, whose backend has another name afterwards, were each chosen by hash alone. For
 * tables of one size that is the share of slots that changed. For two different primes a flow's two slots are
 * independent of each other, so it keeps its backend only by chance.
 */
export function disruption(before: LookupTable, after: LookupTable): number {
  if (before.tableSize !== after.tableSize) return 1 - chanceOfSameBackend(before, after);
  if (before.backends.length === 0 || after.backends.length === 0) {
    return before.backends.length === after.backends.length ? 0 : 1;
  }
  // Numbers are compared, not names: the tables of a thousand services have 65 million slots.
  const known = new Map(before.backends.map((name, i) => [name, i]));
  const indexBefore = Uint16Array.from(after.backends, (name) => known.get(name) ?? NO_BACKEND);
  const [from, to] = [before.entries, after.entries];
  let changed = 0;
  for (let slot = 0; slot < from.length; slot++) if (from[slot] !== indexBefore[to[slot]]) changed++;
  return changed / before.tableSize;
}

function chanceOfSameBackend(before: LookupTable, after: LookupTable): number {
  if (before.backends.length === 0 && after.backends.length === 0) return 1;
  const shareAfter = new Map(shares(after).map(({ backend, share }) => [backend, share]));
  return shares(before).reduce((chance, { backend, share }) => chance + share * (shareAfter.get(backend) ?? 0), 0);
}
