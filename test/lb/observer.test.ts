/** What a worker tells of connections while somebody follows, on the real forwarder: each event held against the packets sent. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMemoryDevice } from '../../io/memory-device.ts';
import { createWalk } from '../../lb/forwarder.ts';
import { saidOf } from '../../lb/observations.ts';
import type { Observations } from '../../lb/observed-rows.ts';
import { createObserver } from '../../lb/observer.ts';
import { prepare, prepareNext } from '../../lb/prepare.ts';
import { tcpFrame } from '../packets.ts';
import { tcp6Frame } from '../packets6.ts';
import { backendYaml, balancerOn, parsedConfig, type RigConfig } from './rig.ts';

const ROOM = { services: 8, backends: 64 };
const SIX = '{ name: six, vip: "2001:db8:10::1", port: 80, backends: [{ name: s1, address: "2001:db8:2::1" }] }';

function watched(config: RigConfig & { hopOf?: () => null } = {}) {
  const options = { others: [SIX], service: 'conntrack: { capacity: 4096, idleTimeout: 60s }', ...config };
  const device = createMemoryDevice({ frameCount: 256, frameSize: 4096, batchSize: 64 });
  const balancer = balancerOn(device, options);
  const { forwarder } = balancer;
  const walk = createWalk(forwarder);
  const posts: Observations[] = [];
  let isFollowed = true;
  let asked = 0;
  let prepared = prepare(parsedConfig(options), ROOM);
  const observer = createObserver(
    forwarder,
    () => isFollowed,
    (observations) => posts.push(observations),
  );
  return {
    device,
    posts,
    observer,
    forwarder,
    follow: (wanted: boolean) => (isFollowed = wanted),
    batch(frames: readonly Uint8Array[], now = 0) {
      for (const frame of frames) device.inject(frame);
      device.receive(0);
      observer.before();
      walk(now);
      observer.after(now);
      device.send();
    },
    takeOver(next: RigConfig) {
      const after = parsedConfig({ ...options, ...next });
      balancer.takeOver(after, 0);
      prepared = prepareNext(after, prepared, 0);
    },
    /** All that was told by `now`. */
    events(now?: number) {
      asked += 10_000;
      observer.flush(now ?? asked);
      return posts.splice(0).flatMap((observations) => saidOf(observations, 0, prepared));
    },
  };
}

