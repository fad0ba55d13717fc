/**
 * The connection table against a model on a Map (exact where nothing is evicted), and its promises under pressure: bounds,
 * what is evicted, what its counters add up to.
 *
 * Longer than 300 lines because the model that the table is compared with stands beside all that uses it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  CLOSING_TIMEOUT_MS,
  type ConnectionTable,
  clear,
  createConnectionTable,
  find,
  insert,
  lastSlot,
  MAX_CAPACITY,
  MAX_IDLE_TIMEOUT_MS,
  MISS,
  markClosing,
  prefetch,
  setIdleTimeout,
  slotOf,
  sweep,
} from '../../conntrack/table.ts';
import { connectionHash } from '../../hashing/flow-hash.ts';

const SEED = 20161;
const BUCKET_WORDS = 16;

interface Key {
  readonly hash: number;
  readonly source: number;
  readonly ports: number;
}

/** The i-th of a fixed sequence of connections. */
function keyOf(i: number): Key {
  const source = 0xc6120000 + (i >>> 4);
  const ports = Math.imul(i, 0x9e3779b1) >>> 0;
  return { hash: connectionHash(source, ports, SEED), source, ports };
}

function put(table: ConnectionTable, key: Key, backend: number, now: number): void {
  insert(table, key.hash, key.source, key.ports, backend, now);
}

function look(table: ConnectionTable, key: Key, now: number): number {
  return find(table, key.hash, key.source, key.ports, now);
}

/** What the table should be at low load: exact, unbounded, and slow. */
class Model {
  readonly idleTimeoutMs: number;
  readonly entries = new Map<number, { backend: number; lastSeen: number; closing: boolean }>();
  inserted = 0;

  constructor(idleTimeoutMs: number) {
    this.idleTimeoutMs = idleTimeoutMs;
  }

  live(key: number, now: number) {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    const timeoutMs = entry.closing ? Math.min(this.idleTimeoutMs, 5000) : this.idleTimeoutMs;
    return now - entry.lastSeen < timeoutMs ? entry : undefined;
  }

  find(key: number, now: number): number {
    const entry = this.live(key, now);
    if (entry === undefined) {
      this.entries.delete(key);
      return MISS;
    }
    entry.lastSeen = now;
    return entry.backend;
  }

  insert(key: number, backend: number, now: number): void {
    if (this.live(key, now) === undefined) this.inserted++;
    this.entries.set(key, { backend, lastSeen: now, closing: false });
  }

  size(now: number): number {
    return [...this.entries.keys()].filter((key) => this.live(key, now) !== undefined).length;
  }
}

interface Step {
  readonly act: 'insert' | 'find' | 'close' | 'wait' | 'sweep';
  readonly key: number;
  readonly backend: number;
  readonly amount: number;
}

/** Walks table and model through the same steps and compares all that they show. */
function follow(table: ConnectionTable, keys: readonly Key[], start: number, steps: readonly Step[]): void {
  const model = new Model(table.idleTimeoutMs);
  let now = start;
  for (const { act, key, backend, amount } of steps) {
    const at = key % keys.length;
    if (act === 'insert') {
      put(table, keys[at], backend, now);
      model.insert(at, backend, now);
    } else if (act === 'wait') {
      now += amount;
    } else if (act === 'sweep') {
      const expired = table.expired;
      assert.equal(sweep(table, now, amount), table.expired - expired);
    } else {
      const expected = model.find(at, now);
      assert.equal(look(table, keys[at], now), expected);
      if (act === 'close') {
        markClosing(table);
        const entry = model.entries.get(at);
        if (entry !== undefined) entry.closing = true;
      }
    }
    assert.equal(table.evicted + table.refused, 0);
    assert.equal(table.inserted, model.inserted);
    assert.equal(table.size, table.inserted - table.expired);
    assert.ok(table.size >= model.size(now));
  }
  sweep(table, now, table.slotCount);
  assert.equal(table.size, model.size(now), 'after a whole sweep only live connections are left');
  keys.forEach((key, i) => {
    assert.equal(look(table, key, now), model.find(i, now));
  });
}

