/**
 * A plan is what happens: its slots against two tables that are compared slot by slot, its connections against the forwarder,
 * which gets one connection for each slot before the change and a packet of each after it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildLookupTable } from '../../hashing/lookup-table.ts';
import { createMemoryDevice } from '../../io/memory-device.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { createWalk } from '../../lb/forwarder.ts';
import { createOfflineBalancer } from '../../lb/offline.ts';
import { prepare, prepareNext, ROOM_FOR_CHANGES } from '../../lb/prepare.ts';
import { type Plan, planOf, planOfFiles, type ServicePlan } from '../../plan/plan.ts';
import { chained } from '../chained-hash.ts';
import { bytesOfIp, bytesOfMac, OWN_MAC, tcpFrame } from '../packets.ts';

interface Backend {
  name: string;
  host: number;
  weight?: number;
  state?: 'active' | 'draining';
}

const TABLE_SIZE = 251;

function yaml(backends: readonly Backend[], service = '', top = ''): string {
  const list = backends.map(
    ({ name, host, weight = 1, state = 'active' }) =>
      `{ name: ${name}, address: 198.18.2.${host}, weight: ${weight}, state: ${state} }`,
  );
  return `
interface: eth0
${top}
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    tableSize: ${TABLE_SIZE}
    ${service}
    backends: [${list.join(', ')}]
`;
}

const configOf = (text: string) => parseConfig(text, 'test').config;

function webOf(before: string, after: string): ServicePlan {
  const [web] = planOfFiles(configOf(before), configOf(after)).services;
  return web;
}

/** A client port for each slot, by the documents: source address, source port and two zeros, hashed, modulo M. */
const PORTS = portsOfSlots();
function portsOfSlots(): number[] {
  const ports = new Array<number>(TABLE_SIZE).fill(0);
  for (let port = 1024; ports.includes(0); port++) {
    const key = Uint8Array.from([...bytesOfIp('192.0.2.7'), port >> 8, port & 255, 0, 0]);
    const slot = chained(key, 0) % TABLE_SIZE;
    if (ports[slot] === 0) ports[slot] = port;
  }
  return ports;
}

/** The host that each connection's packet goes to after the change; `withTable`: its first packet came before. */
function hostsAfter(before: string, after: string, withTable: boolean): { before: number[]; after: number[] } {
  const device = createMemoryDevice({ frameCount: 2, batchSize: 2 });
  const balancer = createOfflineBalancer({
    config: configOf(before),
    room: { services: 8, backends: 64 },
    device,
    ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)),
    hopOf: () => ({ mac: new Uint8Array(6), source: Uint8Array.of(198, 18, 2, 99), mtu: 1500 }),
  });
  const walk = createWalk(balancer.forwarder);
  const hostOf = (sourcePort: number, flags: string): number => {
    device.sent.length = 0;
    device.inject(tcpFrame({ sourcePort, flags }));
    device.receive(0);
    walk(1);
    device.send();
    // The last byte of the outer destination; hushlb's own RST has no outer header, and goes to nobody's host.
    return device.sent.length === 0 || device.sent[0][23] !== 4 ? 0 : device.sent[0][33];
  };
  const first = PORTS.map((port) => hostOf(port, 'S'));
  const between = after.replace('name: web', 'name: other');
  if (!withTable) balancer.takeOver(configOf(between), 1);
  balancer.takeOver(configOf(after), 1);
  return { before: first, after: PORTS.map((port) => hostOf(port, 'A')) };
}

const lostIn = ({ before, after }: { before: number[]; after: number[] }): number =>
  before.filter((host, i) => host !== 0 && host !== after[i]).length;

const backends = fc
  .tuple(
    ...[1, 2, 3, 4, 5].map((host) =>
      fc.record({
        name: fc.constant(`b${host}`),
        // Now and then the host behind a name is another one, or another backend's of before.
        host: fc.constantFrom(host, host, host, host + 1, host + 10),
        weight: fc.integer({ min: 1, max: 4 }),
        state: fc.constantFrom('active' as const, 'active' as const, 'draining' as const),
      }),
    ),
  )
  .chain((all) => fc.subarray(all, { minLength: 1 }))
  .filter((some) => new Set(some.map(({ host }) => host)).size === some.length);

