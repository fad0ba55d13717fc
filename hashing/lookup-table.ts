/**
 * The Maglev lookup table: M slots, each naming a backend, so that shares are even and a change of backends moves few
 * slots (Eisenbud et al., NSDI 2016, section 3.4). Weights are filled as Envoy's Maglev fills them, so that the same
 * names, weights and M give Envoy's table.
 *
 * Called when a configuration is read or a table is shown, never per packet. A table depends on its backends' names and
 * weights and on M alone: not on the order of the file, and not on the machine.
 */
import { tableFingerprint } from './fingerprint.ts';
import { xxh64Into } from './xxh64.ts';

/** What a slot holds in a table that has no backends. */
export const NO_BACKEND = 0xffff;

/** The largest table that Envoy accepts. It is prime, and takes 10 MB. */
export const MAX_TABLE_SIZE = 5_000_011;

export interface LookupTable {
  /** M, a prime. */
  readonly tableSize: number;
  /** Names in byte order of their UTF-8. */
  readonly backends: readonly string[];
  /** As given, in the order of `backends`. */
  readonly weights: readonly number[];
  /** For each slot an index into `backends`, or NO_BACKEND in all of them. */
  readonly entries: Uint16Array;
  /** 16 hex digits; see hashing/fingerprint.ts. */
  readonly fingerprint: string;
}

export type LookupTableErrorCode =
  | 'TABLE_SIZE_INVALID'
  | 'TABLE_SIZE_NOT_PRIME'
  | 'TABLE_TOO_SMALL'
  | 'TOO_MANY_BACKENDS'
  | 'BACKEND_DUPLICATE'
  | 'BACKEND_WEIGHT_INVALID';

/** A table that cannot be built as asked. `code` is stable, the message is one line for people. */
export class LookupTableError extends Error {
  override readonly name = 'LookupTableError';
  readonly code: LookupTableErrorCode;

