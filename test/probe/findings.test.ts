/**
 * What observations come to, when to look, and how times read.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conclude } from '../../probe/findings.ts';
import type { Observation } from '../../probe/observe.ts';
import { isNarrow, refine, spread } from '../../probe/schedule.ts';
import { formatSpan, wellAbove, wellBelow } from '../../probe/span.ts';
import { parseTarget } from '../../probe/target.ts';

const lived = (idleMs: number): Observation => ({ outcome: 'lived', idleMs, ending: null });
const died = (idleMs: number, ending: Observation['ending']): Observation => ({ outcome: 'died', idleMs, ending });
const closed = (idleMs: number, ending: Observation['ending']): Observation => ({ outcome: 'closed', idleMs, ending });
const unused = (idleMs: number): Observation => ({ outcome: 'unused', idleMs, ending: null });

test('closed while idle: as sharp as the network is fast', () => {
  const { result, ending, livedMs, diedMs, witnesses, uniform } = conclude(
    [closed(5010, 'fin'), lived(1000), closed(5000, 'fin'), lived(3000)],
    20,
  );
  assert.deepEqual(
    { result, ending, livedMs, diedMs },
    { result: 'closed', ending: 'fin', livedMs: 4980, diedMs: 5010 },
  );
  assert.deepEqual({ witnesses, uniform }, { witnesses: 2, uniform: true });
});

test('dead on use: between the longest that lived and the shortest that did not', () => {
  const { result, ending, livedMs, diedMs, uniform } = conclude(
    [died(9000, 'silent'), lived(1000), died(5000, 'silent'), lived(3000), unused(9000)],
    20,
  );
  assert.deepEqual(
    { result, ending, livedMs, diedMs, uniform },
    { result: 'died', ending: 'silent', livedMs: 3000, diedMs: 5000, uniform: true },
  );
});

test('one used in the moment of the closing had raced with it', () => {
  const { result, livedMs } = conclude([died(4990, 'rst'), closed(5000, 'rst')], 0);
  assert.deepEqual({ result, livedMs }, { result: 'closed', livedMs: 4990 });
  assert.equal(conclude([died(2000, 'rst'), closed(5000, 'fin')], 0).result, 'died');
});

test('servers that differ are told apart', () => {
  assert.equal(conclude([closed(5000, 'fin'), closed(9000, 'fin')], 0).uniform, false);
  assert.equal(conclude([closed(5000, 'fin'), lived(7000)], 0).uniform, false);
  const { uniform, livedMs, diedMs } = conclude([lived(1000), died(5000, 'rst'), lived(7000)], 0);
  assert.deepEqual({ uniform, livedMs, diedMs }, { uniform: false, livedMs: 1000, diedMs: 5000 });
});

test('nothing ended: outlived, or not yet known', () => {
  const outlived = conclude([lived(1000), lived(2000)], 0);
  assert.deepEqual([outlived.result, outlived.livedMs, outlived.diedMs], ['outlived', 2000, null]);
  const interrupted = conclude([lived(1000), unused(1500)], 0);
  assert.deepEqual([interrupted.result, interrupted.livedMs], ['unknown', 1000]);
  assert.equal(conclude([], 0).result, 'unknown');
});

test('times spread by a factor over the range, then evenly within the bracket', () => {
  assert.deepEqual(spread(1000, 8000, 4), [1000, 2000, 4000, 8000]);
  assert.deepEqual(spread(1000, 8000, 1), [8000]);
  assert.deepEqual(spread(3000, 3000, 5), [3000]);
  assert.deepEqual(refine(1000, 5000, 3), [2000, 3000, 4000]);
  assert.deepEqual(refine(10, 12, 16), [11]);
  assert.deepEqual(refine(1000, 1000, 4), []);
  assert.deepEqual([isNarrow(349_000, 350_000), isNarrow(300_000, 350_000), isNarrow(1000, 1100)], [true, false, true]);
});

test('times read well', () => {
  const shown = [350, 999.7, 1500, 75_042, 350_000, 7_200_000, 432_000_000, Infinity].map(formatSpan);
  assert.deepEqual(shown, ['350 ms', '1 s', '1.5 s', '75.04 s', '350 s', '2 h', '5 d', 'never']);
  assert.deepEqual([75_000, 350_000, 5000, 1, Infinity].map(wellBelow), [60_000, 280_000, 4000, 0.8, Infinity]);
  assert.deepEqual([60_000, 350_000, Infinity].map(wellAbove), [75_000, 440_000, Infinity]);
});

test('targets: URLs and HOST:PORT, and nothing that carries a password', () => {
  assert.deepEqual(parseTarget('http://a.example'), { kind: 'http', host: 'a.example', port: 80, path: '/' });
  assert.deepEqual(parseTarget('https://[::1]:8443/a?b=c'), { kind: 'https', host: '::1', port: 8443, path: '/a?b=c' });
  assert.deepEqual(parseTarget('db.example:5432'), { kind: 'tcp', host: 'db.example', port: 5432, path: '' });
  assert.deepEqual(parseTarget('[fd00::1]:22'), { kind: 'tcp', host: 'fd00::1', port: 22, path: '' });
  for (const text of [
    '',
    'a',
    'a:0',
    'a:65536',
    'a:x',
    ':80',
    'ftp://a/',
    'http://',
    'http://u:p@a/',
    '::1:80',
    'a b:80',
  ]) {
    assert.equal(parseTarget(text), undefined, text);
  }
});
