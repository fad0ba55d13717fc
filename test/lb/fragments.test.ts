/** The store of fragments against a Map of everything that was ever noted and an array of everything that waits. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import * as fragments from '../../lb/fragments.ts';

type Key = readonly [source: number, destination: number, id: number, protocol: number];

const KEY: Key = [0x070200c0, 0x010a12c6, 0x1234, 17];
const OTHER: Key = [0x070200c0, 0x010a12c6, 0x1235, 17];

const frameOfBytes = (length: number, filler: number): DataView =>
  new DataView(new Uint8Array(length).fill(filler).buffer);

const holdFrame = (store: fragments.FragmentStore, key: Key, length: number, filler: number, now: number): boolean =>
  fragments.hold(store, frameOfBytes(length, filler), 0, length, ...key, now);

/** Takes the oldest frame of the datagram out; its bytes, or undefined. */
function take(store: fragments.FragmentStore, key: Key, now: number): number[] | undefined {
  const place = fragments.nextHeld(store, ...key, now);
  if (place === fragments.NOTHING_HELD) return undefined;
  const bytes = new Uint8Array(fragments.heldLength(store, place) + 2).fill(0xa5);
  fragments.release(store, place, new DataView(bytes.buffer), 1);
  assert.deepEqual([bytes[0], bytes.at(-1)], [0xa5, 0xa5]);
  return [...bytes.subarray(1, -1)];
}

describe('where first fragments went', () => {
  test('is remembered for two seconds, over the clock going round too', () => {
    const store = fragments.createFragmentStore(1);
    fragments.noteFirst(store, ...KEY, 7, 0xffff_ff00);
    assert.equal(fragments.findTarget(store, ...KEY, 0xffff_ff00 + 2000), 7);
    assert.equal(fragments.findTarget(store, ...KEY, 0xffff_ff00 + 2001), fragments.NO_TARGET);
    assert.equal(fragments.findTarget(store, ...OTHER, 0xffff_ff00), fragments.NO_TARGET);
  });

  test('differs by each word of the key', () => {
    const store = fragments.createFragmentStore(1, { datagrams: 4 });
    fragments.noteFirst(store, ...KEY, 7, 0);
    for (let word = 0; word < 4; word++) {
      const key = KEY.with(word, KEY[word] ^ 64) as unknown as Key;
      assert.equal(fragments.findTarget(store, ...key, 0), fragments.NO_TARGET);
    }
  });

  test('is forgotten with a new state, and the oldest for others where a bucket is full', () => {
    const store = fragments.createFragmentStore(1, { datagrams: 4 });
    const ids = [0, 1, 2, 3, 4];
    for (const id of ids) fragments.noteFirst(store, 1, 2, id, 17, id, id);
    const found = () => ids.map((id) => fragments.findTarget(store, 1, 2, id, 17, 5));
    assert.deepEqual(found(), [-1, 1, 2, 3, 4]);
    assert.equal(store.counters[fragments.FRAGMENTS_EVICTED], 1);
    fragments.forgetTargets(store);
    assert.deepEqual(found(), [-1, -1, -1, -1, -1]);
  });
});

describe('fragments that came before their first', () => {
  test('wait in their order, each datagram on its own', () => {
    const store = fragments.createFragmentStore(1);
    for (const [key, length] of [
      [KEY, 61],
      [OTHER, 62],
      [KEY, 63],
    ] as const)
      holdFrame(store, key, length, length, 0);
    assert.deepEqual(take(store, KEY, 1000), Array(61).fill(61));
    assert.deepEqual(take(store, KEY, 1000), Array(63).fill(63));
    assert.equal(take(store, KEY, 1000), undefined);
    assert.deepEqual(take(store, OTHER, 1000), Array(62).fill(62));
    assert.deepEqual([...store.counters], [3, 3, 0, 0, 0]);
  });

  test('are given up after a second', () => {
    const store = fragments.createFragmentStore(1);
    holdFrame(store, KEY, 60, 1, 0);
    holdFrame(store, KEY, 60, 2, 500);
    assert.deepEqual(take(store, KEY, 1001), Array(60).fill(2));
    assert.deepEqual([...store.counters], [2, 1, 1, 0, 0]);
  });

  test('are refused where no place is free, or they are too long', () => {
    const store = fragments.createFragmentStore(1, { frames: 2, frameLength: 64 });
    assert.equal(holdFrame(store, KEY, 65, 1, 0), false);
    assert.deepEqual(
      [1, 2, 3].map((filler) => holdFrame(store, KEY, 64, filler, 0)),
      [true, true, false],
    );
    assert.equal(holdFrame(store, KEY, 64, 4, 1001), true);
    assert.deepEqual(take(store, KEY, 1001), Array(64).fill(4));
    assert.deepEqual([...store.counters], [3, 1, 2, 2, 0]);
  });
});

test('any order of it all agrees with a map and an array', () => {
  const key = fc.tuple(fc.constantFrom(-5, 3), fc.constant(9), fc.nat(5), fc.constantFrom(6, 17));
  const step = fc.oneof(
    fc.record({ does: fc.constant('note' as const), key, value: fc.nat(99), wait: fc.nat(900) }),
    fc.record({ does: fc.constant('find' as const), key, value: fc.constant(0), wait: fc.nat(900) }),
    fc.record({ does: fc.constant('hold' as const), key, value: fc.integer({ min: 1, max: 20 }), wait: fc.nat(400) }),
    fc.record({ does: fc.constant('take' as const), key, value: fc.constant(0), wait: fc.nat(400) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.integer(), (steps, seed) => {
      const store = fragments.createFragmentStore(seed, { datagrams: 64, frames: 3, frameLength: 16 });
      const noted = new Map<string, { target: number; at: number }>();
      let waiting: { key: string; bytes: number[]; at: number }[] = [];
      let now = 0xffff_f000;
      let filler = 0;
      for (const { does, key: words, value, wait } of steps) {
        now += wait;
        const name = words.join();
        if (does === 'note') {
          noted.set(name, { target: value, at: now });
          fragments.noteFirst(store, ...words, value, now);
        } else if (does === 'find') {
          const known = noted.get(name);
          const expected = known !== undefined && now - known.at <= 2000 ? known.target : -1;
          const found = fragments.findTarget(store, ...words, now);
          // A bucket holds four: where one was full, something was forgotten, and counted.
          if (found !== expected) assert.ok(found === -1 && store.counters[fragments.FRAGMENTS_EVICTED] > 0);
        } else {
          waiting = waiting.filter(({ at }) => now - at <= 1000);
          if (does === 'hold') {
            filler = (filler + 1) % 256;
            const fits = value <= 16 && waiting.length < 3;
            assert.equal(holdFrame(store, words, value, filler, now), fits);
            if (fits) waiting.push({ key: name, bytes: Array(value).fill(filler), at: now });
          } else {
            const i = waiting.findIndex((frame) => frame.key === name);
            assert.deepEqual(take(store, words, now), i < 0 ? undefined : waiting[i].bytes);
            if (i >= 0) waiting.splice(i, 1);
          }
          assert.equal(store.heldCount, waiting.length);
        }
      }
    }),
    { numRuns: 2000 },
  );
});
