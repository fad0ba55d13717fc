/** The token bucket against a count of what any stretch of time may let through. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTokenBucket, takeToken } from '../../lb/rate-limit.ts';

test('a full bucket gives its burst at once, and then its rate', () => {
  const bucket = createTokenBucket(1000, 50, 7);
  const takenAt = (now: number): number =>
    Array.from({ length: 100 }, () => takeToken(bucket, now)).filter(Boolean).length;
  assert.equal(takenAt(7), 50);
  assert.equal(takenAt(8), 1);
  assert.equal(takenAt(18), 10);
  assert.equal(takenAt(10_000), 50);
});

test('a rate below one a millisecond comes in whole tokens', () => {
  const bucket = createTokenBucket(3, 1, 0);
  assert.equal(takeToken(bucket, 0), true);
  const given = Array.from({ length: 1000 }, (_, ms) => ms + 1).filter((ms) => takeToken(bucket, ms));
  assert.deepEqual(given, [334, 668]);
});

test('the clock may wrap, and may have stood still for weeks', () => {
  const bucket = createTokenBucket(1000, 2, -1);
  assert.deepEqual([takeToken(bucket, -1), takeToken(bucket, 0xffff_ffff), takeToken(bucket, -1)], [true, true, false]);
  assert.equal(takeToken(bucket, 0), true);
  assert.equal(takeToken(bucket, 0), false);
  assert.equal(takeToken(bucket, 0x8000_0010), false);
  assert.equal(takeToken(bucket, 0x8000_0011), true);
});

test('no stretch of time lets through more than burst and rate, nor less where enough is asked', () => {
  const steps = fc.array(fc.tuple(fc.nat(40), fc.nat(6)), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 20 }), (plan, rate, burst) => {
      const bucket = createTokenBucket(rate, burst, 0);
      let now = 0;
      let level = burst;
      for (const [wait, asked] of plan) {
        now += wait;
        level = Math.min(burst, level + (wait * rate) / 1000);
        for (let i = 0; i < asked; i++) {
          const allowed = level + 1e-9 >= 1;
          assert.equal(takeToken(bucket, now), allowed);
          if (allowed) level -= 1;
        }
      }
    }),
  );
});