describe('equals the model while nothing is evicted', () => {
  const IDLE_TIMEOUT_MS = 8000;
  const wait = fc.oneof(
    fc.constantFrom(1, CLOSING_TIMEOUT_MS - 1, CLOSING_TIMEOUT_MS, IDLE_TIMEOUT_MS - 1, IDLE_TIMEOUT_MS),
    fc.nat(3 * IDLE_TIMEOUT_MS),
  );
  const step = fc.record({
    act: fc.constantFrom<Step['act']>('insert', 'insert', 'find', 'find', 'close', 'wait', 'sweep'),
    key: fc.nat(1000),
    backend: fc.constantFrom(0, 1, 255, 256, 0xfffe, 0xffff),
    amount: wait,
  });
  const steps = fc.array(step, { maxLength: 200 });
  /** Ends of the signed and unsigned 32-bit ranges, so that times wrap in the middle of a run, and a wall clock. */
  const start = fc.constantFrom(0, 2 ** 31 - 20_000, 2 ** 32 - 20_000, 2 ** 33 - 20_000, 1_770_000_000_000);
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 });

  test('for four connections of any hash, colliding ones among them', () => {
    const hash = fc.oneof(fc.constantFrom(0, -1, 0xffffffff, 0x80000000), word);
    const key = fc.record({ hash, source: fc.oneof(fc.constantFrom(0, -1), word), ports: fc.nat(3) });
    const keys = fc.uniqueArray(key, {
      minLength: 1,
      maxLength: 4,
      selector: ({ source, ports }) => `${source | 0} ${ports}`,
    });
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 50 }), keys, start, steps, (capacity, chosen, startMs, walk) => {
        follow(createConnectionTable({ capacity, idleTimeoutMs: IDLE_TIMEOUT_MS }), chosen, startMs, walk);
      }),
      { numRuns: 500 },
    );
  });

  test('for two hundred connections in a table for two thousand', () => {
    const keys = Array.from({ length: 200 }, (_, i) => keyOf(i));
    fc.assert(
      fc.property(start, fc.array(step, { minLength: 400, maxLength: 800 }), (startMs, walk) => {
        follow(createConnectionTable({ capacity: 2000, idleTimeoutMs: IDLE_TIMEOUT_MS }), keys, startMs, walk);
      }),
      { numRuns: 50 },
    );
  });
});

