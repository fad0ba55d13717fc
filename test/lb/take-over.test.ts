/** Packets through the real forwarder before and after it takes over another configuration. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BACKEND_PACKETS,
  SERVICE_CAPACITY,
  SERVICE_ENTRIES,
  SERVICE_EXPIRED,
  SERVICE_HITS,
  SERVICE_NON_SYN_MISSES,
  SERVICE_RESETS_SENT,
  SERVICE_SYN_MISSES,
} from '../../metrics/counters.ts';
import { tcpFrame } from '../packets.ts';
import { backendYaml, createRig, type Rig, type RigConfig } from './rig.ts';

const CLIENTS = 60;

function clientFrame(client: number, flags: string, destination = '198.18.10.1', port = 80): Uint8Array {
  return tcpFrame({ source: `192.0.2.${client + 1}`, sourcePort: 40_000, destination, destinationPort: port, flags });
}

const API = '{ name: api, vip: 198.18.10.9, port: 443, backends: [{ name: b1, address: 198.18.2.1 }] }';

const of = (...names: string[]): RigConfig => ({ backends: names.map((name) => backendYaml(name)) });

/** Where each client's packet goes; undefined where none left. */
function walkAll(rig: Rig, flags: string, now = 0): (string | undefined)[] {
  return Array.from({ length: CLIENTS }, (_, client) => rig.backendOf(rig.walk(clientFrame(client, flags), now)));
}

function assertStays(before: readonly unknown[], after: readonly unknown[], except: string): void {
  for (const [client, backend] of before.entries()) if (backend !== except) assert.equal(after[client], backend);
}

describe('connections in the table', () => {
  const changes: Record<string, RigConfig> = {
    'another backend is added': of('b1', 'b2', 'b3', 'b4'),
    'the file is sorted anew': of('b3', 'b1', 'b2'),
    'both at once': of('b5', 'b3', 'b4', 'b2', 'b1'),
    'weights change': { backends: [backendYaml('b1', 'weight: 100'), backendYaml('b2'), backendYaml('b3')] },
    'a backend drains': { backends: [backendYaml('b1'), backendYaml('b2', 'state: draining'), backendYaml('b3')] },
    'the table size, hash and scheduler change': { service: 'tableSize: 251\n    hash: five-tuple' },
    'round-robin takes turns': { service: 'scheduler: round-robin' },
    'another service is put in front of it': {
      others: [API],
    },
  };
  for (const [what, next] of Object.entries(changes)) {
    test(`stay when ${what}`, () => {
      const rig = createRig();
      const before = walkAll(rig, 'S');
      rig.takeOver(next);
      assert.deepEqual(walkAll(rig, 'A'), before);
      assert.equal(rig.count(SERVICE_HITS), CLIENTS);
      assert.equal(rig.count(SERVICE_NON_SYN_MISSES), 0);
    });
  }

  test('without a table the hash decides, and some move', () => {
    const rig = createRig({ service: 'conntrack: { enabled: false }' });
    const before = walkAll(rig, 'S');
    rig.takeOver({ ...of('b1', 'b2', 'b3', 'b4'), service: 'conntrack: { enabled: false }' });
    const moved = walkAll(rig, 'A').filter((backend, client) => backend !== before[client]).length;
    assert.ok(moved > 0 && moved < CLIENTS / 2, `${moved} of ${CLIENTS} moved`);
  });

  test('those of a removed backend are hashed again and belong to another from then on; the others stay', () => {
    const rig = createRig();
    const before = walkAll(rig, 'S');
    const lost = before.filter((backend) => backend === 'b2').length;
    assert.ok(lost > 0);
    rig.takeOver(of('b1', 'b3'));
    const after = walkAll(rig, 'A');
    assertStays(before, after, 'b2');
    assert.deepEqual(new Set(after), new Set(['b1', 'b3']));
    assert.equal(rig.count(SERVICE_NON_SYN_MISSES), lost);
    assert.equal(rig.count(SERVICE_HITS), CLIENTS - lost);
    rig.sweep(0, 0);
    assert.equal(rig.count(SERVICE_ENTRIES), CLIENTS);

    assert.deepEqual(walkAll(rig, 'A'), after, 'a second packet finds the new entry');
    assert.equal(rig.count(SERVICE_NON_SYN_MISSES), lost);
    rig.takeOver(of('b1', 'b3', 'b4', 'b5'));
    assert.deepEqual(walkAll(rig, 'A'), after);
  });

  test("a removed backend's connections meet onMiss: reset, drop", () => {
    for (const [onMiss, exit] of [
      ['reset', 'reset: unknown-connection'],
      ['drop', 'drop: unknown-connection'],
    ]) {
      const service = `onMiss: ${onMiss}`;
      const rig = createRig({ service });
      const client = walkAll(rig, 'S').indexOf('b2');
      rig.takeOver({ ...of('b1', 'b3'), service });
      for (let i = 0; i < 2; i++) assert.equal(rig.walk(clientFrame(client, 'A')).exit, exit);
      assert.equal(rig.count(SERVICE_RESETS_SENT), onMiss === 'reset' ? 2 : 0);
      assert.equal(rig.walk(clientFrame(client, 'S')).exit, 'forward');
      assert.equal(rig.walk(clientFrame(client, 'A')).exit, 'forward');
    }
  });

  test('an RST of a removed backend’s connection is forwarded and leaves no entry', () => {
    const rig = createRig();
    const client = walkAll(rig, 'S').indexOf('b2');
    rig.takeOver(of('b1', 'b3'));
    assert.equal(rig.walk(clientFrame(client, 'R')).exit, 'forward');
    rig.sweep(0, 0);
    assert.equal(rig.count(SERVICE_ENTRIES), CLIENTS - 1);
  });

  test('nobody left to take them: no-backend', () => {
    const rig = createRig();
    const client = walkAll(rig, 'S').indexOf('b2');
    rig.takeOver({ backends: [backendYaml('b1', 'state: draining')] });
    assert.equal(rig.walk(clientFrame(client, 'A')).exit, 'drop: no-backend');
  });

  test("a backend that comes back gets its connections' packets again, and a stranger never does", () => {
    const rig = createRig();
    const before = walkAll(rig, 'S');
    rig.takeOver(of('b1', 'b3'), 0);
    rig.takeOver(of('b4', 'b1', 'b3'), 1);
    rig.takeOver(of('b4', 'b1', 'b3', 'b2'), 2);
    assert.deepEqual(walkAll(rig, 'A'), before);
  });

  test('a draining backend keeps what it has and gets nothing new', () => {
    const rig = createRig();
    const before = walkAll(rig, 'S');
    rig.takeOver({ backends: [backendYaml('b1'), backendYaml('b2', 'state: draining'), backendYaml('b3')] });
    assert.deepEqual(walkAll(rig, 'A'), before);
    assert.deepEqual(new Set(walkAll(rig, 'S')), new Set(['b1', 'b3']));
  });

  test('a name with another address: its connections follow the name', () => {
    const rig = createRig();
    const before = walkAll(rig, 'S');
    rig.takeOver({ backends: [backendYaml('b1'), '{ name: b2, address: 198.18.2.4 }', backendYaml('b3')] });
    assert.deepEqual(
      walkAll(rig, 'A'),
      before.map((backend) => (backend === 'b2' ? 'b4' : backend)),
    );
  });
});

