/** Changes in their turn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createChangeQueue } from '../../lb/change-queue.ts';

function gate(): { passed: Promise<void>; open(): void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}

test('one at a time, in order, each with its own end', async () => {
  const queue = createChangeQueue();
  const first = gate();
  const order: string[] = [];
  const results = Promise.allSettled([
    queue.run(async () => {
      await first.passed;
      order.push('first');
      return 1;
    }),
    queue.run(async () => {
      order.push('second');
      throw new Error('refused');
    }),
    queue.run(async () => {
      order.push('third');
      return 3;
    }),
  ]);
  await turn();
  assert.deepEqual(order, []);
  first.open();
  const ends = await results;
  assert.deepEqual(order, ['first', 'second', 'third']);
  assert.deepEqual(
    ends.map((end) => (end.status === 'fulfilled' ? end.value : (end.reason as Error).message)),
    [1, 'refused', 3],
  );
});

test('who asks for the same thing before it begins shares it; who asks while it runs gets one more', async () => {
  const queue = createChangeQueue();
  const gates = [gate(), gate()];
  let runs = 0;
  const reload = () =>
    queue.runOnce('reload', async () => {
      const run = runs++;
      await gates[run].passed;
      return run;
    });
  const early = [reload(), reload(), reload()];
  await turn();
  const late = [reload(), reload()];
  for (const { open } of gates) open();
  assert.deepEqual(await Promise.all(early), [0, 0, 0]);
  assert.deepEqual(await Promise.all(late), [1, 1]);
  assert.equal(runs, 2);
});

test('close gives up what is under way and refuses what waits', async () => {
  const queue = createChangeQueue();
  const underWay = queue.run(
    (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  );
  let began = false;
  const waits = queue.runOnce('reload', async () => {
    began = true;
  });
  const ends = Promise.allSettled([underWay, waits]);
  await turn();
  await queue.close();
  assert.deepEqual(
    (await ends).map((end) => end.status === 'rejected' && (end.reason as Error).name),
    ['AbortError', 'AbortError'],
  );
  assert.equal(began, false);
  await assert.rejects(
    queue.run(async () => {}),
    { name: 'AbortError' },
  );
});