describe('time', () => {
  const key = keyOf(1);

  test('an entry is gone at the very millisecond at which its timeout has passed', () => {
    const table = createConnectionTable({ capacity: 8, idleTimeoutMs: 60_000 });
    put(table, key, 3, 1000);
    assert.equal(look(table, key, 60_999), 3);
    assert.equal(look(table, key, 120_998), 3, 'a hit counts as seen');
    assert.equal(look(table, key, 180_998), MISS);
    assert.equal(table.expired, 1);
    assert.equal(table.size, 0);
  });

  test('a closing connection is kept five seconds, or the idle timeout where that is shorter', () => {
    for (const [idleTimeoutMs, keptMs] of [
      [60_000, 5000],
      [2000, 2000],
    ]) {
      const table = createConnectionTable({ capacity: 8, idleTimeoutMs });
      put(table, key, 3, 0);
      markClosing(table);
      assert.equal(look(table, key, keptMs - 1), 3);
      assert.equal(look(table, key, 2 * keptMs - 2), 3, 'its last packets still refresh it');
      assert.equal(look(table, key, 3 * keptMs - 2), MISS);
    }
  });

  test('a new connection over a closing one is not closing', () => {
    const table = createConnectionTable({ capacity: 8, idleTimeoutMs: 60_000 });
    put(table, key, 3, 0);
    markClosing(table);
    put(table, key, 4, 1);
    assert.equal(look(table, key, 59_999), 4);
  });

  test('a miss leaves nothing to mark as closing', () => {
    const table = createConnectionTable({ capacity: 8, idleTimeoutMs: 60_000 });
    put(table, key, 3, 0);
    assert.equal(look(table, keyOf(2), 0), MISS);
    markClosing(table);
    assert.equal(look(table, key, 59_999), 3);
  });

  test('ages are right over 2^32 ms, up to the longest timeout', () => {
    for (const start of [2 ** 31 - 5, 2 ** 32 - 5, 1_770_000_000_000]) {
      const table = createConnectionTable({ capacity: 8, idleTimeoutMs: MAX_IDLE_TIMEOUT_MS });
      put(table, key, 3, start);
      assert.equal(look(table, key, start + MAX_IDLE_TIMEOUT_MS - 1), 3);
      assert.equal(sweep(table, start + 2 * MAX_IDLE_TIMEOUT_MS - 2, table.slotCount), 0);
      assert.equal(sweep(table, start + 2 * MAX_IDLE_TIMEOUT_MS - 1, table.slotCount), 1);
    }
  });

  test('a fraction of a millisecond is dropped', () => {
    const table = createConnectionTable({ capacity: 8, idleTimeoutMs: 1000 });
    put(table, key, 3, 10.9);
    assert.equal(look(table, key, 1009.9), 3);
    assert.equal(look(table, key, 2009.0), MISS);
  });
});

describe('sweep', () => {
  test('passes at most as many slots as it was told, and all of them in turn', () => {
    const table = createConnectionTable({ capacity: 500, idleTimeoutMs: 100 });
    for (let i = 0; i < 300; i++) put(table, keyOf(i), 1, 0);
    const { size } = table;
    let expired = 0;
    for (let slots = 0; slots < table.slotCount; slots += 10) {
      const batch = sweep(table, 100, 10);
      assert.ok(batch <= 10);
      expired += batch;
    }
    assert.equal(expired, size);
    assert.equal(table.size, 0);
  });

  test('goes round once at most', () => {
    const table = createConnectionTable({ capacity: 5, idleTimeoutMs: 100 });
    put(table, keyOf(1), 1, 0);
    assert.equal(sweep(table, 100, Number.MAX_SAFE_INTEGER), 1);
    assert.equal(sweep(table, 100, 0), 0);
  });
});

describe('who wants to know which entries have idled out', () => {
  const emptied = (table: ConnectionTable) =>
    Array.from({ length: table.slotCount }, (_, slot) => slot).filter((slot) => table.words[slot * 4 + 1] === 0);

  test('a sweep tells the slots that it emptied, ends where it was told, and goes on there', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    for (let i = 0; i < 60; i++) put(table, keyOf(i), i, i < 30 ? 0 : 500);
    const before = new Set(emptied(table));
    const slots = new Int32Array(table.slotCount);
    const told: number[] = [];
    for (const most of [7, 7, 16]) {
      assert.equal(sweep(table, 1000, table.slotCount, slots, most), most);
      told.push(...slots.subarray(0, most));
    }
    assert.equal(sweep(table, 1000, table.slotCount, slots, 7), 0);
    assert.deepEqual(
      told,
      emptied(table).filter((slot) => !before.has(slot)),
    );
    assert.deepEqual([table.size, table.expired], [30, 30]);
  });

  test('a look-up and an insertion leave the slot, an eviction and a live entry do not', () => {
    const table = createConnectionTable({ capacity: 2, idleTimeoutMs: 1000 });
    put(table, keyOf(0), 7, 0);
    const slot = lastSlot(table);
    assert.equal(table.words[slot * 4 + 1] & 0xffff, 7);
    assert.equal(look(table, keyOf(0), 999), 7);
    assert.deepEqual([lastSlot(table), table.lastExpired], [slot, -1]);
    assert.equal(look(table, keyOf(0), 1999), MISS);
    assert.deepEqual([lastSlot(table), table.lastExpired], [-1, slot]);

    table.lastExpired = -1;
    put(table, keyOf(0), 7, 2000);
    put(table, keyOf(1), 7, 2000);
    put(table, keyOf(2), 7, 2001);
    assert.deepEqual([table.evicted, table.lastExpired], [1, -1]);
    put(table, keyOf(3), 7, 3000);
    assert.deepEqual([table.expired, table.lastExpired], [2, lastSlot(table)]);
  });
});

