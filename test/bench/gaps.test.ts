/** The recorder of case `pause`: which gaps between batches count as the worker's own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUNDS_US, createGapRecorder, type Gaps } from '../../bench/pause/gaps.ts';
import { createThreadMeter } from '../../bench/pause/thread.ts';
import { createClock } from '../../io/clock.ts';

const { microseconds } = createClock();
const GAP_US = 6000;

/** What is recorded of one gap in which `work` is done, and which is `longerUs` longer than that took. */
function gapWith(work: () => void, longerUs = 0): Gaps {
  const recorder = createGapRecorder();
  recorder.batch(microseconds(), 64);
  recorder.tick();
  work();
  recorder.batch(microseconds() + longerUs, 1);
  return recorder.result();
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
const longerThan = (us: number, { gaps }: Gaps): number => sum(gaps.slice(BOUNDS_US.indexOf(us) + 1));

test('a gap in which the thread ran counts in full', () => {
  const gaps = gapWith(() => {
    const { ranUs } = createThreadMeter();
    const end = ranUs() + GAP_US;
    while (ranUs() - end < 0) {}
  });
  assert.ok(gaps.longestUs >= GAP_US && gaps.longestRunningUs >= GAP_US, JSON.stringify(gaps));
  assert.equal(longerThan(5000, gaps), 1);
  assert.deepEqual([gaps.batches, gaps.frames, gaps.idle], [2, 65, 0]);
});

test('a gap in which the thread slept by itself counts in full', () => {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const gaps = gapWith(() => void Atomics.wait(never, 0, 0, GAP_US / 1000));
  assert.ok(gaps.longestRunningUs >= GAP_US && gaps.longestRunningUs === gaps.longestUs, JSON.stringify(gaps));
  assert.equal(sum(gaps.waiting), 0);
});

test('a gap in which the thread neither ran nor slept was without a core', () => {
  const gaps = gapWith(() => {}, 60_000_000);
  assert.ok(gaps.longestUs >= 60_000_000 && gaps.longestRunningUs < 30_000_000, JSON.stringify(gaps));
  assert.equal(gaps.waiting[BOUNDS_US.length], 1);
});

test('a wait for packets is no gap, and what was before a restart is forgotten', () => {
  const recorder = createGapRecorder();
  recorder.batch(microseconds(), 1);
  recorder.slept();
  recorder.slept();
  recorder.batch(microseconds(), 1);
  assert.deepEqual([sum(recorder.result().gaps), recorder.result().idle], [0, 1]);
  recorder.batch(microseconds(), 1);
  assert.equal(sum(recorder.result().gaps), 1);
  recorder.restart();
  recorder.batch(microseconds(), 1);
  const { batches, gaps } = recorder.result();
  assert.deepEqual([batches, sum(gaps)], [1, 0]);
});
