/**
 * The Maglev lookup table against the paper's own example, Envoy's published tables, and a slow implementation that is
 * written straight from the paper.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import xxhash from 'xxhash-wasm';
import {
  buildLookupTable,
  fillLookupTable,
  isPrime,
  MAX_TABLE_SIZE,
  NO_BACKEND,
  nextPrime,
} from '../../hashing/lookup-table.ts';

const { h64Raw } = await xxhash();

interface Backend {
  readonly name: string;
  readonly weight: number;
}

function equal(...names: string[]): Backend[] {
  return names.map((name) => ({ name, weight: 1 }));
}

/**
 * Listing 1 of the paper with its permutation matrix, over hashes of the reference xxHash; a backend sits an iteration
 * out while Envoy's rule says that it is ahead of its weight.
 */
function slowTable(backends: readonly Backend[], M: number): string[] {
  const byCodePoint = (a: number[], b: number[]) => {
    const i = a.findIndex((point, at) => point !== b[at]);
    return i < 0 ? a.length - b.length : a[i] - (b[i] ?? -1);
  };
  const points = (name: string) => Array.from(name, (character) => character.codePointAt(0) as number);
  const sorted = [...backends].sort((a, b) => byCodePoint(points(a.name), points(b.name)));
  const hash = (name: string, seed: bigint, modulus: number) =>
    Number(h64Raw(Buffer.from(name), seed) % BigInt(modulus));
  const permutation = sorted.map(({ name }) => {
    const offset = hash(name, 0n, M);
    const skip = hash(name, 1n, M - 1) + 1;
    return Array.from({ length: M }, (_, j) => (offset + j * skip) % M);
  });
  const sum = sorted.reduce((total, { weight }) => total + weight, 0);
  const shares = sorted.map(({ weight }) => (weight * 1.0) / sum);
  const target = sorted.map(() => 0);
  const next = sorted.map(() => 0);
  const entry: string[] = new Array(M).fill('');
  for (let n = 0, iteration = 1; ; iteration++) {
    for (let i = 0; i < sorted.length; i++) {
      if (iteration * shares[i] < target[i]) continue;
      target[i] += Math.max(...shares);
      while (entry[permutation[i][next[i]]] !== '') next[i]++;
      entry[permutation[i][next[i]]] = sorted[i].name;
      next[i]++;
      if (++n === M) return entry;
    }
  }
}

function slotNames(backends: readonly Backend[], tableSize: number): string[] {
  const table = buildLookupTable(backends, tableSize);
  return Array.from(table.entries, (backend) => table.backends[backend]);
}

test("fills the paper's Table 1, before and after B1 is removed", () => {
  assert.deepEqual([...fillLookupTable([3, 0, 3], [4, 2, 1], [1, 1, 1], 7)], [1, 0, 1, 0, 2, 2, 0]);
  assert.deepEqual([...fillLookupTable([3, 3], [4, 1], [1, 1], 7)], [0, 0, 0, 0, 1, 1, 1]);
});

describe("equals Envoy's tables (maglev_lb_test.cc)", () => {
  const cases: [title: string, backends: Backend[], slots: number[]][] = [
    ['Basic', equal(...[0, 1, 2, 3, 4, 5].map((i) => `127.0.0.1:9${i}`)), [2, 4, 0, 1, 5, 0, 3]],
    ['BasicWithHostName', equal('90', '91', '92', '93', '94', '95'), [2, 5, 0, 3, 4, 1, 0]],
    [
      'Weighted',
      [
        { name: '127.0.0.1:90', weight: 1 },
        { name: '127.0.0.1:91', weight: 2 },
      ],
      [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1],
    ],
    [
      'LocalityWeightedSameLocalityWeights',
      equal('127.0.0.1:90', '127.0.0.1:91'),
      [1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1],
    ],
    [
      'LocalityWeightedDifferentLocalityWeights',
      [
        { name: '127.0.0.1:90', weight: 8 },
        { name: '127.0.0.1:91', weight: 2 },
      ],
      [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0],
    ],
  ];
  for (const [title, backends, slots] of cases) {
    test(title, () => {
      assert.deepEqual([...buildLookupTable(backends, slots.length).entries], slots);
      assert.deepEqual([...buildLookupTable(backends.toReversed(), slots.length).entries], slots);
    });
  }

  test('LocalityWeightedLopsided: 127 to 1 over 1 and 1023 backends', () => {
    const backends = Array.from({ length: 1024 }, (_, i) => ({
      name: `127.0.0.1:${i}`,
      weight: i === 0 ? 127 : 1 / 1023,
    }));
    const slots = new Map<string, number>();
    for (const name of slotNames(backends, 65537)) slots.set(name, (slots.get(name) ?? 0) + 1);
    assert.equal(slots.get('127.0.0.1:0'), 65537 - 1023);
    for (let i = 1; i < 1024; i++) assert.equal(slots.get(`127.0.0.1:${i}`), 1);
  });
});