  constructor(code: LookupTableErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

interface Backend {
  readonly name: string;
  readonly weight: number;
  /** The name in UTF-8: what is sorted by and hashed. */
  readonly key: Uint8Array;
}

/**
 * Builds the table of `backends`, in any order; without backends, all slots hold NO_BACKEND.
 *
 * @param tableSize M, a prime of at most MAX_TABLE_SIZE.
 * @throws LookupTableError for an M that is not such a prime or smaller than the number of backends, for more than 65535
 * backends, for two of one name, and for a weight that is not a positive number.
 */
export function buildLookupTable(
  backends: readonly { readonly name: string; readonly weight: number }[],
  tableSize: number,
): LookupTable {
  checkTableSize(tableSize, backends.length);
  const sorted = sortBackends(backends);
  const offsets = new Uint32Array(sorted.length);
  const skips = new Uint32Array(sorted.length);
  const hash = new Uint32Array(2);
  sorted.forEach(({ key }, i) => {
    xxh64Into(hash, key, 0, 0);
    offsets[i] = remainder(hash, tableSize);
    xxh64Into(hash, key, 1, 0);
    skips[i] = remainder(hash, tableSize - 1) + 1;
  });

  const names = sorted.map(({ name }) => name);
  const weights = sorted.map(({ weight }) => weight);
  const entries = fillLookupTable(offsets, skips, weights, tableSize);
  return { tableSize, backends: names, weights, entries, fingerprint: tableFingerprint(tableSize, names, entries) };
}

/**
 * Fills a table from its backends' offsets (0 to M - 1), skips (1 to M - 1) and weights, M being prime and not smaller
 * than their number.
 *
 * In each iteration every backend takes the next slot of its permutation that is still free. A backend that weighs less
 * than the heaviest sits out those iterations in which it is ahead of its weight; it never sits out the first. The
 * doubles are computed as in Envoy, step by step, because a rounding decides who sits out.
 */
export function fillLookupTable(
  offsets: ArrayLike<number>,
  skips: ArrayLike<number>,
  weights: ArrayLike<number>,
  tableSize: number,
): Uint16Array {
  const entries = new Uint16Array(tableSize).fill(NO_BACKEND);
  const count = offsets.length;
  if (count === 0) return entries;

  const shares = normalise(weights);
  const heaviest = shares.reduce((a, b) => Math.max(a, b));
  const targets = new Float64Array(count);
  const next = Uint32Array.from(offsets);
  const steps = Uint32Array.from(skips);
  const turns = new Uint32Array(count);
  const few = Math.min(MOST_RANKED, Math.floor(tableSize / (RANKING_COST * count)));
  let free = tableSize;
  let ranked: Uint32Array[] | undefined;
  for (let iteration = 1; ; iteration++) {
    for (let backend = 0; backend < count; backend++) {
      if (iteration * shares[backend] < targets[backend]) continue;
      targets[backend] += heaviest;
      if (free <= few) {
        ranked ??= rankFreeSlots(entries, free, next, steps);
        const ranking = ranked[backend];
        let turn = turns[backend];
        while (entries[ranking[turn]] !== NO_BACKEND) turn++;
        turns[backend] = turn + 1;
        entries[ranking[turn]] = backend;
        free--;
        if (free === 0) return entries;
        continue;
      }
      // The permutation is walked by adding: offset + j * skip mod M would need 64-bit products.
      const skip = steps[backend] | 0;
      let slot = next[backend] | 0;
      while (entries[slot] !== NO_BACKEND) {
        // Whether it goes past the end is a coin's toss: a branch would be guessed wrong every other time.
        slot += skip - tableSize;
        slot += (slot >> 31) & tableSize;
      }
      entries[slot] = backend;
      next[backend] = slot;
      free--;
      if (free === 0) return entries;
    }
  }
}

/** A rank and a slot's number among the free ones fit into 32 bits together. */
const MOST_RANKED = 512;
/** To rank a slot for a backend takes about as long as so many steps of a walk. */
const RANKING_COST = 8;

/**
 * For each backend the slots that are still free, in the order in which its permutation comes to them from `next` on. Of a
 * walk's steps more than half are for the last slots, and nearly all of those find a slot that is taken.
 */
function rankFreeSlots(entries: Uint16Array, count: number, next: Uint32Array, steps: Uint32Array): Uint32Array[] {
  const tableSize = entries.length;
  const free = new Uint32Array(count);
  for (let slot = 0, at = 0; at < count; slot++) if (entries[slot] === NO_BACKEND) free[at++] = slot;
  return Array.from(next, (from, backend) => {
    const inverse = inverseOf(steps[backend], tableSize);
    const ranks = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      // The slot is from + rank * step mod M. Products stay below 2^45: doubles carry them, and their quotients' floors, exactly.
      const product = ((free[i] - from + tableSize) % tableSize) * inverse;
      const rank = product - Math.floor(product / tableSize) * tableSize;
      ranks[i] = rank * MOST_RANKED + i;
    }
    return ranks.sort().map((rank) => free[rank % MOST_RANKED]);
  });
}

/** The number from 1 to `prime` - 1 whose product with `value` is 1 modulo `prime`: Euclid's algorithm, extended. */
function inverseOf(value: number, prime: number): number {
  let [a, b] = [prime, value];
  let [x, y] = [0, 1];
  while (b !== 0) {
    const quotient = Math.floor(a / b);
    [a, b] = [b, a - quotient * b];
    [x, y] = [y, x - quotient * y];
  }
  return x < 0 ? x + prime : x;
}

/** True for primes; false for anything else, fractions included. */
export function isPrime(value: number): boolean {
  if (!Number.isSafeInteger(value) || value < 2) return false;
  if (value % 2 === 0) return value === 2;
  for (let divisor = 3; divisor * divisor <= value; divisor += 2) {
    if (value % divisor === 0) return false;
  }
  return true;
}

/** The smallest prime that is not below `value`. */
export function nextPrime(value: number): number {
  let candidate = Math.max(2, Math.ceil(value));
  while (!isPrime(candidate)) candidate++;
  return candidate;
}

function checkTableSize(tableSize: number, backendCount: number): void {
  if (!Number.isInteger(tableSize) || tableSize < 2 || tableSize > MAX_TABLE_SIZE) {
    throw new LookupTableError(
      'TABLE_SIZE_INVALID',
      `table size ${tableSize}: expected a prime number from 2 to ${MAX_TABLE_SIZE}`,
    );
  }
  if (!isPrime(tableSize)) {
    throw new LookupTableError(
      'TABLE_SIZE_NOT_PRIME',
      `table size ${tableSize} is not a prime number: the next one is ${nextPrime(tableSize)}`,
    );
  }
  if (backendCount > NO_BACKEND) {
    throw new LookupTableError('TOO_MANY_BACKENDS', `${backendCount} backends: a table takes ${NO_BACKEND} at most`);
  }
  if (backendCount > tableSize) {
    throw new LookupTableError(
      'TABLE_TOO_SMALL',
      `${backendCount} backends do not fit into ${tableSize} slots: use ${nextPrime(backendCount)} or more`,
    );
  }
}

/** In byte order, as std::string compares: not JavaScript's order, which differs beyond U+FFFF. */
function sortBackends(backends: readonly { readonly name: string; readonly weight: number }[]): Backend[] {
  const sorted = backends
    .map(({ name, weight }) => ({ name, weight, key: Buffer.from(name) }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  sorted.forEach(({ name, weight, key }, i) => {
    if (i > 0 && Buffer.compare(sorted[i - 1].key, key) === 0) {
      throw new LookupTableError('BACKEND_DUPLICATE', `two backends are named "${name}": rename one of them`);
    }
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY)) {
      throw new LookupTableError('BACKEND_WEIGHT_INVALID', `backend "${name}" has weight ${weight}: expected above 0`);
    }
  });
  return sorted;
}

function normalise(weights: ArrayLike<number>): Float64Array {
  const shares = Float64Array.from(weights);
  const sum = shares.reduce((a, b) => a + b);
  return shares.map((weight) => weight / sum);
}

/** The 64-bit number in `words` (low, high) modulo `divisor`, 16 bits at a time so that doubles carry it exactly. */
function remainder(words: Uint32Array, divisor: number): number {
  let rest = words[1] % divisor;
  rest = (rest * 0x10000 + (words[0] >>> 16)) % divisor;
  return (rest * 0x10000 + (words[0] & 0xffff)) % divisor;
}
