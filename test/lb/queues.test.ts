/**
 * `hushlb run` on an interface with two receive queues: a worker for each or one for both, pinned or not, and flows that
 * move from one queue to the other. The kernel's generator chooses the queue by the CPU that it runs on.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { pinThread } from '../../io/affinity.ts';
import { openCapture } from '../../io/capture.ts';
import { setThreadAffinity } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { createGenerator } from '../../io/packet-generator.ts';
import { requireLink } from '../../io/xdp.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, until } from '../io/two-hosts.ts';
import { tcpFrame } from '../packets.ts';

const never = new AbortController().signal;
const PATIENCE_MS = 30_000;
const FLOWS = 300;
const ALL_CPUS = new Uint8Array(128).fill(0xff);
const BACKENDS = Array.from({ length: 7 }, (_, i) => `198.18.0.${101 + i}`);

suite('two receive queues', { skip: needsRoot || (availableParallelism() > 1 ? false : 'needs two CPUs') }, () => {
  const hosts = makeTwoHosts({ queues: 2 });
  const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  const balancers: HostProcess[] = [];
  const rightMac = ipJson(hosts.right, 'link', 'show', 'right')[0].address as string;
  for (const address of BACKENDS) {
    ip('-n', hosts.left, 'neigh', 'add', address, 'lladdr', rightMac, 'dev', 'left', 'nud', 'permanent');
  }
  const rightIndex = inNamespace(hosts.right, () => requireLink('right').index);
  const capture = inNamespace(hosts.right, () => openCapture({ interface: rightIndex, frameCount: 16_384 }));

  afterEach(async () => {
    await Promise.all(balancers.splice(0).map((balancer) => balancer.stop()));
  });
  after(() => {
    capture.close();
    hosts.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  /** `top` are lines of YAML for the top level. */
  function start(top: string): HostProcess {
    const file = join(directory, 'hushlb.yaml');
    const backends = BACKENDS.map((address, i) => `{ name: b${i + 1}, address: ${address} }`);
    const service = `{ name: web, vip: 198.18.10.1, port: 80, backends: [${backends}] }`;
    writeFileSync(file, `interface: left\nadmin: false\n${top}\nservices:\n  - ${service}\n`);
    const balancer = startProcess({
      name: 'the balancer',
      namespace: hosts.left,
      command: [process.execPath, HUSHLB, 'run', '-c', file, '--log-format', 'json'],
      onUnexpectedEnd: () => {},
    });
    balancers.push(balancer);
    return balancer;
  }

  async function ready(balancer: HostProcess): Promise<Record<string, unknown>> {
    return JSON.parse(await balancer.waitForLine((line) => logMessage(line) === 'ready', PATIENCE_MS, never));
  }

  async function limit(balancer: HostProcess, start: string): Promise<string> {
    const isIt = (line: string) => logMessage(line)?.startsWith(`limit: ${start}`) === true;
    return logMessage(await balancer.waitForLine(isIt, PATIENCE_MS, never)) ?? '';
  }

  /** An ACK of each flow, to the queue. What is started from here on is not to inherit the CPU. */
  function send(queue: number, count = FLOWS): void {
    pinThread(queue);
    const frame = tcpFrame({ source: '198.18.7.0', flags: 'A' });
    inNamespace(hosts.right, () => {
      const generator = createGenerator({ interfaceIndex: rightIndex, frame, flows: count });
      generator.run(count);
      generator.close();
    });
    setThreadAffinity(ALL_CPUS);
  }

  /** Sends as well, and says to which backend each flow went, by its source. */
  async function backendsOf(queue: number, count = FLOWS): Promise<Map<string, string>> {
    const backends = new Map<string, string>();
    send(queue, count);
    await until(`${count} flows of queue ${queue}`, () => {
      capture.read(({ bytes, outgoing }) => {
        // IPIP: the outer header's destination, the inner one's source, the source port.
        if (outgoing || bytes[23] !== 4) return;
        backends.set([...bytes.subarray(46, 50), ...bytes.subarray(54, 56)].join(), bytes.subarray(30, 34).join('.'));
      });
      return backends.size === count;
    });
    return backends;
  }

  function metric(name: string): number {
    const script = "fetch('http://127.0.0.1:9108/metrics').then((r) => r.text()).then((text) => console.log(text))";
    const command = ['netns', 'exec', hosts.left, process.execPath, '-e', script];
    const line = execFileSync('ip', command)
      .toString()
      .split('\n')
      .find((candidate) => candidate.startsWith(name));
    assert.ok(line !== undefined, `${name} is exposed`);
    return Number(line.split(' ').at(-1));
  }

  const MISSES = 'hushlb_conntrack_misses_total{service="web",kind="non_syn"}';
  const HITS = 'hushlb_conntrack_hits_total{service="web"}';

  test('a flow that moves to the other queue keeps its backend, and is counted as picked up', async () => {
    const { queues, workers, xdp, zeroCopy, driver } = await ready(start(''));
    assert.deepEqual(
      { queues, workers, xdp, zeroCopy, driver },
      { queues: 2, workers: 2, xdp: 'native', zeroCopy: false, driver: 'veth' },
    );
    const before = await backendsOf(0);
    assert.equal(new Set(before.values()).size, BACKENDS.length);
    assert.deepEqual(await backendsOf(1), before);
    assert.deepEqual([metric(MISSES), metric(HITS)], [2 * FLOWS, 0]);
    assert.deepEqual(await backendsOf(1), before);
    assert.deepEqual([metric(MISSES), metric(HITS)], [2 * FLOWS, FLOWS]);
    for (const worker of [0, 1]) {
      assert.equal(metric(`hushlb_worker_non_syn_misses_total{worker="${worker}"}`), FLOWS);
    }
  });

  test('one worker for both queues: neither loses a packet, and a flow that moves is known', async () => {
    const balancer = start('workers: 1');
    const { queues, workers } = await ready(balancer);
    assert.deepEqual({ queues, workers }, { queues: 2, workers: 1 });
    assert.match(await limit(balancer, '1 worker for 2'), /^limit: 1 worker for 2 receive queues, as configured: 1 of/);
    assert.match(await limit(balancer, 'copy mode'), /: the driver veth offers no zero-copy$/);
    const before = await backendsOf(0);
    assert.deepEqual(await backendsOf(1), before);
    assert.deepEqual([metric(MISSES), metric(HITS)], [FLOWS, FLOWS]);
    assert.equal(metric('hushlb_steered_packets_total{to="kernel",reason="no_socket"}'), 0);
  });

  test('workers stay on the CPUs that they are given, in their order, and the others where they like', async () => {
    const { pid, cpus } = await ready(start('cpus: [1, 0]'));
    assert.deepEqual(cpus, [1, 0]);
    const allowed = readdirSync(`/proc/${pid}/task`)
      .map(Number)
      .toSorted((a, b) => a - b)
      .map(
        (task) => /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))?.[1],
      );
    assert.deepEqual(
      allowed.filter((list) => list === '0' || list === '1'),
      ['1', '0'],
    );
    assert.equal((await backendsOf(0)).size, FLOWS);
    assert.equal((await backendsOf(1)).size, FLOWS);
  });

  test('rings hold what they are told to while the worker is away; what is beyond is counted', async () => {
    const { pid } = await ready(start('afXdp: { ringSize: 64, batchSize: 8 }'));
    process.kill(Number(pid), 'SIGSTOP');
    await until('it to stand still', () => /^State:\s*T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
    send(1, 10 * 64);
    process.kill(Number(pid), 'SIGCONT');
    const lost = () =>
      ['rx_dropped', 'rx_ring_full'].reduce(
        (sum, event) => sum + metric(`hushlb_device_dropped_packets_total{queue="1",reason="${event}"}`),
        0,
      );
    await until('nine of ten to be counted', () => lost() === 9 * 64);
    await until('the tenth to be forwarded', () => metric(MISSES) === 64);
    assert.equal(metric('hushlb_device_dropped_packets_total{queue="0",reason="rx_dropped"}'), 0);
  });

  test('busy polling, with both queues in one worker', async () => {
    const { busyPoll } = await ready(start('workers: 1\nafXdp: { busyPoll: 200us }'));
    assert.equal(busyPoll, '200us');
    const before = await backendsOf(0);
    assert.deepEqual(await backendsOf(1), before);
  });

  const REFUSED: [top: string, says: RegExp][] = [
    [
      'workers: 3',
      /workers: left has 2 receive queues, too few for 3 workers: ethtool -L left combined 3, or workers: 2/,
    ],
    ['cpus: [0]', /cpus: left has 2 receive queues, a worker for each, and 1 CPU is named: name 2, or say workers: 1/],
    ['cpus: [0, 8191]', /cpus: CPU 8191 does not exist, or this process may not use it; online are 0/],
    ['afXdp: { zeroCopy: require }', /the driver has no zero-copy/],
  ];
  for (const [top, says] of REFUSED) {
    test(`${top}: one line, exit code 1, nothing attached`, async () => {
      const balancer = start(top);
      const line = await balancer.waitForLine((text) => text.startsWith('hushlb: '), PATIENCE_MS, never);
      assert.equal(await balancer.ended, 1);
      assert.match(line, says);
      assert.ok(!/\bxdp\b|prog\/xdp/.test(ip('-n', hosts.left, '-d', 'link', 'show', 'left')));
    });
  }
});