const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
const anyBackends = fc.uniqueArray(fc.record({ name, weight: fc.integer({ min: 1, max: 256 }) }), {
  minLength: 1,
  maxLength: 20,
  selector: (backend) => backend.name,
});
const anyTableSize = fc.constantFrom(23, 29, 31, 61, 97, 101, 251, 509, 1021);

test("equals the paper's pseudocode over any names, weights and primes", () => {
  fc.assert(
    fc.property(anyBackends, anyTableSize, (backends, tableSize) => {
      assert.deepEqual(slotNames(backends, tableSize), slowTable(backends, tableSize));
    }),
    { numRuns: 300 },
  );
});

test("equals the paper's pseudocode at M = 65537", () => {
  const backends = Array.from({ length: 12 }, (_, i) => ({ name: `backend-${i}`, weight: 1 + (i % 4) }));
  assert.deepEqual(slotNames(backends, 65537), slowTable(backends, 65537));
});

test('does not depend on the order of the backends', () => {
  const shuffled = anyBackends.chain((backends) =>
    fc.tuple(fc.constant(backends), fc.shuffledSubarray(backends, { minLength: backends.length })),
  );
  fc.assert(
    fc.property(shuffled, anyTableSize, ([backends, other], tableSize) => {
      assert.deepEqual(buildLookupTable(other, tableSize), buildLookupTable(backends, tableSize));
    }),
  );
});

test('sorts names by their UTF-8 bytes, not by UTF-16 units', () => {
  const { backends } = buildLookupTable(equal('\u{10000}', '\uffff', 'b', 'B', 'ä'), 7);
  assert.deepEqual(backends, ['B', 'b', 'ä', '\uffff', '\u{10000}']);
});

test('without backends every slot says so', () => {
  const table = buildLookupTable([], 7);
  assert.deepEqual(table.backends, []);
  assert.deepEqual([...table.entries], new Array(7).fill(NO_BACKEND));
});

test('gives every backend a slot, up to as many as there are indexes', () => {
  const backends = Array.from({ length: 65535 }, (_, i) => ({ name: `b${i}`, weight: 1 + (i % 256) }));
  const { entries } = buildLookupTable(backends, 65537);
  assert.equal(new Set(entries).size, 65535);
  assert.ok(!entries.includes(NO_BACKEND));
});

describe('refuses, with a stable code and a line that says what to do', () => {
  const cases: [title: string, backends: Backend[], tableSize: number, code: string, message: RegExp][] = [
    [
      'a composite size',
      equal('a'),
      65536,
      'TABLE_SIZE_NOT_PRIME',
      /^table size 65536 is not .*: the next one is 65537$/,
    ],
    ['a size below two', equal('a'), 1, 'TABLE_SIZE_INVALID', /expected a prime number from 2 to 5000011$/],
    ['a fraction', equal('a'), 7.5, 'TABLE_SIZE_INVALID', /^table size 7.5/],
    ['a size that is too large', equal('a'), 5000077, 'TABLE_SIZE_INVALID', /^table size 5000077/],
    [
      'more backends than slots',
      equal('a', 'b', 'c', 'd'),
      3,
      'TABLE_TOO_SMALL',
      /^4 backends .* 3 slots: use 5 or more$/,
    ],
    ['two backends of one name', equal('a', 'b', 'a'), 7, 'BACKEND_DUPLICATE', /^two backends are named "a"/],
    ['weight 0', [{ name: 'a', weight: 0 }], 7, 'BACKEND_WEIGHT_INVALID', /^backend "a" has weight 0: expected/],
    ['weight NaN', [{ name: 'a', weight: Number.NaN }], 7, 'BACKEND_WEIGHT_INVALID', /weight NaN/],
    ['endless weight', [{ name: 'a', weight: Infinity }], 7, 'BACKEND_WEIGHT_INVALID', /weight Infinity/],
  ];
  for (const [title, backends, tableSize, code, message] of cases) {
    test(title, () => {
      assert.throws(() => buildLookupTable(backends, tableSize), { name: 'LookupTableError', code, message });
    });
  }

  test('more backends than indexes', () => {
    const backends = Array.from({ length: 65536 }, (_, i) => ({ name: `b${i}`, weight: 1 }));
    assert.throws(() => buildLookupTable(backends, 131_071), { code: 'TOO_MANY_BACKENDS' });
  });
});

test('knows the primes', () => {
  const composite = new Set<number>();
  for (let i = 2; i <= 10_000; i++) {
    assert.equal(isPrime(i), !composite.has(i), `${i}`);
    for (let multiple = 2 * i; multiple <= 10_000; multiple += i) composite.add(multiple);
  }
  for (const value of [-7, 0, 1, 2.5, Number.NaN, Infinity]) assert.equal(isPrime(value), false, `${value}`);
  assert.ok(isPrime(65537) && isPrime(655373) && isPrime(MAX_TABLE_SIZE));
  assert.deepEqual([-1, 2, 3, 4, 65536, 65537, 65538].map(nextPrime), [2, 2, 3, 5, 65537, 65537, 65539]);
});