describe('connection tables', () => {
  test('a new idle timeout counts for the entries that are there', () => {
    const rig = createRig({ service: 'conntrack: { idleTimeout: 60s }' });
    walkAll(rig, 'S', 0);
    rig.takeOver({ service: 'conntrack: { idleTimeout: 10s }' });
    rig.sweep(9_999, 60_000);
    assert.equal(rig.count(SERVICE_ENTRIES), CLIENTS);
    rig.sweep(10_000, 60_000);
    assert.equal(rig.count(SERVICE_ENTRIES), 0);

    walkAll(rig, 'S', 20_000);
    rig.takeOver({ service: 'conntrack: { idleTimeout: 1h }' });
    rig.sweep(20_000 + 3_599_999, 3_600_000);
    assert.equal(rig.count(SERVICE_ENTRIES), CLIENTS);
  });

  test('another capacity leaves the table as it is', () => {
    const rig = createRig({ service: 'conntrack: { capacity: 1024 }' });
    const before = walkAll(rig, 'S');
    rig.takeOver({ ...of('b1', 'b2', 'b3', 'b4'), service: 'conntrack: { capacity: 64 }' });
    assert.equal(rig.forwarder.tables[0]?.capacity, 1024);
    assert.equal(rig.count(SERVICE_CAPACITY), 1024);
    assert.deepEqual(walkAll(rig, 'A'), before);
  });

  test('conntrack off: no entries; on again: an empty table, and counters go on', () => {
    const rig = createRig({ service: 'conntrack: { idleTimeout: 10s }' });
    walkAll(rig, 'S', 0);
    rig.sweep(10_000, 10_000);
    assert.equal(rig.count(SERVICE_EXPIRED), CLIENTS);
    walkAll(rig, 'S', 10_000);
    rig.sweep(10_000, 0);
    assert.equal(rig.count(SERVICE_ENTRIES), CLIENTS);

    rig.takeOver({ service: 'conntrack: { enabled: false }' });
    assert.equal(rig.count(SERVICE_ENTRIES), 0);
    assert.equal(rig.count(SERVICE_CAPACITY), 0);
    const hits = rig.count(SERVICE_HITS);
    walkAll(rig, 'A', 10_000);
    assert.equal(rig.count(SERVICE_HITS), hits);

    rig.takeOver({ service: 'conntrack: { idleTimeout: 10s }' });
    walkAll(rig, 'A', 10_000);
    rig.sweep(20_000, 10_000);
    assert.equal(rig.count(SERVICE_EXPIRED), 2 * CLIENTS);
  });

  test('another VIP: an empty table, the counters go on, and the old VIP is not known any more', () => {
    const rig = createRig();
    walkAll(rig, 'S');
    rig.takeOver({ vip: '198.18.10.2' });
    assert.equal(rig.walk(clientFrame(0, 'A')).exit, 'pass: not-vip');
    assert.equal(rig.walk(clientFrame(0, 'A', '198.18.10.2')).exit, 'forward');
    assert.equal(rig.count(SERVICE_NON_SYN_MISSES), 1);
    assert.equal(rig.count(SERVICE_SYN_MISSES), CLIENTS);
  });

  test('onExpiry: reset can be turned on: connections that go on are told, and off: none are', () => {
    const timeout = 'conntrack: { idleTimeout: 10s }';
    const rig = createRig({ service: timeout });
    rig.walk(clientFrame(0, 'S'), 0);
    rig.walk(clientFrame(1, 'S'), 0);
    rig.takeOver({ service: `onExpiry: reset\n    ${timeout}` });
    rig.walk(clientFrame(0, 'A'), 1_000);
    rig.sweep(11_000, 1_000);
    assert.equal(rig.resets().length, 2, 'one to each side of the connection whose ACK was seen since');

    rig.walk(clientFrame(2, 'S'), 11_000);
    rig.walk(clientFrame(2, 'A'), 11_000);
    rig.takeOver({ service: timeout });
    rig.sweep(30_000, 10_000);
    assert.equal(rig.resets().length, 0);
  });

  test('resets that wait go to the service that they are of, and not to a removed backend', () => {
    const service = 'onExpiry: reset\n    conntrack: { idleTimeout: 10s }';
    const waiting = () => {
      const rig = createRig({ service });
      const backends = ['S', 'A'].map((flags) => walkAll(rig, flags))[0];
      rig.sweep(10_000, 1_000);
      return { rig, toB2: backends.filter((backend) => backend === 'b2').length };
    };
    const { rig, toB2 } = waiting();
    rig.takeOver({ ...of('b1', 'b3'), service, others: [API] });
    const fromVip = rig
      .resets()
      .filter((frame) => Buffer.from(frame.subarray(26, 30)).equals(Buffer.from([198, 18, 10, 1])));
    assert.equal(fromVip.length, CLIENTS, 'to each client, from the VIP of its service');
    assert.equal(rig.count(SERVICE_RESETS_SENT), 2 * CLIENTS - toB2);

    const other = waiting().rig;
    other.takeOver({ service, vip: '198.18.10.2' });
    assert.equal(other.resets().length, 0, 'the service is another one now');
  });

  test('round-robin goes on within a rotation that has become shorter', () => {
    const service = 'scheduler: round-robin';
    const rig = createRig({ service });
    rig.walk(clientFrame(0, 'S'));
    rig.walk(clientFrame(1, 'S'));
    rig.takeOver({ ...of('b1'), service });
    assert.equal(rig.backendOf(rig.walk(clientFrame(2, 'S'))), 'b1');
  });
});