const client = (i: number) => `198.18.1.${1 + (i % 200)}`;
const port = (i: number) => 10_000 + i;
const frameOf = (i: number, flags = 'A') => tcpFrame({ source: client(i), sourcePort: port(i), flags });
const six = (sourcePort: number, flags = 'A') =>
  tcp6Frame({ source: '2001:db8:1::7', sourcePort, destination: '2001:db8:10::1', destinationPort: 80, flags });
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('events of connections', () => {
  test('a packet of an unknown connection is a pick-up, the next ones and new connections are nothing', () => {
    const { batch, events, forwarder } = watched();
    batch([frameOf(1), frameOf(2, 'S'), six(1000), six(1001, 'S')]);
    const backend = `b${forwarder.backend[0] + 1}`;
    batch([frameOf(1), frameOf(2), six(1000), six(1001)]);
    const told = events();
    assert.deepEqual(
      told.map(({ kind, service, client: from }) => [kind, service, from]),
      [
        ['pickup', 'web', `${client(1)}:${port(1)}`],
        ['pickup', 'six', '[2001:db8:1::7]:1000'],
      ],
    );
    assert.equal(told[0].backend, backend);
    assert.match(told[0].reason, new RegExp(`sent to ${backend} by hash`));
  });

  test('several packets of an unknown connection in one batch are one pick-up: told, or at least counted', () => {
    const { batch, events } = watched();
    batch([frameOf(1), frameOf(1), frameOf(2)]);
    const told = events();
    const pickups = told.filter(({ kind }) => kind === 'pickup').length;
    const counted = told.reduce((sum, { count = 0 }) => sum + count, 0);
    assert.equal(pickups + counted, 2);
    assert.ok(pickups >= 1);
  });

  test('mode stateful: each RST with its client, of both families', () => {
    const { batch, events } = watched({ top: 'mode: stateful' });
    batch([frameOf(1), six(1000), frameOf(2, 'R'), frameOf(3, 'S')]);
    assert.deepEqual(
      events().map(({ kind, client: from }) => [kind, from]),
      [
        ['reset', `${client(1)}:${port(1)}`],
        ['reset', '[2001:db8:1::7]:1000'],
        ['dropped', `${client(2)}:${port(2)}`],
      ],
    );
  });

  test('a drop says why, and which backend it was for', () => {
    const { batch, events } = watched({ hopOf: () => null });
    batch([frameOf(1, 'S')]);
    const [event] = events();
    assert.equal(event.kind, 'dropped');
    assert.match(event.backend ?? '', /^b[123]$/);
    assert.match(event.reason, /no neighbour/);
  });

  test('a mismatch is told once a connection, with both backends', () => {
    const { batch, events, takeOver, forwarder } = watched();
    const flows = range(40);
    batch(flows.map((i) => frameOf(i, 'S')));
    const ofB2 = flows.filter((i) => forwarder.backend[i] === 1);
    assert.ok(ofB2.length > 0);
    assert.deepEqual(events(), []);
    takeOver({ backends: [backendYaml('b1'), backendYaml('b2', 'state: draining'), backendYaml('b3')] });
    for (const now of [1, 2, 3])
      batch(
        flows.map((i) => frameOf(i)),
        now,
      );
    const told = events().filter(({ backend }) => backend === 'b2');
    assert.deepEqual(told.map(({ client: from }) => from).sort(), ofB2.map((i) => `${client(i)}:${port(i)}`).sort());
    for (const { kind, reason } of told) {
      assert.equal(kind, 'mismatch');
      assert.match(reason, /the table says b2, the hash alone b[13]/);
    }
  });

  test('an entry that makes room is an eviction, with the newcomer where there is only one', () => {
    const { batch, events } = watched({ service: 'conntrack: { capacity: 1024, idleTimeout: 60s }' });
    let evictions = 0;
    for (const i of range(4000)) {
      batch([frameOf(i, 'S')], i);
      for (const { kind, client: from, count = 0 } of events(20_000 + 1000 * i)) {
        if (kind === 'eviction') assert.equal(from, `${client(i)}:${port(i)}`);
        evictions += kind === 'eviction' ? 1 : count;
      }
    }
    // All beyond the capacity, but for those that found no room.
    assert.ok(evictions > 2000, `${evictions}`);
  });

  test('nobody follows: nothing is told, and what happened then is not told later', () => {
    const { batch, events, follow } = watched();
    follow(false);
    batch(range(10).map((i) => frameOf(i)));
    follow(true);
    batch([frameOf(100)]);
    assert.deepEqual(
      events().map(({ kind, client: from }) => [kind, from]),
      [['pickup', `${client(100)}:${port(100)}`]],
    );
  });

  test('10,000 a second: as many are told as a second has room for, and the others counted exactly', () => {
    const { batch, observer, posts } = watched({ service: 'conntrack: { capacity: 65536, idleTimeout: 60s }' });
    const all = range(10_000);
    let now = 5000;
    observer.flush(now);
    for (let at = 0; at < all.length; at += 50) {
      now += 5;
      batch(
        all.slice(at, at + 50).map((i) => frameOf(i)),
        now,
      );
      observer.flush(now);
    }
    observer.flush(now + 2000);
    const told = posts.flatMap(({ rows }) => [...rows]).length / 10;
    const counted = posts.reduce((sum, { leftOut }) => sum + (leftOut?.[0] ?? 0), 0);
    assert.equal(told + counted, 10_000);
    assert.ok(told >= 1000 && told <= 2000, `${told} in a second and what began the next`);
    assert.ok(posts.length <= 45, `${posts.length} messages in 1 s`);
  });

  test('packets beyond what a second looks at are counted as not compared', () => {
    const { batch, observer, posts } = watched();
    batch([frameOf(1, 'S')]);
    observer.flush(2000);
    const frames = range(64).map(() => frameOf(1));
    for (let sent = 0; sent < 25_600; sent += 64) batch(frames, 2001);
    observer.flush(4000);
    assert.equal(posts.at(-1)?.unseen, 5600);
  });

  test('the walk is the same with an observer and without', () => {
    const [seen, unseen] = [watched(), watched()];
    unseen.follow(false);
    const tag = (frame: Uint8Array) =>
      Uint8Array.from([...frame.subarray(0, 12), 0x81, 0, 0, 7, ...frame.subarray(12)]);
    const frames = range(60).map((i) => {
      const frame = i % 2 === 0 ? frameOf(i, ['S', 'A', 'FA', 'R'][i % 4]) : six(i, ['S', 'A', 'FA', 'R'][i % 4]);
      return i % 3 === 0 ? tag(frame) : frame;
    });
    for (const now of [0, 1, 70_000]) {
      for (const { batch } of [seen, unseen]) batch(frames, now);
    }
    assert.equal(seen.device.sent.length, 180);
    assert.deepEqual(seen.device.sent, unseen.device.sent);
    assert.deepEqual(seen.forwarder.counters, unseen.forwarder.counters);
    assert.deepEqual(
      seen.events().filter(({ client: from }) => from === undefined),
      [],
    );
  });

  test('watching packets leaves nothing on the heap', () => {
    const { batch, device, observer } = watched();
    const frames = range(64).map((i) => frameOf(i));
    const { length } = frames;
    const pass = () => {
      for (let i = 0; i < 500; i++) {
        // Without the device, which allocates: the batch of the pass before is as it was.
        device.batch.count = length;
        observer.before();
        observer.after(1);
      }
    };
    batch(frames);
    for (let i = 0; i < 20; i++) pass();
    const growths = range(9)
      .map(() => {
        const before = process.memoryUsage().heapUsed;
        pass();
        return process.memoryUsage().heapUsed - before;
      })
      .sort((a, b) => a - b);
    assert.ok(growths[4] < 100_000, `${growths[4]} bytes in 32,000 packets`);
  });
});
