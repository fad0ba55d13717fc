/** What the counters make the log say, each once. The one about checksums is held against a real sender in daemon.test.ts. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import type { Logger } from 'pino';
import { EXITS, TOO_BIG } from '../../lb/exits.ts';
import { watchForHints } from '../../lb/hints.ts';
import { allocateCounters, createCounterLayout } from '../../metrics/counters.ts';
import { numbered } from '../metrics/numbered.ts';

const layout = createCounterLayout({ exits: EXITS, ...numbered([{ name: 'web', backends: [] }]) });

beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
afterEach(() => mock.timers.reset());

function watch() {
  const counters = [allocateCounters(layout), allocateCounters(layout)];
  const queues = { areNew: false, long: 0 };
  const lines: [fields: object, message: string][] = [];
  const logger = { warn: (fields: object, message: string) => lines.push([fields, message]) } as unknown as Logger;
  const hints = watchForHints({
    layout: () => layout,
    counters,
    hasNewQueues: () => queues.areNew,
    longPackets: () => queues.long,
    logger,
  });
  const look = () => {
    mock.timers.tick(1000);
    return lines;
  };
  return { counters, queues, hints, look };
}

test('queues without a worker are told of once, and belong to no service', () => {
  const { queues, look, hints } = watch();
  assert.deepEqual(look(), []);
  queues.areNew = true;
  const [line] = look();
  assert.deepEqual(line?.[0], {});
  assert.match(line?.[1] ?? '', /more receive queues .* restart hushlb$/);
  assert.equal(look().length, 1);
  hints.close();
});

test('packets that are too big, of any worker, with the service', () => {
  const { counters, look, hints } = watch();
  counters[1]![layout.exitBase[0]! + TOO_BIG] = 1;
  const [line] = look();
  assert.deepEqual(line?.[0], { service: 'web' });
  assert.match(line?.[1] ?? '', /too big/);
  hints.close();
});

test('packets longer than a packet socket forwards are told of once', () => {
  const { queues, look, hints } = watch();
  queues.long = 7;
  const [line] = look();
  assert.deepEqual(line?.[0], {});
  assert.match(line?.[1] ?? '', /longer than .* gro off/);
  assert.equal(look().length, 1);
  hints.close();
});
