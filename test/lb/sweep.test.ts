/** How much of the connection tables a sweep passes, by the real forwarder. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sweepTables } from '../../lb/adopt.ts';
import { SERVICE_ENTRIES } from '../../metrics/counters.ts';
import { tcpFrame } from '../packets.ts';
import { createRig } from './rig.ts';

const FLOWS = 400;
const other = (n: number) =>
  `{ name: s${n}, vip: 198.18.11.${n}, port: 80, conntrack: { capacity: 512 }, backends: [{ name: b1, address: 198.18.2.1 }] }`;

function filledRig() {
  const rig = createRig({ service: 'conntrack: { capacity: 512 }', others: [1, 2, 3].map(other) });
  for (const destination of ['198.18.10.1', '198.18.11.1', '198.18.11.2']) {
    for (let port = 0; port < FLOWS; port++) {
      rig.walk(tcpFrame({ source: '192.0.2.1', sourcePort: 1024 + port, destination, flags: 'S' }));
    }
  }
  const entries = () =>
    rig.layout().services.map((_, i) => rig.forwarder.counters[rig.layout().serviceBase[i] + SERVICE_ENTRIES]);
  return { rig, entries };
}

test('all that is due, whatever the tables, unless there is a bound', () => {
  const { rig, entries } = filledRig();
  sweepTables(rig.forwarder, 70_000, 30_000);
  assert.deepEqual(entries(), [0, 0, 0, 0]);
});

test('within a bound every table gets its share, none of it goes to empty ones, and the rest comes later', () => {
  const { rig, entries } = filledRig();
  // Three tables of 1,024 slots have something in them; a sixth of all their slots is passed at a time, 512 in 100 ms.
  for (let call = 1; call <= 6; call++) {
    sweepTables(rig.forwarder, 70_000, 30_000, 5.12);
    const left = entries().filter((count) => count > 0);
    if (call < 6) {
      assert.equal(left.length, 3, `after ${call} calls`);
      for (const count of left) {
        assert.ok(Math.abs(count - FLOWS * (1 - call / 6)) < 60, `after ${call} calls ${count} are left`);
      }
    }
  }
  // A slot of each may be left, because shares are whole numbers.
  sweepTables(rig.forwarder, 70_000, 30_000, 5.12);
  assert.deepEqual(entries(), [0, 0, 0, 0]);
});
