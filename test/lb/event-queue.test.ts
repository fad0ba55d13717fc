/** Following events: in order, at the reader's pace, and never more than a bounded number of them waiting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { followEvents } from '../../lb/event-queue.ts';
import { createEventLog } from '../../lb/events.ts';

const all = () => true;
const emit = (log: ReturnType<typeof createEventLog>, from: number, until: number): void => {
  for (let i = from; i < until; i++) log.emit({ kind: i % 2 === 0 ? 'pickup' : 'reset', reason: `${i}` });
};

test('what is told is what happens from the first step on, by its filter', async () => {
  const log = createEventLog();
  emit(log, 0, 3);
  const end = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { reason } of followEvents(log, end.signal, ({ kind }) => kind === 'reset')) {
      seen.push(reason);
      if (reason === '19') end.abort();
    }
  })();
  emit(log, 10, 20);
  await reading;
  assert.deepEqual(seen, ['11', '13', '15', '17', '19']);
  assert.equal(log.followers, 0);
});

test('a reader that waits for nothing ends with its signal', async () => {
  const log = createEventLog();
  const end = new AbortController();
  const next = followEvents(log, end.signal, all).next();
  assert.equal(log.followers, 1);
  end.abort();
  assert.equal((await next).done, true);
  assert.equal(log.followers, 0);
});

test('a slow reader gets what waited, then a last line that says why it ends', async () => {
  const log = createEventLog();
  const events = followEvents(log, new AbortController().signal, all, 5);
  const first = events.next();
  emit(log, 0, 1);
  assert.equal((await first).value?.reason, '0');
  emit(log, 1, 10_000);
  assert.equal(log.followers, 0, 'nothing is kept for it any more');
  const rest: string[] = [];
  for await (const { kind, reason } of events) rest.push(kind === 'left-out' ? reason.slice(0, 12) : reason);
  assert.deepEqual(rest, ['1', '2', '3', '4', '5', 'cut off here']);
});

test('however many events there were, the last 1,024 are kept', () => {
  const log = createEventLog();
  emit(log, 0, 10_000);
  const kept = log.recent(Number.MAX_SAFE_INTEGER);
  assert.deepEqual([kept.length, kept[0].seq, kept.at(-1)?.seq], [1024, 8977, 10_000]);
});