test('slotOf tells the slot of each connection and changes nothing', () => {
  const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
  const slots = Array.from({ length: 60 }, (_, i) => {
    put(table, keyOf(i), i, 0);
    return lastSlot(table);
  });
  const words = table.words.slice();
  const { lastPlace } = table;
  const told = slots.map((_, i) => slotOf(table, keyOf(i).hash, keyOf(i).source, keyOf(i).ports));
  assert.deepEqual(told, slots);
  const stranger = keyOf(60);
  assert.equal(slotOf(table, stranger.hash, stranger.source, stranger.ports), -1);
  assert.deepEqual([table.words, table.lastPlace], [words, lastPlace]);
});

describe('keys and hashes', () => {
  test('any hash has its place in a table of any capacity', () => {
    const hash = fc.oneof(
      fc.constantFrom(0, -1, 2 ** 31, 2 ** 32 - 1),
      fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), hash, (capacity, anyHash) => {
        const table = createConnectionTable({ capacity, idleTimeoutMs: 1000 });
        assert.equal(typeof prefetch(table, anyHash), 'number');
        insert(table, anyHash, 1, 2, 7, 0);
        assert.equal(find(table, anyHash, 1, 2, 1), 7);
        assert.equal(find(table, anyHash, 2, 1, 1), MISS);
      }),
    );
  });

  test('signed and unsigned words are the same', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    insert(table, 0xf0000001, 0xc6120001, 0x80000001, 7, 0);
    assert.equal(find(table, 0xf0000001 | 0, 0xc6120001 | 0, 0x80000001 | 0, 0), 7);
  });

  test('an empty slot is not the connection of zeroes', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    assert.equal(find(table, 0, 0, 0, 0), MISS);
    insert(table, 0, 0, 0, 0, 0);
    assert.equal(find(table, 0, 0, 0, 0), 0);
  });

  test('prefetch changes nothing', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    put(table, keyOf(1), 1, 0);
    const before = { ...table, words: table.words.slice() };
    for (let i = 0; i < 100; i++) prefetch(table, keyOf(i).hash);
    assert.deepEqual(table, before);
  });
});

