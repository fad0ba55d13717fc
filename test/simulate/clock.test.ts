/**
 * The virtual clock: order, ties, cancelling, and its bounds; and against a list that is sorted at every step.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClock } from '../../simulate/clock.ts';
import { createRandom } from '../../simulate/random.ts';

test('events run in the order of their times, those of one moment in the order of planning', () => {
  const clock = createClock();
  const ran: [string, number][] = [];
  const note = (name: string) => () => ran.push([name, clock.now]);
  clock.after(5, note('c'));
  clock.after(1, note('a'));
  clock.after(5, note('d'));
  clock.after(1, () => {
    note('b')();
    clock.after(4, note('e'));
    clock.after(0, note('now'));
  });
  clock.run();
  assert.deepEqual(ran, [
    ['a', 1],
    ['b', 1],
    ['now', 1],
    ['c', 5],
    ['d', 5],
    ['e', 5],
  ]);
});

test('a cancelled event does not run and does not move the clock', () => {
  const clock = createClock();
  const timer = clock.after(1000, () => assert.fail('it was cancelled'));
  clock.after(1, () => timer.cancel());
  clock.run();
  assert.equal(clock.now, 1);
});

test('a thousand random delays, some cancelled, run as a sorted list has them', () => {
  const random = createRandom(7);
  const clock = createClock();
  const ran: number[] = [];
  const model: { timeMs: number; id: number }[] = [];
  for (let id = 0; id < 1000; id++) {
    const timeMs = random() % 100;
    const timer = clock.after(timeMs, () => ran.push(id));
    if (random() % 4 === 0) timer.cancel();
    else model.push({ timeMs, id });
  }
  clock.run();
  model.sort((a, b) => a.timeMs - b.timeMs || a.id - b.id);
  assert.deepEqual(
    ran,
    model.map(({ id }) => id),
  );
});

test('what would never end is refused in one line', () => {
  const tooLong = { name: 'HushlbError', code: 'SIMULATION_TOO_LONG' };
  const endless = createClock({ events: 100 });
  const again = (): void => void endless.after(1, again);
  again();
  assert.throws(() => endless.run(), tooLong);
  const crowded = createClock({ waiting: 10 });
  assert.throws(() => {
    for (let i = 0; i < 11; i++) crowded.after(1, () => {});
  }, tooLong);
  for (const delay of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => createClock().after(delay, () => {}), RangeError);
  }
});
