/**
 * `hushlb run` as a process on a real network: the lab's namespaces, real kernels and HTTP. What the lab's scenarios don't
 * show: L2, generic mode, neighbours that come and change, the kernel's own traffic, and every way to end.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setOffloads } from '../../io/ethtool.ts';
import { inNamespace } from '../../io/namespace.ts';
import { type HostProcess, logMessage } from '../../lab/processes.ts';
import { backendAddress, backendNames, VIP } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, type ConfigurationLines, configuration, never, PATIENCE_MS, ready, useLan } from './lan.ts';

const BACKENDS = backendNames(2);
const BACKENDS_YAML = BACKENDS.map((name) => backendYaml(name));

describe('hushlb run', { skip: needsRoot }, () => {
  const lan = useLan(BACKENDS);
  const { get, inHost, isAttached } = lan;

  function start(lines: ConfigurationLines = {}): HostProcess {
    lan.write(configuration(BACKENDS_YAML, lines));
    return lan.startBalancer();
  }

  function ipOf(host: string, ...command: string[]): string {
    return execFileSync('ip', ['-n', lan.namespace(host), ...command]).toString();
  }

  const metric = (name: string): number => {
    const text = get('lb', 'http://127.0.0.1:9108/metrics').join('\n');
    const line = text.split('\n').find((candidate) => candidate.startsWith(name));
    assert.ok(line !== undefined, `${name} is exposed`);
    return Number(line.split(' ').at(-1));
  };

  test('L2: both backends answer, the kernel sees no tunnel', async () => {
    await ready(start({ service: 'encap: l2' }));
    assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));
    assert.equal(metric('hushlb_resets_sent_total{service="web"}'), 0);
  });

  test('generic XDP: slower, and the same', async () => {
    const { xdp } = await ready(start({ top: 'xdpMode: generic' }));
    assert.equal(xdp, 'generic');
    assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));
  });

  test('what is not for a service stays with the kernel: the host, other ports of the VIP, ping', async () => {
    ipOf('lb', 'address', 'add', `${VIP}/32`, 'dev', 'lo');
    try {
      await ready(start({ top: 'metrics: { listen: 0.0.0.0:9108 }' }));
      for (const address of ['198.18.2.10', VIP]) {
        assert.match(get('client', `http://${address}:9108/healthz`)[0], /^ok$/);
      }
      assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));
      assert.ok(metric('hushlb_steered_packets_total{to="kernel",reason="other_port"}') > 0);
    } finally {
      ipOf('lb', 'address', 'del', `${VIP}/32`, 'dev', 'lo');
    }
  });

  test('a backend that is away is counted, and used as soon as it answers', async () => {
    ipOf('b2', 'link', 'set', 'eth0', 'down');
    ipOf('lb', 'neigh', 'flush', 'all');
    const balancer = start();
    try {
      await ready(balancer);
      const answers = get('client', `http://${VIP}/`, 12, 300);
      assert.ok(answers.includes('b1') && !answers.includes('b2'), answers.join());
      assert.ok(metric('hushlb_packets_total{service="web",verdict="drop",reason="no-neighbour"}') > 0);
    } finally {
      ipOf('b2', 'link', 'set', 'eth0', 'up');
      ipOf('b2', 'route', 'replace', 'default', 'via', '198.18.2.254');
    }
    await balancer.waitForLine(
      (line) => logMessage(line) === 'backend reachable' && line.includes(backendAddress('b2')),
      PATIENCE_MS,
      never,
    );
    assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));
  });

  test("a backend's new MAC is followed", async () => {
    const balancer = start();
    await ready(balancer);
    inHost('b1', 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_notify');
    ipOf('b1', 'link', 'set', 'eth0', 'address', '02:00:00:00:be:ef');
    await balancer.waitForLine((line) => line.includes('02:00:00:00:be:ef'), PATIENCE_MS, never);
    assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));
  });

  test('a sender with unfinished checksums is found out, in words', async () => {
    const balancer = start();
    await ready(balancer);
    // The last two veth ends on the way: whichever has the offload off finishes the checksum in software.
    const offload = (on: boolean): void => {
      inNamespace(lan.namespace('client'), () => setOffloads('eth0', { txChecksum: on }));
      inNamespace(lan.namespace('router'), () => setOffloads('lb', { txChecksum: on }));
    };
    offload(true);
    try {
      get('client', `http://${VIP}/`, 4, 300);
      const line = await balancer.waitForLine((text) => text.includes('unfinished'), PATIENCE_MS, never);
      assert.match(line, /ethtool -K/);
    } finally {
      offload(false);
    }
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal}: exit code 0, nothing attached`, async () => {
      const balancer = start();
      const { pid } = await ready(balancer);
      assert.ok(isAttached());
      process.kill(pid, signal);
      assert.equal(await balancer.ended, 0);
      assert.ok(!isAttached());
    });
  }

  test('kill -9 leaves nothing attached, and the next start is clean', async () => {
    const balancer = start();
    const { pid } = await ready(balancer);
    process.kill(pid, 'SIGKILL');
    await balancer.ended;
    assert.ok(!isAttached());
    await ready(start());
    assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));
  });

  test('a second balancer on the same interface is refused in one line', async () => {
    await ready(start({ top: 'metrics: false' }));
    const second = start({ top: 'metrics: false\nadmin: false' });
    const line = await second.waitForLine((text) => text.startsWith('hushlb: '), PATIENCE_MS, never);
    assert.equal(await second.ended, 1);
    assert.match(line, /eth0.*(XDP|AF_XDP|in use|busy)/i);
    assert.ok(isAttached(), 'the first goes on');
    assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));
  });

  const failures: { name: string; service?: string; top?: string; interface?: string; says: RegExp }[] = [
    {
      name: 'the metrics port in use',
      top: 'metrics: { listen: 127.0.0.1:9999 }',
      says: /127\.0\.0\.1:9999 is in use/,
    },
    { name: 'an unreachable backend', service: 'encap: l2', says: /no reachable backend.*b1/ },
  ];
  for (const failure of failures) {
    test(`${failure.name}: one line, exit code 1, nothing attached`, async () => {
      const squatter = spawn('ip', [
        'netns',
        'exec',
        lan.namespace('lb'),
        process.execPath,
        '-e',
        "require('net').createServer().listen(9999, '127.0.0.1', () => console.log('listening'))",
      ]);
      const squatterEnded = once(squatter, 'exit');
      await once(squatter.stdout, 'data');
      const away = failure.name.includes('backend');
      if (away) for (const name of BACKENDS) ipOf(name, 'link', 'set', 'eth0', 'down');
      if (away) ipOf('lb', 'neigh', 'flush', 'all');
      try {
        const balancer = start(failure);
        const line = await balancer.waitForLine((text) => text.startsWith('hushlb: '), PATIENCE_MS, never);
        assert.equal(await balancer.ended, 1);
        assert.match(line, failure.says);
        assert.ok(!isAttached());
      } finally {
        squatter.kill();
        await squatterEnded;
        if (away) for (const name of BACKENDS) ipOf(name, 'link', 'set', 'eth0', 'up');
        if (away) for (const name of BACKENDS) ipOf(name, 'route', 'replace', 'default', 'via', '198.18.2.254');
      }
    });
  }
});
