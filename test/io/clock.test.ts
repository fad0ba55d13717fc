/** The clock of the packets' path: right, and without garbage. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClock, elapsed } from '../../io/clock.ts';

test('goes with CLOCK_MONOTONIC, modulo 2^32', () => {
  const clock = createClock();
  for (const [read, perSecond] of [
    [clock.milliseconds, 1000n],
    [clock.microseconds, 1_000_000n],
  ] as const) {
    for (let i = 0; i < 1000; i++) {
      const before = (process.hrtime.bigint() * perSecond) / 1_000_000_000n;
      const value = read();
      const after = (process.hrtime.bigint() * perSecond) / 1_000_000_000n;
      assert.equal(value, value | 0);
      const sinceBefore = BigInt.asUintN(32, BigInt(value) - before);
      assert.ok(sinceBefore <= after - before, `${value} does not lie between ${before} and ${after}`);
    }
  }
});

test('times are subtracted over the end of 32 bits', () => {
  assert.equal(elapsed(5, 5), 0);
  assert.equal(elapsed(-3, 4), 7);
  assert.equal(elapsed(2 ** 31 - 1, -(2 ** 31)), 1);
  assert.equal(elapsed(1, 0), 2 ** 32 - 1);
});

test('heap growth', () => {
  const { milliseconds, microseconds } = createClock();
  // Elements of no kind that the compiler knows take each time as it is: a fraction or a large number would need a place on the heap.
  const last: unknown[] = ['none', 'none'];
  const read = (times: number): void => {
    for (let i = 0; i < times; i++) {
      last[0] = milliseconds();
      last[1] = microseconds();
    }
  };
  for (let i = 0; i < 10; i++) read(20_000);
  const growths = Array.from({ length: 9 }, () => {
    const before = process.memoryUsage().heapUsed;
    read(5000);
    return process.memoryUsage().heapUsed - before;
  }).sort((a, b) => a - b);
  // A number on the heap takes 12 bytes at the least: 120,000 in a round, which is short enough to have no collection in it.
  assert.ok(growths[4] < 40_000, `${growths[4]} bytes in 10,000 reads`);
});
