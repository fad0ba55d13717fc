/** What a scrape may tell of the hash seed: enough to notice another one, too little to know it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { seedCheck } from '../../lb/seed-check.ts';

test('it is the first byte of SHA-256, by coreutils', () => {
  for (const seed of [0, 1, 4_294_967_295]) {
    const digest = execFileSync('sha256sum', { input: `hushlb hashSeed ${seed}` }).toString();
    assert.equal(seedCheck(seed), digest.slice(0, 2));
  }
});

test('neighbouring seeds differ, and no more than 256 values are told apart', () => {
  const checks = Array.from({ length: 10_000 }, (_, seed) => seedCheck(seed));
  assert.equal(new Set(checks).size, 256);
  assert.ok(new Set(checks.slice(0, 10)).size > 5);
});
