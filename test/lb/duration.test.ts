/**
 * The one rule for times, in the configuration and in options.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectedDuration, parseDuration } from '../../lb/duration.ts';

test('a time has a unit and lies between 1ms and 30d', () => {
  const good: [text: string, ms: number][] = [
    ['1ms', 1],
    ['60s', 60_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['30d', 2_592_000_000],
  ];
  for (const [text, ms] of good) assert.equal(parseDuration(text), ms, text);
  for (const text of ['', '60', '0s', '-1s', '1.5s', '60 s', '60S', '31d', '721h', '1s ', '99999999999ms', 'never']) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

test('how times are written is explained to whoever wrote one otherwise', () => {
  for (const text of [undefined, null, '0s', '-5s', '31d']) {
    assert.equal(expectedDuration(text), 'a time from 1ms to 30d, such as 60s');
  }
  for (const text of [60, '60', '1.5', '1.5m', '1,5m', '60 s', '60S', '1m30s', 'never', '', true, {}]) {
    assert.match(expectedDuration(text), /such as 60s: a whole number with its unit \(ms, s, m, h or d\)$/);
  }
});