describe('under pressure', () => {
  /** Eight connections of one hash, seen one millisecond apart from 0 on. */
  function eightOfOneHash(table: ConnectionTable): Key[] {
    const keys = Array.from({ length: 9 }, (_, i) => ({ hash: 0x12345678, source: 1 + i, ports: 80 }));
    for (let i = 0; i < 8; i++) put(table, keys[i], i, i);
    assert.equal(table.size, 8);
    return keys;
  }

  test('the least recently seen of the eight makes room', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    const keys = eightOfOneHash(table);
    assert.equal(look(table, keys[0], 8), 0);
    put(table, keys[8], 8, 9);
    assert.equal(table.evicted, 1);
    assert.equal(table.size, 8);
    assert.deepEqual(
      keys.map((key) => look(table, key, 10)),
      [0, MISS, 2, 3, 4, 5, 6, 7, 8],
    );
  });

  test('one that was seen twice stays, until it has been silent for half of its timeout', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    const keys = eightOfOneHash(table);
    for (let i = 0; i < 8; i++) assert.equal(look(table, keys[i], 10 + i), i);
    put(table, keys[8], 8, 509);
    assert.deepEqual([table.evicted, table.refused, table.size], [0, 1, 8]);
    assert.equal(look(table, keys[8], 509), MISS);
    put(table, keys[8], 8, 510);
    assert.deepEqual([table.evicted, table.refused, table.size], [1, 1, 8]);
    assert.deepEqual(
      keys.map((key) => look(table, key, 511)),
      [MISS, 1, 2, 3, 4, 5, 6, 7, 8],
    );
  });

  test('a SYN over a proven connection proves nothing', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    const keys = eightOfOneHash(table);
    for (let i = 0; i < 8; i++) assert.equal(look(table, keys[i], 10), i);
    put(table, keys[3], 13, 20);
    put(table, keys[8], 8, 21);
    assert.deepEqual([look(table, keys[3], 22), look(table, keys[8], 22)], [MISS, 8]);
  });

  test('a million SYNs, each seen once, push out none of a thousand connections', () => {
    for (const capacity of [1500, 20_000, 2 ** 20]) {
      const table = createConnectionTable({ capacity, idleTimeoutMs: 60_000 });
      const established = Array.from({ length: 1000 }, (_, i) => keyOf(i));
      established.forEach((key, i) => {
        put(table, key, i, 0);
        assert.equal(look(table, key, 0), i);
      });
      const flood = { hash: 0, source: 0, ports: 0 };
      for (let i = 0; i < 1_000_000; i++) {
        flood.source = i;
        flood.hash = connectionHash(i, 80, SEED);
        put(table, flood, 9, 2 + (i >>> 6));
      }
      assert.ok(table.size <= capacity);
      assert.deepEqual(
        established.map((key) => look(table, key, 20_000)),
        established.map((_, i) => i),
      );
    }
  });

  test('while a flood fills the table, a new connection is taken in and kept', () => {
    for (const [capacity, opened] of [
      [1500, 750],
      [20_000, 2000],
    ]) {
      const table = createConnectionTable({ capacity, idleTimeoutMs: 60_000 });
      let sent = 0;
      const flood = (count: number, now: number): void => {
        for (const end = sent + count; sent < end; sent++) {
          insert(table, connectionHash(sent, 80, SEED), sent, 80, 9, now);
        }
      };
      flood(4 * capacity, 0);
      const before = table.refused;
      for (let i = 0; i < opened; i++) {
        flood(10, 1);
        put(table, keyOf(i), i, 1);
        assert.equal(look(table, keyOf(i), 1), i, `connection ${i} of ${capacity}`);
      }
      flood(4 * capacity, 3);
      for (let i = 0; i < opened; i++) assert.equal(look(table, keyOf(i), 4), i);
      assert.deepEqual([table.size, before, table.refused], [capacity, 0, 0]);
    }
  });

  test('one that has idled out makes room before a live one', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 100_000 });
    const keys = eightOfOneHash(table);
    assert.equal(look(table, keys[5], 10), 5);
    markClosing(table);
    put(table, keys[8], 8, 10 + CLOSING_TIMEOUT_MS);
    assert.equal(table.evicted, 0);
    assert.equal(table.expired, 1);
    assert.equal(look(table, keys[0], 10 + CLOSING_TIMEOUT_MS), 0);
    assert.equal(look(table, keys[5], 10 + CLOSING_TIMEOUT_MS), MISS);
  });

  /** A table for four that holds four, all in the buckets of hash 0, and room beside them. */
  function fullOfFour(): ConnectionTable {
    const table = createConnectionTable({ capacity: 4, idleTimeoutMs: 1000 });
    for (let i = 0; i < 4; i++) insert(table, 0, i, i, i, 0);
    return table;
  }

  test('a full table takes nobody in where nobody can go, and marks nobody', () => {
    for (let i = 0; i < 64; i++) {
      const table = fullOfFour();
      for (let old = 0; old < 4; old++) assert.equal(find(table, 0, old, old, 0), old);
      const words = table.words.slice();
      put(table, keyOf(i), 9, 1);
      markClosing(table);
      assert.deepEqual(table.words, words);
      assert.equal(look(table, keyOf(i), 1), MISS);
      assert.deepEqual([table.size, table.evicted, table.refused], [4, 0, 1]);
    }
  });

  test('where only others can go, one of them does, or what has idled out', () => {
    for (let i = 0; i < 64; i++) {
      const table = fullOfFour();
      put(table, keyOf(i), 9, 1);
      assert.equal(look(table, keyOf(i), 1), 9);
      assert.deepEqual([table.size, table.evicted, table.expired, table.refused], [4, 1, 0, 0]);

      const closing = fullOfFour();
      setIdleTimeout(closing, 60_000);
      for (let old = 0; old < 4; old++) assert.equal(find(closing, 0, old, old, 0), old);
      find(closing, 0, 2, 2, 0);
      markClosing(closing);
      put(closing, keyOf(i), 9, CLOSING_TIMEOUT_MS);
      assert.deepEqual([closing.size, closing.evicted, closing.expired, closing.refused], [4, 0, 1, 0]);
      assert.deepEqual(
        [0, 1, 2, 3].map((old) => find(closing, 0, old, old, CLOSING_TIMEOUT_MS)),
        [0, 1, MISS, 3],
      );
    }
  });

  test('an insert into a full table writes to three buckets at most: its own, and where it makes room', () => {
    const table = createConnectionTable({ capacity: 256, idleTimeoutMs: 1000 });
    for (let i = 0; table.size < table.capacity; i++) put(table, keyOf(i), 1, i % 1000);
    for (let i = 5000; i < 5500; i++) {
      const before = table.words.slice();
      put(table, keyOf(i), 2, 999);
      const written = new Set<number>();
      table.words.forEach((word, at) => {
        if (word !== before[at]) written.add(Math.floor(at / BUCKET_WORDS));
      });
      assert.ok(written.size <= 3);
      assert.equal(table.size, table.capacity);
    }
  });

  /** Shares of the connections offered, measured with these keys; a hash that clumps would be far above. */
  const CAPACITY = 40_000;
  for (const [load, maxEvicted, maxRefused] of [
    [0.5, 0.0001, 0],
    [0.9, 0.003, 0],
    [1, 0.005, 0],
    [2, 0.51, 0],
  ]) {
    test(`at ${load * 100} % of the capacity`, () => {
      const table = createConnectionTable({ capacity: CAPACITY, idleTimeoutMs: 1000 });
      const offered = load * CAPACITY;
      for (let i = 0; i < offered; i++) {
        put(table, keyOf(i), i % 1000, Math.floor(i / 100));
        assert.ok(table.size <= CAPACITY);
      }
      assert.equal(table.inserted + table.refused, offered);
      assert.equal(table.inserted, table.size + table.evicted + table.expired);
      assert.equal(table.expired, 0);
      assert.ok(table.evicted <= maxEvicted * offered, `evicted ${table.evicted} of ${offered}`);
      assert.ok(table.refused <= maxRefused * offered, `refused ${table.refused} of ${offered}`);
      let found = 0;
      for (let i = 0; i < offered; i++) {
        const backend = look(table, keyOf(i), 900);
        if (backend !== MISS) assert.equal(backend, i % 1000);
        if (backend !== MISS) found++;
      }
      assert.equal(found, table.size);
    });
  }

  test('any steps over many connections in a small table keep its promises', () => {
    const step = fc.record({
      act: fc.constantFrom('insert', 'insert', 'find', 'close', 'wait', 'sweep'),
      key: fc.nat(99),
      amount: fc.nat(400),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.array(step, { maxLength: 500 }), (capacity, steps) => {
        const table = createConnectionTable({ capacity, idleTimeoutMs: 1000 });
        const last = new Map<number, number>();
        let now = 0;
        steps.forEach(({ act, key, amount }, i) => {
          if (act === 'insert') {
            put(table, keyOf(key), i, now);
            last.set(key, i);
          } else if (act === 'wait') now += amount;
          else if (act === 'sweep') sweep(table, now, amount);
          else {
            const backend = look(table, keyOf(key), now);
            if (backend !== MISS) assert.equal(backend, last.get(key));
            if (act === 'close') markClosing(table);
          }
          assert.ok(table.size >= 0 && table.size <= capacity);
          assert.equal(table.inserted, table.size + table.expired + table.evicted);
        });
        sweep(table, now + 1000, table.slotCount);
        assert.equal(table.size, 0);
      }),
      { numRuns: 300 },
    );
  });
});

