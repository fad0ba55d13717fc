/** What is said about a table: shares, imbalance, disruption, fingerprint. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import xxhash from 'xxhash-wasm';
import { tableFingerprint } from '../../hashing/fingerprint.ts';
import { buildLookupTable, type LookupTable } from '../../hashing/lookup-table.ts';
import { disruption, imbalance, shares } from '../../hashing/table-facts.ts';

const { h64Raw } = await xxhash();

function tableOf(count: number, tableSize: number): LookupTable {
  const backends = Array.from({ length: count }, (_, i) => ({ name: `b${i}`, weight: 1 }));
  return buildLookupTable(backends, tableSize);
}

/** A table with slots as given, whatever Maglev would have made of these backends. */
function madeUp(weights: Record<string, number>, slots: string[]): LookupTable {
  const backends = Object.keys(weights);
  const entries = Uint16Array.from(slots, (name) => (name === '' ? 0xffff : backends.indexOf(name)));
  return { tableSize: slots.length, backends, weights: Object.values(weights), entries, fingerprint: '' };
}

describe('shares and imbalance', () => {
  test('count slots against weights', () => {
    const table = madeUp({ a: 1, b: 3 }, ['a', 'b', 'b', 'a', 'b']);
    assert.deepEqual(shares(table), [
      { backend: 'a', weight: 1, slots: 2, share: 0.4, fairShare: 0.25 },
      { backend: 'b', weight: 3, slots: 3, share: 0.6, fairShare: 0.75 },
    ]);
    assert.equal(imbalance(table), 1.6);
  });

  test('a table without backends has no shares and is even', () => {
    const table = buildLookupTable([], 7);
    assert.deepEqual(shares(table), []);
    assert.equal(imbalance(table), 1);
  });

  test('equal backends differ by one slot at most', () => {
    for (const count of [1, 3, 10, 100, 1000]) {
      const slots = shares(tableOf(count, 65537)).map((row) => row.slots);
      assert.equal(Math.min(...slots), Math.floor(65537 / count));
      assert.equal(Math.max(...slots), Math.ceil(65537 / count));
    }
  });

  test('weights are kept within 1 % with a hundred slots and more for the lightest', () => {
    const backends = Array.from({ length: 40 }, (_, i) => ({ name: `b${i}`, weight: 1 + (i % 8) }));
    const table = buildLookupTable(backends, 65537);
    assert.ok(imbalance(table) < 1.01, `${imbalance(table)}`);
    for (const { share, fairShare } of shares(table)) assert.ok(Math.abs(share / fairShare - 1) < 0.01);
  });
});

describe('disruption', () => {
  test("is the paper's in its Table 1: of seven slots the two of B1 and one other", () => {
    const before = madeUp({ B0: 1, B1: 1, B2: 1 }, ['B1', 'B0', 'B1', 'B0', 'B2', 'B2', 'B0']);
    const after = madeUp({ B0: 1, B2: 1 }, ['B0', 'B0', 'B0', 'B0', 'B2', 'B2', 'B2']);
    assert.equal(disruption(before, after), 3 / 7);
  });

  test('goes by name, not by index', () => {
    const before = madeUp({ a: 1, b: 1 }, ['a', 'b', 'a']);
    assert.equal(disruption(before, madeUp({ b: 1, a: 1 }, ['a', 'b', 'a'])), 0);
    assert.equal(disruption(before, madeUp({ c: 1, b: 1 }, ['c', 'b', 'c'])), 2 / 3);
  });

  test('of a service that loses or gets all its backends is whole', () => {
    const none = buildLookupTable([], 7);
    assert.equal(disruption(tableOf(2, 7), none), 1);
    assert.equal(disruption(none, tableOf(2, 7)), 1);
    assert.equal(disruption(none, none), 0);
  });

  test('moves little more than the slots of a backend that leaves', () => {
    for (const [count, extra] of [
      [3, 0.05],
      [10, 0.05],
      [100, 0.02],
      [1000, 0.01],
    ]) {
      const before = tableOf(count, 65537);
      const after = tableOf(count - 1, 65537);
      const gone = shares(before).find(({ backend }) => backend === `b${count - 1}`)?.share ?? 0;
      const moved = disruption(before, after);
      assert.ok(moved >= gone && moved <= gone + extra, `${count} backends: ${moved}, its own share ${gone}`);
    }
  });

  test('between two sizes is what a walk through every hash counts', () => {
    const before = madeUp({ a: 1, b: 1 }, ['a', 'b', 'a', 'a', 'b', 'b', 'a']);
    const after = madeUp({ b: 2, c: 1 }, ['b', 'c', 'b', 'b', 'c']);
    let moved = 0;
    for (let hash = 0; hash < 35; hash++) {
      if (before.backends[before.entries[hash % 7]] !== after.backends[after.entries[hash % 5]]) moved++;
    }
    assert.ok(Math.abs(disruption(before, after) - moved / 35) < 1e-12);
    assert.equal(disruption(buildLookupTable([], 7), buildLookupTable([], 5)), 0);
  });
});

describe('fingerprint', () => {
  test('is xxh64 over the documented bytes', () => {
    const bytes = Buffer.from([
      ...[5, 0, 0, 0, 2, 0, 0, 0],
      ...[1, 0, 0, 0, 0x61],
      ...[2, 0, 0, 0, 0xc3, 0xa4],
      ...[0, 0, 1, 0, 0xff, 0xff, 1, 0, 0x02, 0x01],
    ]);
    const expected = h64Raw(bytes, 0n).toString(16).padStart(16, '0');
    assert.equal(tableFingerprint(5, ['a', 'ä'], Uint16Array.of(0, 1, 0xffff, 1, 0x0102)), expected);
  });

  test('keeps leading zeroes', () => {
    const fingerprints = Array.from({ length: 100 }, (_, i) => tableFingerprint(i, [], new Uint16Array(0)));
    for (const fingerprint of fingerprints) assert.match(fingerprint, /^[0-9a-f]{16}$/);
    assert.ok(fingerprints.some((fingerprint) => fingerprint.startsWith('0')));
  });

  test('is the same for the same backends in another order, and another for any other table', () => {
    const backends = [
      { name: 'a', weight: 1 },
      { name: 'b', weight: 2 },
    ];
    const { fingerprint } = buildLookupTable(backends, 101);
    assert.equal(buildLookupTable(backends.toReversed(), 101).fingerprint, fingerprint);
    const others = [
      buildLookupTable(backends, 103),
      buildLookupTable(backends.slice(1), 101),
      buildLookupTable([{ name: 'a', weight: 2 }, backends[1]], 101),
      buildLookupTable([{ name: 'c', weight: 1 }, backends[1]], 101),
      buildLookupTable([], 101),
    ];
    assert.equal(new Set([fingerprint, ...others.map((table) => table.fingerprint)]).size, 6);
  });
});