describe('counters', () => {
  test('who stays counts on, who is new starts at 0, in a place that somebody had before too', () => {
    const rig = createRig();
    const packets = () => {
      const { services, backendBase } = rig.layout();
      return Object.fromEntries(
        services[0].backends.map((name, i) => [name, rig.forwarder.counters[backendBase[0][i] + BACKEND_PACKETS]]),
      );
    };
    walkAll(rig, 'S');
    const first = packets();
    rig.takeOver(of('b3', 'b1'), 0);
    assert.deepEqual(packets(), { b3: first.b3, b1: first.b1 });
    // Long after b2 was forgotten, b4 gets its index and its counters.
    rig.takeOver(of('b4', 'b3', 'b1'), 600_000);
    rig.takeOver(of('b4', 'b3', 'b1', 'b5'), 1_200_000);
    const places = rig.layout().backendBase[0];
    assert.equal(new Set(places).size, places.length);
    assert.deepEqual(packets(), { b4: 0, b3: first.b3, b1: first.b1, b5: 0 });
    walkAll(rig, 'S', 1_200_000);
    const last = packets();
    assert.equal(
      Object.values(last).reduce((sum, count) => sum + count, 0),
      first.b1 + first.b3 + CLIENTS,
    );
    assert.ok(last.b4 > 0 && last.b5 > 0);
  });
});
