/** Who serves which queue: every queue has one worker, whatever their number, or it is refused in one line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../../lb/config.ts';
import { validateConfig } from '../../lb/config-file.ts';
import { planSockets, planWorkers } from '../../lb/worker-plan.ts';

function configOf(settings: Record<string, unknown>): Config {
  const backends = [{ name: 'b1', address: '198.18.2.1' }];
  const services = [{ name: 'web', vip: '198.18.10.1', port: 80, backends }];
  return validateConfig({ interface: 'eth0', services, ...settings }, 'FILE').config;
}

const queuesOf = (queueCount: number, settings: Record<string, unknown> = {}) =>
  planWorkers(queueCount, configOf(settings)).map(({ queues }) => queues);

test('one worker a queue, or queues shared out in turn', () => {
  assert.deepEqual(queuesOf(1), [[0]]);
  assert.deepEqual(queuesOf(3), [[0], [1], [2]]);
  assert.deepEqual(queuesOf(3, { workers: 3 }), [[0], [1], [2]]);
  assert.deepEqual(queuesOf(5, { workers: 2 }), [
    [0, 2, 4],
    [1, 3],
  ]);
  assert.deepEqual(queuesOf(4, { workers: 1 }), [[0, 1, 2, 3]]);
});

test('every queue has exactly one worker, and no worker has two more than another', () => {
  for (let queueCount = 1; queueCount <= 20; queueCount++) {
    for (let workers = 1; workers <= queueCount; workers++) {
      const shares = queuesOf(queueCount, { workers });
      const all = shares.flat().toSorted((a, b) => a - b);
      assert.deepEqual(
        all,
        Array.from({ length: queueCount }, (_, queue) => queue),
      );
      const sizes = shares.map((share) => share.length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, `${workers} workers, ${queueCount} queues`);
    }
  }
});

test('CPUs in the order of the workers', () => {
  const cpus = planWorkers(4, configOf({ workers: 2, cpus: [5, 3] })).map(({ cpu }) => cpu);
  assert.deepEqual(cpus, [5, 3]);
  assert.deepEqual(
    planWorkers(2, configOf({})).map(({ cpu }) => cpu),
    [null, null],
  );
});

const REFUSED: readonly (readonly [queueCount: number, settings: Record<string, unknown>, message: string])[] = [
  [
    2,
    { workers: 4 },
    'workers: eth0 has 2 receive queues, too few for 4 workers: ethtool -L eth0 combined 4, or workers: 2',
  ],
  [
    1,
    { workers: 2 },
    'workers: eth0 has 1 receive queue, too few for 2 workers: ethtool -L eth0 combined 2, or workers: 1',
  ],
  [
    4,
    { cpus: [0, 1] },
    'cpus: eth0 has 4 receive queues, a worker for each, and 2 CPUs are named: name 4, or say workers: 2',
  ],
  [1, { cpus: [0, 1] }, 'cpus: eth0 has 1 receive queue, one worker, and 2 CPUs are named: name 1'],
  [
    33,
    { workers: 1, afXdp: { ringSize: 8192 } },
    'afXdp.ringSize: 33 queues with rings of 8192 are too much for one worker: more workers or a smaller ringSize',
  ],
];

for (const [queueCount, settings, message] of REFUSED) {
  test(`refused: ${message}`, () => {
    assert.throws(() => planWorkers(queueCount, configOf(settings)), { code: 'WORKERS_UNFIT', message });
  });
}

test('32 queues with the longest rings are what one worker can have', () => {
  assert.equal(queuesOf(32, { workers: 1, afXdp: { ringSize: 8192 } })[0]?.length, 32);
});

test('packet sockets are as many as asked for, whatever the queues; else one a CPU that is named, else one a queue', () => {
  const plan = (queueCount: number, settings: Record<string, unknown>) =>
    planSockets(queueCount, configOf({ io: 'af-packet', ...settings })).map(({ queues, cpu }) => [queues, cpu]);
  assert.deepEqual(plan(1, { workers: 3 }), [
    [[0], null],
    [[1], null],
    [[2], null],
  ]);
  assert.deepEqual(plan(4, { cpus: [5, 3] }), [
    [[0], 5],
    [[1], 3],
  ]);
  assert.deepEqual(plan(2, {}), [
    [[0], null],
    [[1], null],
  ]);
});
