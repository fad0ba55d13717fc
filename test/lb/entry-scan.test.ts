/** Questions about connection tables, as a worker answers them: on the real forwarder, in its pieces, with the names on top. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createAsking } from '../../lb/ask.ts';
import type { EntryQuery } from '../../lb/entry-query.ts';
import { createEntryScan } from '../../lb/entry-scan.ts';
import { prepare, prepareNext } from '../../lb/prepare.ts';
import { SERVICE_EVICTED, SERVICE_EXPIRED, SERVICE_NON_SYN_MISSES } from '../../metrics/counters.ts';
import { tcpFrame } from '../packets.ts';
import { tcp6Frame } from '../packets6.ts';
import { backendYaml, createRig, parsedConfig, type RigConfig } from './rig.ts';

const ROOM = { services: 8, backends: 64 };
const DNS = `{ name: dns, vip: 198.18.10.2, port: 5000-6000, protocol: tcp, backends: [${backendYaml('b1')}] }`;
const SIX = '{ name: six, vip: "2001:db8:10::1", port: 80, backends: [{ name: s1, address: "2001:db8:2::1" }] }';

function asked(config: RigConfig = {}) {
  const rig = createRig({ others: [DNS, SIX], service: 'conntrack: { capacity: 4096, idleTimeout: 60s }', ...config });
  let prepared = prepare(parsedConfig({ others: [DNS, SIX], ...config }), ROOM);
  let now = 0;
  let pieces = 0;
  const scan = createEntryScan(rig.forwarder, (report) => asking.tell(0, report));
  const asking = createAsking(
    1,
    () => prepared,
    (_, query: EntryQuery) => {
      scan.accept(query);
      setImmediate(() => {
        for (; scan.isBusy; pieces++) scan.work(now);
      });
      return true;
    },
  );
  return {
    rig,
    asking,
    pieces: () => pieces,
    at: (ms: number) => (now = ms),
    ask: asking.ask,
    takeOver(next: RigConfig) {
      rig.takeOver({ others: [DNS, SIX], ...next });
      prepared = prepareNext(parsedConfig({ others: [DNS, SIX], ...next }), prepared, 0);
    },
  };
}

const client = (i: number) => `198.18.1.${1 + (i % 200)}`;
const port = (i: number) => 40_000 + i;
const frameOf = (i: number, flags = 'S', destinationPort = 80, destination = '198.18.10.1') =>
  tcpFrame({ source: client(i), sourcePort: port(i), destination, destinationPort, flags });

describe('what a worker says of its connection tables', () => {
  test('list: each connection with the backend that its packets went to, and its times', async () => {
    const { rig, ask, at } = asked();
    const backends = Array.from({ length: 300 }, (_, i) => rig.backendOf(rig.walk(frameOf(i), 1000)));
    rig.walk(frameOf(7, 'A'), 3000);
    rig.walk(frameOf(8, 'FA'), 3000);
    at(4000);
    const { entries, matched } = await ask({ kind: 'list', filter: {}, limit: 1000 });
    assert.equal(matched, 300);
    assert.deepEqual(
      entries.map((entry) => `${entry.client}:${entry.port} ${entry.backend}`).sort(),
      backends.map((backend, i) => `${client(i)}:${port(i)} ${backend}`).sort(),
    );
    const { idleMs, remainingMs, proven, closing, service, servicePort, divergent } = entries.find(
      (entry) => entry.port === port(7),
    )!;
    assert.deepEqual(
      { idleMs, remainingMs, proven, closing, service, servicePort, divergent },
      {
        idleMs: 1000,
        remainingMs: 59_000,
        proven: true,
        closing: false,
        service: 'web',
        servicePort: undefined,
        divergent: false,
      },
    );
    const ended = entries.find((entry) => entry.port === port(8))!;
    assert.deepEqual([ended.closing, ended.remainingMs], [true, 4000]);
    assert.equal(entries.find((entry) => entry.port === port(9))!.proven, false);
  });

  test('list: filters, and a limit that still counts', async () => {
    const { rig, ask } = asked();
    const backends = Array.from({ length: 300 }, (_, i) => rig.backendOf(rig.walk(frameOf(i))));
    const count = async (filter: object) => (await ask({ kind: 'list', filter, limit: 5 })).matched;
    assert.equal(await count({ backend: 'b2' }), backends.filter((backend) => backend === 'b2').length);
    assert.equal(await count({ client: client(3) }), 2, 'clients 3 and 203 are one');
    assert.equal(await count({ client: client(3), port: port(203) }), 1);
    assert.equal(await count({ service: 'dns' }), 0);
    const { entries, matched } = await ask({ kind: 'list', filter: { service: 'web' }, limit: 5 });
    assert.deepEqual([entries.length, matched], [5, 300]);
  });

  test('no piece is longer than 256 slots', async () => {
    const { rig, ask, pieces } = asked();
    rig.walk(frameOf(1));
    await ask({ kind: 'list', filter: { service: 'web' }, limit: 1 });
    // Two slots for each of 4,096 connections.
    assert.equal(pieces(), 32);
  });

  test('names that nobody has are refused in one line', async () => {
    const { ask } = asked();
    await assert.rejects(ask({ kind: 'flush', filter: { service: 'wbe' } }), {
      code: 'UNKNOWN_SERVICE',
      message: /dns, six, web/,
    });
    await assert.rejects(ask({ kind: 'flush', filter: { backend: 'b9' } }), {
      code: 'UNKNOWN_BACKEND',
      message: /b1, s1, b2/,
    });
    await assert.rejects(ask({ kind: 'flush', filter: { client: '1.2.3' } }), { code: 'CLIENT_INVALID' });
  });

  test('flush: forgotten silently, and placed by hash again', async () => {
    const { rig, ask } = asked();
    const before = Array.from({ length: 100 }, (_, i) => rig.backendOf(rig.walk(frameOf(i))));
    const { flushed } = await ask({ kind: 'flush', filter: { backend: 'b1' } });
    assert.equal(flushed, before.filter((backend) => backend === 'b1').length);
    assert.equal((await ask({ kind: 'list', filter: {}, limit: 0 })).matched, 100 - flushed);
    assert.deepEqual([rig.count(SERVICE_EXPIRED), rig.count(SERVICE_EVICTED)], [0, 0]);
    assert.deepEqual(
      Array.from({ length: 100 }, (_, i) => rig.backendOf(rig.walk(frameOf(i, 'A')))),
      before,
    );
    assert.equal(rig.count(SERVICE_NON_SYN_MISSES), flushed);
  });

  test('lookup: one connection, also of a service with many ports; it does not count as seen', async () => {
    const { rig, ask, at } = asked();
    const backend = rig.backendOf(rig.walk(frameOf(1)));
    rig.walk(frameOf(2, 'S', 5678, '198.18.10.2'));
    at(59_999);
    const look = (service: string, i: number) => ask({ kind: 'lookup', service, client: client(i), port: port(i) });
    const { entry } = await look('web', 1);
    assert.deepEqual([entry?.backend, entry?.client, entry?.remainingMs], [backend, client(1), 1]);
    assert.equal((await look('dns', 2)).entry?.servicePort, 5678);
    assert.equal((await look('dns', 1)).entry, null);
    at(60_000);
    assert.equal((await look('web', 1)).entry, null);
  });

  test('IPv6: the address is not in the table, and finds its entries all the same', async () => {
    const { rig, ask } = asked();
    const source = '2001:db8:1::7';
    for (const sourcePort of [1000, 1001]) {
      rig.walk(tcp6Frame({ source, sourcePort, destination: '2001:db8:10::1', destinationPort: 80, flags: 'S' }));
    }
    rig.walk(frameOf(1));
    const all = await ask({ kind: 'list', filter: { service: 'six' }, limit: 10 });
    assert.deepEqual(
      all.entries.map((entry) => [entry.client, entry.backend, entry.divergent]),
      [
        [null, 's1', undefined],
        [null, 's1', undefined],
      ],
    );
    const filtered = await ask({ kind: 'list', filter: { client: source, port: 1001 }, limit: 10 });
    assert.deepEqual(
      filtered.entries.map((entry) => [entry.client, entry.port]),
      [[source, 1001]],
    );
    assert.equal((await ask({ kind: 'list', filter: { client: '2001:db8:1::8' }, limit: 1 })).matched, 0);
    const found = await ask({ kind: 'lookup', service: 'six', client: source, port: 1000 });
    assert.deepEqual([found.entry?.backend, found.entry?.client], ['s1', source]);
  });

  test('count and divergence: what the hash would send elsewhere since a backend went', async () => {
    const { rig, ask, takeOver } = asked();
    const before = Array.from({ length: 200 }, (_, i) => rig.backendOf(rig.walk(frameOf(i))));
    const none = await ask({ kind: 'count' });
    assert.equal(
      none.counts.reduce((sum, { divergent }) => sum + (divergent ?? 0), 0),
      0,
    );
    takeOver({ backends: [backendYaml('b1'), backendYaml('b2', 'state: draining'), backendYaml('b3')] });
    const { counts } = await ask({ kind: 'count', filter: { service: 'web' } });
    const held = (name: string) => before.filter((backend) => backend === name).length;
    assert.deepEqual(
      counts.map(({ backend, entries }) => [backend, entries]).sort(),
      ['b1', 'b2', 'b3'].map((name) => [name, held(name)]),
    );
    const ofB2 = counts.find(({ backend }) => backend === 'b2');
    assert.equal(ofB2?.divergent, held('b2'), 'a draining backend has no slot, so all of its connections diverge');
    // The balancer without its table is the judge: who goes elsewhere by hash alone.
    const bare = createRig({
      service: 'conntrack: { enabled: false }',
      backends: [backendYaml('b1'), backendYaml('b2', 'state: draining'), backendYaml('b3')],
    });
    const moved = before.filter((backend, i) => bare.backendOf(bare.walk(frameOf(i))) !== backend).length;
    const listed = await ask({ kind: 'list', filter: { divergent: true }, limit: 1000 });
    assert.equal(listed.matched, moved);
    assert.ok(listed.entries.every(({ divergent }) => divergent));
  });

  test('a service that goes meanwhile is left out, and a worker that ends answers nobody', async () => {
    const { rig, asking, ask } = asked();
    rig.walk(frameOf(1));
    const listed = ask({ kind: 'list', filter: {}, limit: 10 });
    rig.takeOver({});
    assert.equal((await listed).matched, 1);
    const unanswered = ask({ kind: 'count' });
    asking.gone(0);
    await assert.rejects(unanswered, { code: 'WORKER_GONE' });
    await assert.rejects(ask({ kind: 'count' }), { code: 'WORKER_GONE' });
  });
});
