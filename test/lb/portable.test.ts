/**
 * `hushlb run` with `io: portable` on the lab's network, with HTTP: with all rights, without those to load BPF programs, and
 * without those to keep the kernel from answering. The VIP is an address of the balancer's own host, as in
 * af-packet.test.ts: what reaches its kernel is answered with RST.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { startBackend } from '../../lab/backends.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { openRun, removeRun } from '../../lab/runs.ts';
import { backendAddress, backendNames, sharedLan, VIP } from '../../lab/topology.ts';
import { needsPortable } from '../io/portable-packages.ts';
import { needsRoot, until } from '../io/two-hosts.ts';

const never = new AbortController().signal;
const BACKENDS = backendNames(2);
const PATIENCE_MS = 10_000;
const SECOND_VIP = '198.18.20.2';

/** setpriv's options that leave the process no right to load programs, or to change the network either. */
const NO_BPF = ['--bounding-set=-bpf,-sys_admin,-perfmon', '--inh-caps=-all'];
const NO_ADMIN = ['--bounding-set=-bpf,-sys_admin,-perfmon,-net_admin', '--inh-caps=-all'];

describe('hushlb run with the portable device', { skip: needsRoot || needsPortable }, () => {
  let runId: string;
  let network: Network;
  let directory: string;
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
  });

  afterEach(async () => {
    await Promise.all(balancers.splice(0).map((balancer) => balancer.stop()));
  });

  after(async () => {
    await Promise.all(programs.map((program) => program.stop()));
    removeRun(runId);
    rmSync(directory, { recursive: true, force: true });
  });

  const file = () => join(directory, 'hushlb.yaml');

  function configure(top: string, vips: readonly string[] = [VIP], encap = 'ipip'): void {
    const backends = BACKENDS.map((name) => `{ name: ${name}, address: ${backendAddress(name)} }`);
    const services = vips.map(
      (vip, i) => `\n  - { name: web${i}, vip: ${vip}, port: 80, encap: ${encap}, backends: [${backends}] }`,
    );
    writeFileSync(
      file(),
      `interface: eth0\nadmin: { socket: ${directory}/hushlb.sock }\n${top}\nservices:${services.join('')}\n`,
    );
  }

  /** Under setpriv with the options given. */
  function start(top: string, rights: readonly string[] = [], encap?: string): HostProcess {
    configure(top, [VIP], encap);
    const command = [process.execPath, HUSHLB, 'run', '-c', file(), '--log-format', 'json'];
    const balancer = startProcess({
      name: 'the balancer',
      namespace: network.namespace('lb'),
      command: rights.length === 0 ? command : ['setpriv', ...rights, ...command],
      onUnexpectedEnd: () => {},
    });
    balancers.push(balancer);
    return balancer;
  }

  async function said(balancer: HostProcess, text: string): Promise<Record<string, unknown>> {
    const isIt = (line: string) => logMessage(line)?.startsWith(text) === true;
    return JSON.parse(await balancer.waitForLine(isIt, PATIENCE_MS, never));
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
    const node = [process.execPath, '--input-type=module', '-e', script, url];
    const command = ['netns', 'exec', network.namespace(host), ...node];
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

  const balanced = () => assert.deepEqual(new Set(get('client', `http://${VIP}/`, 20)), new Set(BACKENDS));

  for (const encap of ['ipip', 'l2']) {
    test(`both backends answer by ${encap}, the kernel never does; afterwards it answers again`, async () => {
      const balancer = start('io: portable', [], encap);
      const { io, guard, xdp, workers } = await said(balancer, 'ready');
      assert.deepEqual([io, guard, xdp, workers], ['portable', 'tcx', 'off', 1]);
      balanced();
      const { entries } = (await openClient({ socket: join(directory, 'hushlb.sock') }).request(
        'GET',
        '/v1/conntrack?client=198.18.0.2',
      )) as { entries: { backend: string }[] };
      assert.ok(entries.length > 0 && entries.every(({ backend }) => BACKENDS.includes(backend)));
      const forwarded = () => metric('hushlb_packets_total{service="web0",verdict="forward",reason="forwarded"}');
      const steered = () => metric('hushlb_steered_packets_total{to="socket",reason="service"}');
      assert.ok(forwarded() >= 20 * 5, `${forwarded()} packets`);
      await until('all that came is forwarded', () => steered() === forwarded());

      // What is not for a service stays with the kernel.
      assert.deepEqual(get('client', `http://${VIP}:8080/`), ['failed: ECONNREFUSED']);
      // Once, or the client was impatient.
      assert.ok(metric('hushlb_steered_packets_total{to="kernel",reason="other_port"}') >= 1);
      for (const event of ['rx_dropped', 'tx_dropped']) {
        assert.equal(metric(`hushlb_device_dropped_packets_total{queue="0",reason="${event}"}`), 0, event);
      }
      assert.equal(await balancer.stop().then(() => balancer.ended), 0);
      assert.deepEqual(get('client', `http://${VIP}/`), ['failed: ECONNREFUSED']);
    });
  }

  test('without the right to load programs: nftables is the guard', async () => {
    const { guard } = await said(start('io: portable', NO_BPF), 'ready');
    assert.equal(guard, 'nftables');
    balanced();
  });

  test('without any right but to packets: no guard, and the log says what to do', async () => {
    const balancer = start('io: portable', NO_ADMIN);
    const { msg, reason } = await said(balancer, 'no guard');
    assert.match(String(msg), /keep VIPs off this host .*, or grant CAP_NET_ADMIN$/);
    assert.match(String(reason), /nftables/);
    assert.equal((await said(balancer, 'ready')).guard, 'none');
    ipOf('lb', 'address', 'delete', `${VIP}/32`, 'dev', 'lo');
    try {
      balanced();
    } finally {
      ipOf('lb', 'address', 'add', `${VIP}/32`, 'dev', 'lo');
    }
  });

  test('auto comes to it where no program may be loaded, and says why', async () => {
    const balancer = start('io: auto', NO_BPF);
    const { reason } = await said(balancer, 'io auto: portable, because af-xdp and af-packet do not work here');
    assert.match(String(reason), /^af-xdp: .*EPERM.*; af-packet: .*EPERM/);
    assert.equal((await said(balancer, 'ready')).io, 'portable');
    balanced();
  });

  test('auto where nothing works: one line', async () => {
    const balancer = start('io: auto', ['--bounding-set=-all', '--inh-caps=-all']);
    const line = await balancer.waitForLine((text) => text.startsWith('hushlb: '), PATIENCE_MS, never);
    assert.match(line, /no packet device works here: af-xdp: .*; af-packet: .*; portable: .*CAP_NET_RAW/);
    assert.equal(await balancer.ended, 1);
  });

  test('a reload brings a VIP', async () => {
    const balancer = start('io: portable');
    await said(balancer, 'ready');
    ipOf('router', 'route', 'add', `${SECOND_VIP}/32`, 'via', '198.18.2.10');
    for (const name of BACKENDS) ipOf(name, 'address', 'add', `${SECOND_VIP}/32`, 'dev', 'lo');
    configure('io: portable', [VIP, SECOND_VIP]);
    balancer.hangUp();
    await said(balancer, 'reloaded');
    assert.deepEqual(new Set(get('client', `http://${SECOND_VIP}/`, 20)), new Set(BACKENDS));
    balanced();
  });
});