test('connections that break are those whose packets the forwarder sends to another host', () => {
  let [lostWith, lostWithout] = [0, 0];
  fc.assert(
    fc.property(backends, backends, fc.constantFrom('forward', 'reset'), (old, next, onMiss) => {
      const [before, after] = [yaml(old), yaml(next, `onMiss: ${onMiss}`)];
      const { connections } = webOf(before, after);
      // A share is of all slots: those of nobody have no connections.
      const withTable = lostIn(hostsAfter(before, after, true));
      assert.equal(Math.round((connections?.withTable ?? 0) * TABLE_SIZE), withTable);
      lostWith += withTable;
      if (onMiss !== 'forward') return;
      const withoutTable = lostIn(hostsAfter(before, after, false));
      assert.equal(Math.round((connections?.withoutTable ?? 0) * TABLE_SIZE), withoutTable);
      lostWithout += withoutTable;
    }),
    { numRuns: 60 },
  );
  assert.ok(lostWith > 0 && lostWithout > 0, `${lostWith} with the table, ${lostWithout} without`);
});

test('slots that move are those in which two tables differ', () => {
  fc.assert(
    fc.property(backends, backends, (old, next) => {
      const { slots, moves, backends: load } = webOf(yaml(old), yaml(next));
      const [before, after] = [old, next].map((list) => {
        const table = buildLookupTable(
          list.filter(({ state }) => state === 'active').map(({ name, weight = 1 }) => ({ name, weight })),
          TABLE_SIZE,
        );
        return [...table.entries].map((entry) => table.backends[entry] ?? null);
      });
      const expected = new Map<string, number>();
      for (const [slot, from] of before.entries()) {
        const key = `${from} ${after[slot]}`;
        if (from !== after[slot]) expected.set(key, (expected.get(key) ?? 0) + 1);
      }
      assert.deepEqual(new Map(moves.map(({ from, to, slots: count }) => [`${from} ${to}`, count])), expected);
      const sum = [...expected.values()].reduce((a, b) => a + b, 0);
      assert.deepEqual([slots?.of, slots?.moved], [TABLE_SIZE, sum]);
      assert.ok(Math.abs((slots?.share ?? 0) - sum / TABLE_SIZE) < 1e-9);
      for (const { name, before: old, after: next } of load) {
        const parts = (table: (string | null)[]) => table.filter((each) => each === name).length / TABLE_SIZE;
        assert.ok(Math.abs((old?.share ?? 0) - parts(before)) < 1e-9);
        assert.ok(Math.abs((next?.share ?? 0) - parts(after)) < 1e-9);
      }
    }),
    { numRuns: 60 },
  );
});

const THREE: Backend[] = [
  { name: 'b1', host: 1 },
  { name: 'b2', host: 2 },
  { name: 'b3', host: 3 },
];
const BASE = yaml(THREE);

test('nothing moves where nothing does: the order of the file, an idle timeout', () => {
  const plan = planOfFiles(configOf(BASE), configOf(yaml(THREE.toReversed(), 'conntrack: { idleTimeout: 9s }')));
  assert.equal(plan.moves, false);
  assert.deepEqual(
    plan.services[0].settings.map(({ key, before, after }) => [key, before, after]),
    [['conntrack.idleTimeout', '60s', '9s']],
  );
  assert.equal(
    planOfFiles(configOf(yaml(THREE, 'scheduler: round-robin')), configOf(yaml(THREE, 'scheduler: round-robin'))).moves,
    false,
  );
});

