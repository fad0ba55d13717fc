/** Counter slots: none overlap, none are lost, and worker threads share them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import * as counters from '../../metrics/counters.ts';
import { numbered } from './numbered.ts';

const { BACKEND_BYTES, BACKEND_PACKETS, SERVICE_SLOTS } = counters;

const EXITS = [
  { verdict: 'forward', reason: 'forwarded' },
  { verdict: 'drop', reason: 'truncated' },
];

const names = fc.record({
  exits: fc.array(fc.record({ verdict: fc.string(), reason: fc.string() }), { maxLength: 6 }),
  services: fc.array(
    fc.record({ name: fc.string(), backends: fc.array(fc.record({ name: fc.string() }), { maxLength: 5 }) }),
    { maxLength: 5 },
  ),
});

test('every counter has a slot of its own and no slot is left over', () => {
  fc.assert(
    fc.property(names, ({ exits, services }) => {
      const layout = counters.createCounterLayout({ exits, ...numbered(services) });
      const taken: number[] = [];
      for (let service = 0; service <= services.length; service++) {
        for (let exit = 0; exit < exits.length; exit++) taken.push(layout.exitBase[service] + exit);
      }
      for (const [i, { backends }] of services.entries()) {
        for (let slot = 0; slot < SERVICE_SLOTS; slot++) taken.push(layout.serviceBase[i] + slot);
        for (let backend = 0; backend < backends.length; backend++) {
          taken.push(layout.backendBase[i][backend] + BACKEND_PACKETS);
          taken.push(layout.backendBase[i][backend] + BACKEND_BYTES);
        }
      }
      assert.deepEqual(
        taken.sort((a, b) => a - b),
        Array.from({ length: layout.slotCount }, (_, slot) => slot),
      );
    }),
  );
});

test('the slots of a service have different numbers, all inside its block', () => {
  const slots = Object.entries(counters).filter(([name]) => /^SERVICE_(?!SLOTS)/.test(name));
  assert.deepEqual(
    slots.map(([, slot]) => slot as number).sort((a, b) => a - b),
    Array.from({ length: SERVICE_SLOTS }, (_, slot) => slot),
  );
});

test('whoever keeps its place keeps its counters, whoever else comes and goes', () => {
  const room = { services: 3, backends: 4 };
  const before = counters.createCounterLayout({
    exits: EXITS,
    room,
    services: [
      { name: 'web', place: 0, backends: [{ name: 'b1', place: 0 }] },
      { name: 'api', place: 1, backends: [{ name: 'b1', place: 1 }] },
    ],
  });
  const after = counters.createCounterLayout({
    exits: EXITS,
    room,
    services: [
      { name: 'new', place: 2, backends: [] },
      {
        name: 'api',
        place: 1,
        backends: [
          { name: 'b2', place: 3 },
          { name: 'b1', place: 1 },
        ],
      },
    ],
  });
  assert.equal(after.exitBase[1], before.exitBase[1]);
  assert.equal(after.serviceBase[1], before.serviceBase[1]);
  assert.equal(after.backendBase[1][1], before.backendBase[1][0]);
  assert.equal(after.exitBase[2], before.exitBase[2], 'those of no service');
  assert.equal(after.slotCount, before.slotCount);
});

test('a layout is plain data: it survives the way to a worker', () => {
  const layout = counters.createCounterLayout({
    exits: EXITS,
    ...numbered([{ name: 'web', backends: [{ name: 'b1' }, { name: 'b2' }] }]),
  });
  assert.deepEqual(structuredClone(layout), layout);
  assert.deepEqual(JSON.parse(JSON.stringify(layout)), layout);
  assert.deepEqual(layout.services, [{ name: 'web', backends: ['b1', 'b2'] }]);
});

test('what worker threads count is seen and added up here', async () => {
  const layout = counters.createCounterLayout({ exits: EXITS, ...numbered([{ name: 'web', backends: [] }]) });
  const slot = layout.exitBase[0] + 1;
  const workers = [counters.allocateCounters(layout), counters.allocateCounters(layout)];
  const code = `
    const { workerData } = require('node:worker_threads');
    for (let i = 0; i < workerData.packets; i++) workerData.slots[workerData.slot]++;`;
  await Promise.all(
    workers.map((slots, i) => {
      const workerData = { slots, slot, packets: 1000 * (i + 1) };
      return once(new Worker(code, { eval: true, workerData }), 'exit');
    }),
  );
  assert.equal(counters.sumSlots(workers, slot), 3000);
  assert.equal(counters.sumSlots(workers, slot - 1), 0);
  assert.equal(counters.sumSlots([], slot), 0);
});
