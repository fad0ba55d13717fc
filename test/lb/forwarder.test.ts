/** The packet's walk: every packet row, and what the connection table makes of packets that follow each other. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EXITS } from '../../lb/exits.ts';
import { PROFILE_NAMES, profileOf } from '../../lb/profiles.ts';
import {
  BACKEND_PACKETS,
  SERVICE_ENTRIES,
  SERVICE_EXPIRED,
  SERVICE_HITS,
  SERVICE_NON_SYN_MISSES,
  SERVICE_RESETS_SENT,
  SERVICE_SYN_MISSES,
  SERVICE_UNFINISHED_CHECKSUMS,
} from '../../metrics/counters.ts';
import * as flow from '../../wire/flow.ts';
import { internetChecksum, tcpFrame } from '../packets.ts';
import { ROWS } from './packet-rows.ts';
import { BACKENDS, createRig } from './rig.ts';
import { rigOf } from './rows/row.ts';

const FLOWS = 600;

function clientFrame(port: number, flags: string): Uint8Array {
  return tcpFrame({ sourcePort: 10000 + port, flags });
}

describe('packet rows', () => {
  for (const row of ROWS) {
    test(row.name, () => {
      const rig = rigOf(row);
      for (const frame of row.before ?? []) rig.walk(frame);
      const outcome = rig.walk(row.in);
      assert.equal(outcome.exit, row.exit);
      const { frame } = outcome;
      assert.equal(frame === undefined, row.out === undefined, 'a frame leaves');
      if (frame === undefined || row.out === undefined) return;
      const backend = rig.backendOf(outcome) ?? 'none';
      assert.equal(hex(frame), hex(row.out(backend, frame)));
      if (row.backendOf === undefined) return;
      const stranger = rigOf(row);
      assert.equal(backend, stranger.backendOf(stranger.walk(row.backendOf)));
    });
  }

  test('each row is counted where its exit is shown: with a service, or with none', () => {
    for (const row of ROWS) {
      const rig = rigOf(row);
      for (const frame of row.before ?? []) rig.walk(frame);
      const { counters, exit, service } = rig.forwarder;
      const { exitBase } = rig.layout();
      const before = Float64Array.from(counters);
      rig.walk(row.in);
      const bases = EXITS[exit[0]!]!.ofService ? exitBase.slice(0, -1) : exitBase.slice(-1);
      const counted = bases.filter((base) => counters[base + exit[0]!]! > before[base + exit[0]!]!);
      assert.equal(counted.length, 1, `${row.name}: service ${service[0]}`);
    }
  });

  test('no two rows have a name in common', () => {
    assert.equal(new Set(ROWS.map(({ name }) => name)).size, ROWS.length);
  });

  test('each exit of the walk has a row', () => {
    const seen = new Set(ROWS.map((row) => row.exit));
    // These need a backend in trouble, time, or a full batch; tests below, expiry-reset.test.ts and pieces.test.ts have them.
    seen.add('drop: no-backend').add('drop: no-neighbour').add('reset: expired-connection');
    seen.add('drop: late-fragment').add('hold: too-big');
    const all = EXITS.map(({ verdict, reason }) => (verdict === 'forward' ? verdict : `${verdict}: ${reason}`));
    assert.deepEqual([...seen].sort(), all.sort());
  });

  test('the first exits are what parsing a flow returns', () => {
    assert.equal(EXITS[flow.NOT_IP].reason, 'not-ip');
    assert.equal(EXITS[flow.TRUNCATED].reason, 'truncated');
    assert.equal(EXITS[flow.BAD_IP_HEADER].reason, 'bad-ip-header');
    assert.equal(EXITS[flow.OTHER_PROTOCOL].reason, 'other-protocol');
    assert.equal(EXITS[flow.IP_OPTIONS].reason, 'ip-options');
    assert.equal(EXITS[flow.TTL_EXPIRED].reason, 'ttl-expired');
    assert.equal(EXITS[flow.FRAGMENT].reason, 'fragment');
    assert.equal(EXITS[flow.BAD_TCP_HEADER].reason, 'bad-tcp-header');
    assert.equal(EXITS[flow.BAD_UDP_HEADER].reason, 'bad-udp-header');
  });
});

describe('the three conditions', () => {
  const idle = 'conntrack: { idleTimeout: 10s, capacity: 4096 }';

  test('stateless: after an idle hour every packet finds its backend again, silently', () => {
    const rig = createRig({ service: idle });
    const before = Array.from({ length: FLOWS }, (_, i) => rig.backendOf(rig.walk(clientFrame(i, 'S'))));
    rig.sweep(3_600_000, 3_600_000);
    assert.equal(rig.count(SERVICE_ENTRIES), 0);
    assert.equal(rig.count(SERVICE_EXPIRED), FLOWS);
    const after = Array.from({ length: FLOWS }, (_, i) => rig.backendOf(rig.walk(clientFrame(i, 'PA'), 3_600_001)));
    assert.deepEqual(after, before);
    assert.equal(rig.count(SERVICE_NON_SYN_MISSES), FLOWS);
    assert.equal(rig.count(SERVICE_RESETS_SENT), 0);
    assert.equal(new Set(before).size, 3);
  });

  test('another balancer with the same backends in another order chooses the same', () => {
    const one = createRig();
    const other = createRig({ service: 'conntrack: { enabled: false }' });
    for (let i = 0; i < FLOWS; i++) {
      assert.equal(one.backendOf(one.walk(clientFrame(i, 'S'))), other.backendOf(other.walk(clientFrame(i, 'A'))));
    }
  });

  test('round-robin breaks the first: after the expiry two thirds come to a stranger', () => {
    const rig = createRig({ service: `scheduler: round-robin\n    ${idle}` });
    const before = Array.from({ length: FLOWS }, (_, i) => rig.backendOf(rig.walk(clientFrame(i, 'S'))));
    const order = Array.from({ length: FLOWS }, (_, i) => (i * 7919 + 13) % FLOWS);
    const lost = order.filter((i) => rig.backendOf(rig.walk(clientFrame(i, 'PA'), 20_000)) !== before[i]);
    assert.ok(lost.length > FLOWS * 0.6 && lost.length < FLOWS * 0.74, `${lost.length} of ${FLOWS}`);
  });

  test('round-robin with a table keeps a connection while its entry lives', () => {
    const rig = createRig({ service: 'scheduler: round-robin' });
    const before = Array.from({ length: 9 }, (_, i) => rig.backendOf(rig.walk(clientFrame(i, 'S'))));
    assert.deepEqual(before.slice(0, 3).sort(), Object.keys(BACKENDS));
    for (let i = 8; i >= 0; i--) assert.equal(rig.backendOf(rig.walk(clientFrame(i, 'A'))), before[i]);
  });

  test('stateful breaks the third: after the expiry every connection gets an RST', () => {
    const rig = createRig({ top: 'mode: stateful', service: idle });
    for (let i = 0; i < FLOWS; i++) assert.equal(rig.walk(clientFrame(i, 'S')).exit, 'forward');
    for (let i = 0; i < FLOWS; i++) assert.equal(rig.walk(clientFrame(i, 'A'), 9_999).exit, 'forward');
    for (let i = 0; i < FLOWS; i++)
      assert.equal(rig.walk(clientFrame(i, 'A'), 30_000).exit, 'reset: unknown-connection');
    assert.equal(rig.count(SERVICE_RESETS_SENT), FLOWS);
  });
});

describe('onMiss and profiles', () => {
  test('drop: after the expiry nothing comes back and nothing goes on, until a SYN', () => {
    const rig = createRig({ service: 'onMiss: drop\n    conntrack: { idleTimeout: 10s }' });
    rig.walk(clientFrame(0, 'S'));
    assert.equal(rig.walk(clientFrame(0, 'A'), 9_999).exit, 'forward');
    for (let i = 0; i < 5; i++) {
      assert.deepEqual(rig.walk(clientFrame(0, 'PA'), 30_000), { exit: 'drop: unknown-connection', frame: undefined });
    }
    assert.equal(rig.count(SERVICE_NON_SYN_MISSES), 5);
    assert.equal(rig.count(SERVICE_RESETS_SENT), 0);
    assert.equal(rig.walk(clientFrame(0, 'S'), 30_000).exit, 'forward');
    assert.equal(rig.walk(clientFrame(0, 'A'), 30_000).exit, 'forward');
  });

  const afterwards = { forward: 'forward', reset: 'reset: unknown-connection', drop: 'drop: unknown-connection' };
  for (const name of PROFILE_NAMES) {
    test(`${name}: a connection lives as long as the product says, and its next packet meets what it would there`, () => {
      const { idleTimeoutMs, onExpiry, onMiss } = profileOf(name);
      const timeout = idleTimeoutMs.value ?? 30 * 86_400_000;
      const rig = createRig({ service: `profile: ${name}\n    conntrack: { capacity: 64 }` });
      const first = rig.backendOf(rig.walk(clientFrame(0, 'S')));
      const second = rig.walk(clientFrame(0, 'A'), timeout - 1);
      assert.deepEqual([second.exit, rig.backendOf(second)], ['forward', first]);
      rig.sweep(2 * timeout - 1, timeout);
      assert.equal(rig.resets().length, onExpiry.value === 'reset' ? 2 : 0);
      assert.equal(rig.walk(clientFrame(0, 'PA'), 2 * timeout - 1).exit, afterwards[onMiss.value]);
      assert.equal(rig.count(SERVICE_HITS), 1);
    });
  }
});

describe('what the field learnt the hard way', () => {
  test('a SYN overwrites: a reused port is not pinned to the old backend', () => {
    const rig = createRig({ service: 'scheduler: round-robin' });
    const first = rig.backendOf(rig.walk(clientFrame(0, 'S')));
    const second = rig.backendOf(rig.walk(clientFrame(0, 'S')));
    assert.notEqual(second, first);
    assert.equal(rig.backendOf(rig.walk(clientFrame(0, 'A'))), second);
    assert.equal(rig.count(SERVICE_SYN_MISSES), 2);
    assert.equal(rig.count(SERVICE_HITS), 1);
  });

  test('an RST never makes an entry', () => {
    const rig = createRig();
    rig.walk(clientFrame(0, 'R'));
    rig.sweep(0, 0);
    assert.equal(rig.count(SERVICE_ENTRIES), 0);
  });

  test('FIN and RST shorten an entry, they do not delete it: only one direction is seen', () => {
    for (const flags of ['FA', 'RA']) {
      const rig = createRig({ top: 'mode: stateful' });
      rig.walk(clientFrame(0, 'S'));
      rig.walk(clientFrame(0, flags), 1_000);
      assert.equal(rig.walk(clientFrame(0, 'A'), 3_000).exit, 'forward');
      assert.equal(rig.walk(clientFrame(0, 'A'), 20_000).exit, 'reset: unknown-connection');
    }
  });

  test('a full table still forwards, by hash', () => {
    const rig = createRig({ service: 'conntrack: { capacity: 64 }' });
    const plain = createRig({ service: 'conntrack: { enabled: false }' });
    for (let i = 0; i < 5000; i++) {
      assert.equal(rig.backendOf(rig.walk(clientFrame(i, 'S'))), plain.backendOf(plain.walk(clientFrame(i, 'S'))));
    }
    rig.sweep(0, 0);
    assert.ok(rig.count(SERVICE_ENTRIES) <= 64);
  });

  test('hash source-ip sends all ports of a client to one backend, the table still tells them apart', () => {
    const rig = createRig({ service: 'hash: source-ip' });
    const backends = new Set(Array.from({ length: 100 }, (_, i) => rig.backendOf(rig.walk(clientFrame(i, 'S')))));
    assert.equal(backends.size, 1);
    rig.sweep(0, 0);
    assert.equal(rig.count(SERVICE_ENTRIES), 100);
  });

  test('a backend without a neighbour: its packets have a reason, the others flow', () => {
    const rig = createRig({ hopOf: (address) => (address === BACKENDS.b2.address ? null : {}) });
    const exits = new Set(Array.from({ length: 100 }, (_, i) => rig.walk(clientFrame(i, 'S')).exit));
    assert.deepEqual(exits, new Set(['forward', 'drop: no-neighbour']));
    assert.equal(rig.forwarder.counters[rig.layout().backendBase[0][1] + BACKEND_PACKETS], 0);
    assert.ok(rig.forwarder.counters[rig.layout().backendBase[0][0] + BACKEND_PACKETS] > 0);
  });

  test('a link with a smaller MTU counts what does not fit', () => {
    const rig = createRig({ hopOf: () => ({ mtu: 100 }) });
    assert.equal(rig.walk(tcpFrame({ payload: 'x'.repeat(40) })).exit, 'forward');
    assert.equal(rig.walk(tcpFrame({ payload: 'x'.repeat(41) })).exit, 'answer: too-big');
  });

  test('a checksum that the sender left to its network card is noticed on the SYN', () => {
    const rig = createRig();
    rig.walk(tcpFrame({ flags: 'S' }));
    assert.equal(rig.count(SERVICE_UNFINISHED_CHECKSUMS), 0);
    const unfinished = tcpFrame({ flags: 'S' });
    const pseudo = [...unfinished.subarray(26, 34), 0, 6, 0, unfinished.length - 34];
    const sum = 0xffff - internetChecksum(pseudo);
    unfinished[50] = sum >> 8;
    unfinished[51] = sum & 255;
    rig.walk(unfinished);
    assert.equal(rig.count(SERVICE_UNFINISHED_CHECKSUMS), 1);
  });

  test('the packets of one batch see each other: SYN and data together', () => {
    const rig = createRig({ top: 'mode: stateful' });
    const device = rig.forwarder;
    assert.equal(device.batch.capacity, 64);
    rig.walk(clientFrame(0, 'S'));
    assert.equal(rig.walk(clientFrame(0, 'PA')).exit, 'forward');
  });
});

describe('services without a backend', () => {
  test('all draining: a new connection has nowhere to go, and says so', () => {
    const rig = createRig();
    const [service] = rig.forwarder.state.services;
    service.lookupTable.fill(0xffff);
    assert.equal(rig.walk(clientFrame(0, 'S')).exit, 'drop: no-backend');
  });
});

function hex(frame: Uint8Array): string {
  return Buffer.from(frame)
    .toString('hex')
    .replace(/(.{32})/g, '$1\n');
}