describe('memory', () => {
  test('is 32 bytes a connection, all of it allocated at once', () => {
    for (const capacity of [2, 1000, 65_536, 1_048_576]) {
      const { words } = createConnectionTable({ capacity, idleTimeoutMs: 1000 });
      assert.ok(words.byteLength <= 32 * capacity, `${words.byteLength / capacity} bytes`);
    }
  });

  test('an odd capacity is rounded up to a bucket', () => {
    const { words, slotCount } = createConnectionTable({ capacity: 1001, idleTimeoutMs: 1000 });
    assert.equal(slotCount, 2004);
    assert.equal(words.byteLength, 2004 * 16);
  });

  test('nothing is allocated for a packet', () => {
    const table = createConnectionTable({ capacity: 1000, idleTimeoutMs: 1000 });
    const keys = Array.from({ length: 1024 }, (_, i) => keyOf(i));
    const hashes = Int32Array.from(keys, (key) => key.hash);
    const sources = Int32Array.from(keys, (key) => key.source);
    const ports = Int32Array.from(keys, (key) => key.ports);
    let folded = 0;
    const pass = (rounds: number) => {
      for (let i = 0; i < rounds; i++) {
        const at = i & 1023;
        folded ^= prefetch(table, hashes[at]);
        if (find(table, hashes[at], sources[at], ports[at], i) === MISS) {
          insert(table, hashes[at], sources[at], ports[at], at & 7, i);
        }
        if ((i & 63) === 0) sweep(table, i, 16);
      }
    };
    for (let i = 0; i < 10; i++) pass(100_000);
    const before = process.memoryUsage().heapUsed;
    pass(500_000);
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 1_000_000, `${grown} bytes in 500000 packets`);
    assert.ok(Number.isInteger(folded) && table.evicted > 0);
  });

  test('clear forgets the connections and keeps the counters', () => {
    const table = createConnectionTable({ capacity: 100, idleTimeoutMs: 1000 });
    for (let i = 0; i < 50; i++) put(table, keyOf(i), 1, 0);
    clear(table);
    assert.equal(table.size, 0);
    assert.equal(table.inserted, 50);
    assert.ok(table.words.every((word) => word === 0));
    for (let i = 0; i < 50; i++) assert.equal(look(table, keyOf(i), 0), MISS);
  });
});

describe('refuses', () => {
  for (const capacity of [0, -1, 1.5, Number.NaN, MAX_CAPACITY + 1]) {
    test(`a capacity of ${capacity}`, () => {
      assert.throws(() => createConnectionTable({ capacity, idleTimeoutMs: 1000 }), {
        name: 'RangeError',
        message: `connection table capacity ${capacity}: expected a whole number from 1 to 67108864`,
      });
    });
  }
  for (const idleTimeoutMs of [0, -1, Number.NaN, MAX_IDLE_TIMEOUT_MS + 1]) {
    test(`an idle timeout of ${idleTimeoutMs} ms`, () => {
      assert.throws(() => createConnectionTable({ capacity: 8, idleTimeoutMs }), {
        name: 'RangeError',
        message: `idle timeout ${idleTimeoutMs} ms: expected 1 to 2592000000 (30 days)`,
      });
    });
  }
});
