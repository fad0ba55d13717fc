/** The entries of a connection table, read one by one, against a model on a Map. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createEntry, readEntry, removeEntry } from '../../conntrack/entries.ts';
import {
  CLOSING_TIMEOUT_MS,
  type ConnectionTable,
  createConnectionTable,
  find,
  insert,
  MISS,
  markClosing,
  peek,
} from '../../conntrack/table.ts';
import { connectionHash } from '../../hashing/flow-hash.ts';

const IDLE_TIMEOUT_MS = 8000;

const keyOf = (i: number) => {
  const source = Math.imul(i + 1, 0x9e3779b1) | 0;
  const ports = Math.imul(i + 7, 0x85ebca77) | 0;
  return { hash: connectionHash(source, ports, 42), source, ports };
};

function all(table: ConnectionTable, now: number): Map<string, string> {
  const entry = createEntry();
  const found = new Map<string, string>();
  for (let slot = 0; slot < table.slotCount; slot++) {
    if (!readEntry(table, slot, now, entry)) continue;
    const { key0, key1, backend, idleMs, remainingMs, isProven, isClosing } = entry;
    assert.ok(!found.has(`${key0} ${key1}`), 'each connection is in one slot');
    found.set(`${key0} ${key1}`, JSON.stringify({ backend, idleMs, remainingMs, isProven, isClosing }));
  }
  return found;
}

describe('entries of a connection table', () => {
  const step = fc.record({
    act: fc.constantFrom('insert', 'insert', 'find', 'close', 'wait', 'remove'),
    key: fc.nat(39),
    backend: fc.constantFrom(0, 1, 255, 0xffff),
    amount: fc.oneof(fc.constantFrom(CLOSING_TIMEOUT_MS, IDLE_TIMEOUT_MS, IDLE_TIMEOUT_MS - 1), fc.nat(3000)),
  });

  test('are those of the model, with the times that are left', () => {
    const start = fc.constantFrom(0, 2 ** 31 - 9000, 2 ** 32 - 9000);
    fc.assert(
      fc.property(start, fc.array(step, { maxLength: 150 }), (startMs, steps) => {
        const table = createConnectionTable({ capacity: 400, idleTimeoutMs: IDLE_TIMEOUT_MS });
        const model = new Map<number, { backend: number; seen: number; proven: boolean; closing: boolean }>();
        const timeout = ({ closing }: { closing: boolean }) => (closing ? CLOSING_TIMEOUT_MS : IDLE_TIMEOUT_MS);
        let now = startMs;
        for (const { act, key, backend, amount } of steps) {
          const { hash, source, ports } = keyOf(key);
          for (const [i, entry] of model) if (now - entry.seen >= timeout(entry)) model.delete(i);
          const entry = model.get(key);
          if (act === 'insert') {
            insert(table, hash, source, ports, backend, now);
            model.set(key, { backend, seen: now, proven: false, closing: false });
          } else if (act === 'wait') now += amount;
          else if (act === 'remove') {
            const place = createEntry();
            for (let slot = 0; slot < table.slotCount; slot++) {
              if (readEntry(table, slot, now, place) && place.key0 === source && place.key1 === ports) {
                removeEntry(table, slot);
              }
            }
            model.delete(key);
            assert.equal(peek(table, hash, source, ports, now), MISS);
          } else {
            find(table, hash, source, ports, now);
            if (act === 'close') markClosing(table);
            if (entry !== undefined) {
              model.set(key, { ...entry, seen: now, proven: true, closing: entry.closing || act === 'close' });
            }
          }
        }
        const expected = new Map<string, string>();
        for (const [key, entry] of model) {
          const idleMs = now - entry.seen;
          if (idleMs >= timeout(entry)) continue;
          const { source, ports } = keyOf(key);
          const { backend, proven: isProven, closing: isClosing } = entry;
          const remainingMs = timeout(entry) - idleMs;
          expected.set(`${source} ${ports}`, JSON.stringify({ backend, idleMs, remainingMs, isProven, isClosing }));
        }
        assert.deepEqual(new Map([...all(table, now)].sort()), new Map([...expected].sort()));
      }),
      { numRuns: 300 },
    );
  });

  test('what is removed is in no counter but the size', () => {
    const table = createConnectionTable({ capacity: 8, idleTimeoutMs: IDLE_TIMEOUT_MS });
    for (const i of [1, 2]) insert(table, keyOf(i).hash, keyOf(i).source, keyOf(i).ports, i, 0);
    for (let slot = 0; slot < table.slotCount; slot++) {
      removeEntry(table, slot);
      removeEntry(table, slot);
    }
    const { size, inserted, expired, evicted, refused, lastPlace } = table;
    assert.deepEqual([size, inserted, expired, evicted, refused, lastPlace], [0, 2, 0, 0, 0, -1]);
  });
});
