/** What metrics tell of changes: how many, when the last, and whether the file is what runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTally } from '../../lb/change-tally.ts';

test('changes are counted by kind and result; only applied ones move the time', () => {
  let now = 1000;
  const { tally, applied, refused } = createTally(() => now);
  const counts = () => tally.counts.map(({ kind, result, count }) => `${kind} ${result} ${count}`);
  assert.deepEqual(counts(), ['reload applied 0', 'reload refused 0', 'runtime applied 0', 'runtime refused 0']);
  assert.deepEqual([tally.lastChangeMs, tally.lastReloadGood], [1000, true]);

  now = 2000;
  refused('reload');
  assert.deepEqual([tally.lastChangeMs, tally.lastReloadGood], [1000, false]);
  applied('runtime');
  assert.deepEqual([tally.lastChangeMs, tally.lastReloadGood], [2000, false], 'the file is still a bad one');
  now = 3000;
  refused('runtime');
  applied('reload');
  refused('runtime');
  assert.deepEqual([tally.lastChangeMs, tally.lastReloadGood], [3000, true]);
  assert.deepEqual(counts(), ['reload applied 1', 'reload refused 1', 'runtime applied 1', 'runtime refused 2']);
});
