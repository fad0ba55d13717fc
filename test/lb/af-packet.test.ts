/**
 * `hushlb run` with `io: af-packet` and `io: auto` on the lab's network, with HTTP. The VIP is an address of the balancer's
 * own host here, so that its kernel answers with RST whatever reaches it: that nothing does is what these tests show.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { loadProgram, XDP_PASS } from '../../io/bpf.ts';
import { alu, assemble, exit } from '../../io/bpf-assembler.ts';
import { type Capture, openCapture } from '../../io/capture.ts';
import { setOffloads } from '../../io/ethtool.ts';
import { closeDescriptor } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { startBackend } from '../../lab/backends.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { openRun, removeRun } from '../../lab/runs.ts';
import { backendAddress, backendNames, sharedLan, VIP } from '../../lab/topology.ts';
import { openPacketSocket } from '../io/packet-socket.ts';
import { needsRoot, until } from '../io/two-hosts.ts';
import { bytesOfMac, tcpFrame } from '../packets.ts';

const never = new AbortController().signal;
const BACKENDS = backendNames(2);
const PATIENCE_MS = 30_000;
const RST = 4;
const STEERED = 'hushlb_steered_packets_total{to="socket",reason="service"}';
const FORWARDED = 'hushlb_packets_total{service="web80",verdict="forward",reason="forwarded"}';

describe('hushlb run with packet sockets', { skip: needsRoot }, () => {
  let runId: string;
  let network: Network;
  let directory: string;
  let capture: Capture;
  const programs: HostProcess[] = [];
  const balancers: HostProcess[] = [];

  before(async () => {
    runId = openRun();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    network = buildNetwork(runId, sharedLan(BACKENDS.length));
    const started = (program: HostProcess) => programs.push(program);
    const onUnexpectedEnd = (error: Error) => assert.fail(error.message);
    const backend = { port: 80, directory, onUnexpectedEnd, started };
    await Promise.all(
      BACKENDS.map((name) => startBackend({ ...backend, name, namespace: network.namespace(name) }, never)),
    );
    ipOf('lb', 'address', 'add', `${VIP}/32`, 'dev', 'lo');
    capture = inNamespace(network.namespace('client'), () => openCapture({ interface: requireLink('eth0').index }));
  });

  afterEach(async () => {
    await Promise.all(balancers.splice(0).map((balancer) => balancer.stop()));
  });

  after(async () => {
    capture.close();
    await Promise.all(programs.map((program) => program.stop()));
    removeRun(runId);
    rmSync(directory, { recursive: true, force: true });
  });

  const file = () => join(directory, 'hushlb.yaml');

  /** `top` are lines of YAML for the top level; there is a service on each port. */
  function configure(top: string, ports: readonly number[] = [80]): void {
    const backends = BACKENDS.map((name) => `{ name: ${name}, address: ${backendAddress(name)} }`);
    const services = ports.map(
      (port) => `\n  - { name: web${port}, vip: ${VIP}, port: ${port}, backends: [${backends}] }`,
    );
    writeFileSync(file(), `interface: eth0\nadmin: false\n${top}\nservices:${services.join('')}\n`);
  }

  function start(top: string): HostProcess {
    configure(top);
    const balancer = startProcess({
      name: 'the balancer',
      namespace: network.namespace('lb'),
      command: [process.execPath, HUSHLB, 'run', '-c', file(), '--log-format', 'json'],
      onUnexpectedEnd: () => {},
    });
    balancers.push(balancer);
    return balancer;
  }

  const said = (balancer: HostProcess, text: string): Promise<string> =>
    balancer.waitForLine((line) => logMessage(line)?.startsWith(text) === true, PATIENCE_MS, never);

  async function ready(balancer: HostProcess): Promise<Record<string, unknown>> {
    return JSON.parse(await said(balancer, 'ready'));
  }

  function ipOf(host: string, ...command: string[]): string {
    return execFileSync('ip', ['-n', network.namespace(host), ...command]).toString();
  }

  /** The answers of `count` connections to the URL, one after the other, or why there was none. */
  function get(host: string, url: string, count = 1): string[] {
    const script = `
      const get = () => fetch(process.argv[1], { signal: AbortSignal.timeout(${PATIENCE_MS}), headers: { connection: 'close' } })
        .then((response) => response.text()).catch((error) => 'failed: ' + (error.cause?.code ?? error.name));
      const answers = [];
      for (let i = 0; i < ${count}; i++) answers.push((await get()).trim());
      console.log(answers.join('\\n'));
      process.exit();`;
    const command = [
      'netns',
      'exec',
      network.namespace(host),
      process.execPath,
      '--input-type=module',
      '-e',
      script,
      url,
    ];
    return execFileSync('ip', command, { timeout: 6 * PATIENCE_MS })
      .toString()
      .trim()
      .split('\n');
  }

  const metric = (name: string): number => {
    const line = get('lb', 'http://127.0.0.1:9108/metrics').find((candidate) => candidate.startsWith(name));
    assert.ok(line !== undefined, `${name} is exposed`);
    return Number(line.split(' ').at(-1));
  };

  /** RST segments that the client has got since the last call. */
  function resets(): number {
    let count = 0;
    capture.read(({ bytes, outgoing }) => {
      const isTcp = bytes[12] === 8 && bytes[13] === 0 && bytes[23] === 6;
      if (!outgoing && isTcp && ((bytes[14 + (bytes[14]! & 15) * 4 + 13] ?? 0) & RST) !== 0) count++;
    });
    return count;
  }

  /** Packet sockets, and programs at the ingress of the balancer's interface. */
  function leftBehind(): string[] {
    const sockets = execFileSync('ip', ['netns', 'exec', network.namespace('lb'), 'cat', '/proc/net/packet']);
    return sockets.toString().trim().split('\n').slice(1);
  }

  const balanced = (count = 20) => assert.deepEqual(new Set(get('client', `http://${VIP}/`, count)), new Set(BACKENDS));

  test('both backends answer, the kernel never does; afterwards it answers again', async () => {
    resets();
    const balancer = start('io: af-packet\nmetrics: { listen: 0.0.0.0:9108 }');
    const { io, guard, xdp, workers } = await ready(balancer);
    assert.deepEqual([io, guard, xdp, workers], ['af-packet', 'tcx', 'off', 1]);
    balanced(40);
    assert.equal(resets(), 0);
    assert.ok(metric(STEERED) >= 40 * 5, `${metric(STEERED)} packets`);
    await until('all of them are forwarded', () => metric(FORWARDED) === metric(STEERED));

    // What is not for a service stays with the kernel.
    assert.match(get('client', `http://${VIP}:9108/healthz`)[0]!, /^ok$/);
    assert.ok(metric('hushlb_steered_packets_total{to="kernel",reason="other_port"}') > 0);
    assert.match(get('client', 'http://198.18.2.10:9108/healthz')[0]!, /^ok$/);
    for (const event of ['rx_dropped', 'rx_ring_full', 'tx_dropped']) {
      assert.equal(metric(`hushlb_device_dropped_packets_total{queue="0",reason="${event}"}`), 0, event);
    }
    assert.equal(await balancer.stop().then(() => balancer.ended), 0);
    assert.deepEqual(get('client', `http://${VIP}/`), ['failed: ECONNREFUSED']);
    assert.equal(resets(), 1);
    assert.deepEqual(leftBehind(), []);
  });

  test('several workers share the flows out', async () => {
    const { workers } = await ready(start('io: af-packet\nworkers: 2'));
    assert.equal(workers, 2);
    balanced(40);
    await until('all are forwarded', () => metric(FORWARDED) === metric(STEERED));
    assert.equal(resets(), 0);
  });

  test('kill -9 leaves nothing behind, and the next start is clean', async () => {
    const balancer = start('io: af-packet');
    const { pid } = await ready(balancer);
    balanced();
    assert.notDeepEqual(leftBehind(), []);
    process.kill(Number(pid), 'SIGKILL');
    await balancer.ended;
    assert.deepEqual(leftBehind(), []);
    assert.deepEqual(get('client', `http://${VIP}/`), ['failed: ECONNREFUSED'], 'the guard is gone');
    await ready(start('io: af-packet'));
    balanced();
  });

  test('a reload brings a service, and takes it away; io stays', async () => {
    const balancer = start('io: af-packet');
    await ready(balancer);
    const url = `http://${VIP}:8080/`;
    assert.deepEqual(get('client', url), ['failed: ECONNREFUSED'], 'the kernel says no');
    configure('io: af-packet', [80, 8080]);
    balancer.hangUp();
    await said(balancer, 'reloaded');
    resets();
    // Direct return: the backend has nothing on that port, and its own kernel says so.
    assert.deepEqual(get('client', url), ['failed: ECONNREFUSED']);
    // Once, or the client was impatient.
    assert.ok(metric('hushlb_packets_total{service="web8080",verdict="forward",reason="forwarded"}') >= 1);
    configure('io: auto');
    balancer.hangUp();
    assert.match(await said(balancer, 'reload refused'), /io: af-packet runs, the file says auto: restart/);
    balanced();
  });

  test('a sender that leaves checksums and cutting to its card is served all the same', async () => {
    const offload = (on: boolean): void => {
      inNamespace(network.namespace('client'), () => setOffloads('eth0', { txChecksum: on, tso: on, gso: on }));
      inNamespace(network.namespace('router'), () => setOffloads('lb', { txChecksum: on, tso: on, gso: on }));
    };
    const balancer = start('io: af-packet\nmetrics: { listen: 0.0.0.0:9108 }');
    await ready(balancer);
    offload(true);
    try {
      balanced();
      assert.equal(metric('hushlb_device_dropped_packets_total{queue="0",reason="rx_dropped"}'), 0);
    } finally {
      offload(false);
    }
  });

  test('frames that are longer than a slot, and nobody merged, are found out in words', async () => {
    const balancer = start('io: af-packet\nmetrics: { listen: 0.0.0.0:9108 }');
    await ready(balancer);
    const sender = openPacketSocket(network.namespace('router'), 'lb');
    for (const [host, side] of [
      ['router', 'lb'],
      ['lb', 'eth0'],
    ]) {
      ipOf(host, 'link', 'set', side, 'mtu', '9000');
    }
    try {
      const mac = JSON.parse(ipOf('lb', '-j', 'link', 'show', 'eth0'))[0].address;
      const frame = Buffer.from(tcpFrame({ destination: VIP, payload: 'x'.repeat(4000) }));
      frame.set(bytesOfMac(mac));
      sender.send(frame);
      assert.match(await said(balancer, 'packets arrive that are longer'), /gro off/);
      await until(
        'it is counted',
        () => metric('hushlb_device_dropped_packets_total{queue="0",reason="rx_dropped"}') === 1,
      );
    } finally {
      sender.close();
      ipOf('router', 'link', 'set', 'lb', 'mtu', '1500');
      ipOf('lb', 'link', 'set', 'eth0', 'mtu', '1500');
    }
    balanced();
  });

  test('a second balancer on the same interface is refused in one line', async () => {
    await ready(start('io: af-packet\nmetrics: false'));
    const second = start('io: af-packet\nmetrics: false');
    const line = await second.waitForLine((text) => text.startsWith('hushlb: '), PATIENCE_MS, never);
    assert.equal(await second.ended, 1);
    assert.match(line, /eth0: another hushlb forwards its packets/);
    balanced();
  });

  test('auto takes AF_XDP where it works, and says so', async () => {
    const balancer = start('io: auto');
    await said(balancer, 'io auto: af-xdp, because it works here, in native mode');
    const { io, xdp } = await ready(balancer);
    assert.deepEqual([io, xdp], ['af-xdp', 'native']);
    balanced();
  });

  test('auto takes packet sockets where XDP is taken, and says why', async () => {
    const programFd = loadProgram('test_pass', assemble([alu('r0', '=', XDP_PASS), exit()]));
    const other = inNamespace(network.namespace('lb'), () =>
      attachXdp({ programFd, interfaceIndex: requireLink('eth0').index, mode: 'native' }),
    );
    try {
      resets();
      const balancer = start('io: auto');
      const { reason } = JSON.parse(await said(balancer, 'io auto: af-packet, because af-xdp does not work here'));
      assert.match(reason, /another XDP program is attached/);
      assert.equal((await ready(balancer)).io, 'af-packet');
      balanced();
      assert.equal(resets(), 0);
    } finally {
      other.detach();
      closeDescriptor(programFd);
    }
  });
});
