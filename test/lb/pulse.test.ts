/** Who hangs, by the turns of the workers' loops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPulse } from '../../lb/pulse.ts';

test('a worker that has not turned since the last look hangs, until it turns again', () => {
  const hangingSince = createPulse();
  assert.deepEqual(hangingSince([5, 5, 5]), [], 'a first look knows nothing');
  assert.deepEqual(hangingSince([6, 5, 5]), [1, 2]);
  assert.deepEqual(hangingSince([6, 6, 5]), [0, 2]);
  assert.deepEqual(hangingSince([7, 7, -8]), [], 'turns are counted modulo 2^32');
});

test('one that starts, has ended, or was started anew does not hang', () => {
  const hangingSince = createPulse();
  hangingSince([0, 9]);
  assert.deepEqual(hangingSince([0, 0]), []);
  assert.deepEqual(hangingSince([1, 0]), []);
  assert.deepEqual(hangingSince([2, 1]), []);
});
