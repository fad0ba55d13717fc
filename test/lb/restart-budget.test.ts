/** How often a worker may fail: pure, in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRestartBudget } from '../../lb/restart-budget.ts';

test('four failures within 10 s are allowed, the fifth is not', () => {
  const budget = createRestartBudget();
  const answers = [0, 1000, 2000, 3000, 9999].map((at) => budget.allows(0, at));
  assert.deepEqual(answers, [true, true, true, true, false]);
});

test('what is 10 s ago no longer counts, however long it goes on', () => {
  const budget = createRestartBudget();
  for (let at = 0; at < 1_000_000; at += 2500) assert.equal(budget.allows(0, at), true, `${at}`);
});

test('each worker has its own', () => {
  const budget = createRestartBudget();
  for (const worker of [0, 1, 2, 3, 4]) {
    for (let i = 0; i < 4; i++) assert.equal(budget.allows(worker, i), true);
  }
  assert.deepEqual([budget.allows(0, 4), budget.allows(5, 4)], [false, true]);
});
