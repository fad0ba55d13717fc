/** Events as lines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventText } from '../../cli/events.ts';
import type { BalancerEvent } from '../../lb/events.ts';

const plain = (_: unknown, text: string): string => text;
const at = '2026-11-23T19:38:46.850Z';

test('columns for time and kind, then who and why', () => {
  const events: BalancerEvent[] = [
    {
      seq: 1,
      at,
      kind: 'pickup',
      service: 'web',
      backend: 'b2',
      client: '198.18.0.2:49744',
      worker: 0,
      reason: 'sent by hash',
    },
    { seq: 2, at, kind: 'change', id: '5f0c11d2', reason: 'drain web b1' },
    { seq: 3, at, kind: 'left-out', worker: 1, count: 7, reason: '7 of kind reset were not told' },
  ];
  assert.deepEqual(
    events.map((event) => eventText(event, 80, false, plain)),
    [
      '19:38:46.850  pickup     web/b2  198.18.0.2:49744  sent by hash',
      '19:38:46.850  change     5f0c11d2  drain web b1',
      '19:38:46.850  left-out   worker 1: 7 of kind reset were not told',
    ],
  );
});

test('on a terminal a line is cut to its width, elsewhere it is whole', () => {
  const event: BalancerEvent = { seq: 1, at, kind: 'refused', reason: 'x'.repeat(200) };
  for (const width of [40, 80]) assert.equal(eventText(event, width, true, plain).length, width);
  assert.ok(eventText(event, 40, false, plain).endsWith('x'.repeat(200)));
});
