/** When a drain is over: said once, after the last entry has gone, and asked for only while something drains. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { watchDrains } from '../../lb/drains.ts';
import { createEventLog } from '../../lb/events.ts';
import { prepare } from '../../lb/prepare.ts';
import type { AnswerTo, WorkerAnswer, WorkerRequest } from '../../lb/worker-requests.ts';
import { backendYaml, parsedConfig } from './rig.ts';

const draining = (...names: string[]) =>
  prepare(
    parsedConfig({
      backends: ['b1', 'b2', 'b3'].map((name) => backendYaml(name, names.includes(name) ? 'state: draining' : '')),
    }),
  );

test('a drain ends once, with its last entry; nobody is asked while nothing drains', async () => {
  let prepared = draining();
  let entries: Record<string, number> = { b2: 2 };
  const asked: WorkerRequest[] = [];
  const events = createEventLog();
  const watch = watchDrains({
    prepared: () => prepared,
    workers: {
      async ask<R extends WorkerRequest>(request: R) {
        asked.push(request);
        const counts = Object.entries(entries).map(([backend, count]) => ({ service: 'web', backend, entries: count }));
        const answer: WorkerAnswer = { kind: 'count', counts };
        return answer as AnswerTo<R>;
      },
    },
    events,
    logger: pino({ level: 'silent' }),
    intervalMs: 1,
  });
  const stayAwake = setInterval(() => {}, 1000);
  const looks = async (count: number): Promise<void> => {
    for (const before = asked.length; asked.length < before + count; ) await new Promise(setImmediate);
  };
  const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));
  const told = (): string[] => events.recent(100).map(({ kind, service, backend }) => `${kind} ${service}/${backend}`);
  try {
    await later();
    assert.equal(asked.length, 0);

    prepared = draining('b2', 'b3');
    await looks(3);
    assert.deepEqual(told(), ['drained web/b3'], 'b3 had none, b2 has two still');
    entries = { b1: 7 };
    await looks(1);
    await later();
    assert.deepEqual(told(), ['drained web/b3', 'drained web/b2']);
    const done = asked.length;
    await later();
    assert.equal(asked.length, done, 'all drains are over');

    // Taken back, and drained again.
    prepared = draining('b3');
    await later();
    entries = { b2: 1 };
    prepared = draining('b2', 'b3');
    await looks(2);
    entries = {};
    await looks(1);
    await later();
    assert.deepEqual(told(), ['drained web/b3', 'drained web/b2', 'drained web/b2']);
  } finally {
    watch.close();
    clearInterval(stayAwake);
  }
});
