/** Every kind of change in the kernel is told, also when its queue ran over. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { readNeighbours } from '../../io/neighbours.ts';
import { type NetworkChange, watchNetwork } from '../../io/network-watch.ts';
import {
  addressBytes,
  ip,
  ipBatch,
  macBytes,
  makeTwoHosts,
  needsRoot,
  openDescriptors,
  sysctl,
  type TwoHosts,
  until,
} from './two-hosts.ts';

describe('watchNetwork', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  before(async () => {
    hosts = makeTwoHosts();
    // What follows a new link by itself: the kernel tells some of it a second later.
    seen = [];
    watch = inNamespace(hosts.left, () => watchNetwork((kind) => seen.push(kind)));
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await quiet();
    watch.close();
  });
  after(() => hosts.remove());

  let seen: NetworkChange[];
  let watch: { close(): void };
  let keptAlive: NodeJS.Timeout; // a watch does not do that, node:test does not either
  beforeEach(() => {
    seen = [];
    watch = inNamespace(hosts.left, () => watchNetwork((kind) => seen.push(kind)));
    keptAlive = setInterval(() => {}, 1000);
  });
  afterEach(() => {
    watch.close();
    clearInterval(keptAlive);
  });

  const left = (...args: string[]) => ip('-n', hosts.left, ...args);
  const report = (kind: NetworkChange) => until(`a change of a ${kind}`, () => seen.includes(kind));

  /** Until nothing was reported for a while. */
  const quiet = async () => {
    for (let count = -1; count !== seen.length; ) {
      count = seen.length;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  };

  test('silence while nothing changes', async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(seen, []);
  });

  test('routes that come, change and go, of both families', async () => {
    for (const [verb, via] of [
      ['add', '198.18.0.2'],
      ['replace', '198.18.0.3'],
      ['delete', '198.18.0.3'],
      ['add', '2001:db8::2'],
    ] as const) {
      seen = [];
      left('route', verb, via.includes(':') ? '2001:db8:9::/64' : '198.18.9.0/24', 'via', via);
      await report('route');
      assert.deepEqual([...new Set(seen)], ['route'], verb);
    }
  });

  test("a next hop that changes below its route is the route's change", async () => {
    left('nexthop', 'add', 'id', '5', 'via', '198.18.0.2', 'dev', 'left');
    await report('route');
    seen = [];
    left('nexthop', 'replace', 'id', '5', 'via', '198.18.0.3', 'dev', 'left');
    await report('route');
  });

  test('addresses and links', async () => {
    left('address', 'add', '198.18.8.1/24', 'dev', 'left');
    await report('address');
    left('address', 'add', '2001:db8:8::1/64', 'dev', 'left', 'nodad');
    await until('both', () => seen.filter((kind) => kind === 'address').length >= 2);
    seen = [];
    left('link', 'set', 'left', 'mtu', '1400');
    await report('link');
    seen = [];
    ip('-n', hosts.right, 'link', 'set', 'right', 'down');
    await report('link');
    seen = [];
    ip('-n', hosts.right, 'link', 'set', 'right', 'up');
    // Up to a second later: both ends have the same index, by which the kernel takes the news for no urgent one.
    await report('link');
    await quiet();
  });

  test("a peer's new MAC: the change is reported, and the table has it by then", async () => {
    left('neighbour', 'replace', '198.18.0.2', 'lladdr', '02:00:00:00:00:01', 'nud', 'stale', 'dev', 'left');
    await report('neighbour');
    seen = [];
    sysctl(hosts.right, 'ipv4/conf/right/arp_notify', 1);
    ip('-n', hosts.right, 'link', 'set', 'right', 'address', '02:00:00:00:00:02');
    await report('neighbour');
    const table = inNamespace(hosts.left, readNeighbours);
    const peer = table.find(({ address }) => String(address) === String(addressBytes('198.18.0.2')));
    assert.deepEqual(peer?.mac, macBytes('02:00:00:00:00:02'));
  });

  test('a burst is reported once for each kind', async () => {
    const lines = Array.from({ length: 50 }, (_, i) => `route add 198.18.10.${i}/32 dev left\n`);
    await quiet();
    seen = [];
    ipBatch(hosts.left, lines); // this thread waits for it, so all of it is there when the event loop looks
    await report('route');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(seen, ['route']);
  });

  test('when the kernel had to leave messages out, everything changed, and the watch goes on', async () => {
    const lines = (verb: string) =>
      Array.from({ length: 5000 }, (_, i) => `route ${verb} 198.19.${i >> 8}.${i & 255} dev left\n`);
    for (const verb of ['add', 'delete']) {
      seen = [];
      ipBatch(hosts.left, lines(verb));
      for (const kind of ['neighbour', 'route', 'link', 'address'] as const) await report(kind);
    }
    await quiet();
    seen = [];
    left('route', 'add', '198.18.11.0/24', 'dev', 'left');
    await report('route');
    assert.deepEqual(seen, ['route']);
  });

  test('a change right after a loss is not lost', async () => {
    // Until its queue was empty the kernel drops without a word: who reports a loss too early misses this neighbour.
    let later: NetworkChange[] | undefined;
    let first = true;
    const other = inNamespace(hosts.left, () =>
      watchNetwork((kind) => {
        later?.push(kind);
        if (!first) return;
        first = false;
        left('neighbour', 'add', '198.18.0.55', 'lladdr', '02:00:00:00:00:55', 'nud', 'permanent', 'dev', 'left');
        setImmediate(() => {
          later = [];
        });
      }),
    );
    ipBatch(
      hosts.left,
      Array.from({ length: 5000 }, (_, i) => `route add 198.19.${i >> 8}.${i & 255} dev left\n`),
    );
    await until('the neighbour', () => later?.includes('neighbour') === true);
    other.close();
  });

  test('nothing comes after close, not even the rest of a burst', async () => {
    const count = openDescriptors();
    const late: NetworkChange[] = [];
    const other = inNamespace(hosts.left, () =>
      watchNetwork((kind) => {
        late.push(kind);
        other.close();
      }),
    );
    left('link', 'add', 'extra', 'up', 'type', 'bridge');
    left('address', 'add', '198.18.12.1/24', 'dev', 'extra');
    await report('link');
    await report('address');
    assert.equal(late.length, 1);
    other.close();
    left('link', 'delete', 'extra');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(late.length, 1);
    assert.equal(openDescriptors(), count);
  });

  test('an exception from the listener reaches the process, and the watch goes on', async () => {
    const script = `
      import { execFileSync } from 'node:child_process';
      import { watchNetwork } from ${JSON.stringify(import.meta.resolve('../../io/network-watch.js'))};
      let calls = 0;
      let caught = 0;
      process.on('uncaughtException', () => {
        caught++;
        execFileSync('ip', ['address', 'add', '198.18.14.1/24', 'dev', 'left']);
      });
      watchNetwork((kind) => {
        if (++calls === 1) throw new Error('from the listener');
        console.log(caught, 'caught, then', kind);
        process.exit();
      });
      setTimeout(() => {}, 8000);
      execFileSync('ip', ['route', 'add', '198.18.15.0/24', 'dev', 'left']);`;
    assert.equal(run(script).stdout, '1 caught, then address\n');
  });

  test('a watch neither keeps the process alive nor disturbs its end', () => {
    const script = `
      import { execFileSync } from 'node:child_process';
      import { watchNetwork } from ${JSON.stringify(import.meta.resolve('../../io/network-watch.js'))};
      watchNetwork(() => {});
      process.on('exit', () => execFileSync('ip', ['address', 'add', '198.18.16.1/24', 'dev', 'left']));`;
    assert.deepEqual(run(script), { status: 0, stdout: '', stderr: '' });
  });

  function run(script: string): { status: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = inNamespace(hosts.left, () =>
      spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 10_000 }),
    );
    return { status, stdout, stderr };
  }
});
