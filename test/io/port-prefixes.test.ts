/** Prefixes against the plain meaning of a range: every port within in one of them, every other in none. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type PortPrefix, type PortRange, portPrefixes } from '../../io/port-prefixes.ts';

const covers = ({ port, bits }: PortPrefix, candidate: number) => candidate >> (16 - bits) === port >> (16 - bits);

suite('port-prefixes', () => {
  const rows: readonly (readonly [PortRange, number])[] = [
    [{ first: 80, last: 80 }, 1],
    [{ first: 0, last: 0 }, 1],
    [{ first: 65535, last: 65535 }, 1],
    [{ first: 0, last: 65535 }, 1],
    [{ first: 0, last: 32767 }, 1],
    [{ first: 8000, last: 8999 }, 6],
    [{ first: 1, last: 65534 }, 30],
    [{ first: 32767, last: 32768 }, 2],
    [{ first: 49152, last: 65535 }, 1],
  ];
  for (const [range, count] of rows) {
    test(`${range.first}-${range.last}`, () => {
      const prefixes = portPrefixes(range);
      assert.equal(prefixes.length, count);
      for (let port = 0; port <= 65535; port++) {
        const times = prefixes.filter((prefix) => covers(prefix, port)).length;
        if (times !== Number(port >= range.first && port <= range.last)) assert.fail(`${port} is in ${times} prefixes`);
      }
    });
  }

  test('what is no range is refused', () => {
    for (const [first, last] of [
      [2, 1],
      [-1, 5],
      [0, 65536],
      [1.5, 2],
      [Number.NaN, 2],
    ]) {
      assert.throws(() => portPrefixes({ first, last }), RangeError);
    }
  });
});