const moving: [what: string, after: string, check: (plan: Plan, web: ServicePlan) => void][] = [
  [
    'another seed: a restart, and all is dealt anew',
    yaml(THREE, '', 'hashSeed: 7'),
    (plan, { slots, connections }) => {
      assert.ok(plan.needsRestart);
      assert.deepEqual(
        plan.settings.map(({ key }) => key),
        ['hashSeed'],
      );
      assert.equal(slots?.moved, null);
      for (const share of [slots?.share, connections?.withTable, connections?.withoutTable]) {
        assert.ok(share !== undefined && Math.abs(share - 2 / 3) < 0.01, `${share}`);
      }
    },
  ],
  [
    'another hash, another table size: entries keep what is dealt anew',
    yaml(THREE, 'hash: source-ip'),
    (plan, { slots, connections }) => {
      assert.ok(!plan.needsRestart);
      assert.equal(slots?.moved, null);
      assert.equal(connections?.withTable, 0);
      assert.ok(Math.abs((connections?.withoutTable ?? 0) - 2 / 3) < 0.01);
    },
  ],
  [
    'another port: all connections',
    BASE.replace('port: 80', 'port: 81'),
    (_, { status, connections }) => {
      assert.equal(status, 'moved');
      assert.deepEqual([connections?.withTable, connections?.withoutTable], [1, 1]);
    },
  ],
  [
    'another name on the same port: hashed as before, without the entries',
    BASE.replace('name: web', 'name: site').replace('name: b1', 'name: c1'),
    (plan, { status, connections }) => {
      assert.equal(plan.services.length, 1);
      assert.equal(status, 'renamed');
      assert.ok((connections?.withTable ?? 0) > 0 && connections?.withTable === connections?.withoutTable);
    },
  ],
  [
    'a backend with another address: its connections, though no slot moves',
    BASE.replace('198.18.2.2', '198.18.2.22'),
    (_, { slots, connections, notes }) => {
      assert.equal(slots?.moved, 0);
      assert.ok(Math.abs((connections?.withTable ?? 0) - 1 / 3) < 0.01);
      assert.match(notes.join(), /b2 is another host: 198\.18\.2\.2 → 198\.18\.2\.22/);
    },
  ],
  [
    'a connection table that is switched off',
    yaml(THREE.slice(1), 'conntrack: { enabled: false }'),
    (_, { connections }) => assert.equal(connections?.withTable, connections?.withoutTable),
  ],
];
for (const [what, after, check] of moving) {
  test(what, () => {
    const plan = planOfFiles(configOf(BASE), configOf(after));
    assert.ok(plan.moves);
    check(plan, plan.services[0]);
  });
}

test('services that come and go', () => {
  const after = BASE.replace(
    'services:',
    `services:\n  - { name: api, vip: 198.18.10.1, port: 443, backends: [{ name: a1, address: 198.18.2.9 }] }`,
  );
  const added = planOfFiles(configOf(BASE), configOf(after));
  assert.deepEqual(
    added.services.map(({ name, status, connections }) => [name, status, connections?.withTable ?? null]),
    [
      ['web', 'same', 0],
      ['api', 'added', null],
    ],
  );
  const removed = planOfFiles(configOf(after), configOf(BASE));
  assert.deepEqual(
    removed.services.map(({ name, status, connections }) => [name, status, connections?.withTable]),
    [
      ['api', 'removed', 1],
      ['web', 'same', 0],
    ],
  );
  assert.ok(added.moves && removed.moves);
});

test('entries are counted by whose they are, and who is down already has none to lose', () => {
  const before = prepareNext(configOf(BASE), prepare(configOf(BASE), ROOM_FOR_CHANGES), 0, new Set(['web/b3']));
  const counts = ['b1', 'b2', 'b3'].map((backend, i) => ({ service: 'web', backend, entries: 10 ** (i + 1) }));
  const { services } = planOf(before, configOf(yaml(THREE.slice(1))), 1, counts);
  assert.deepEqual(services[0].connections?.entries, { now: 1110, broken: 10 });
  const [web] = planOf(before, configOf(yaml(THREE.slice(0, 2))), 1, counts).services;
  assert.deepEqual(web.connections?.entries, { now: 1110, broken: 0 });
});
