/**
 * A running balancer takes over another configuration: `hushlb run` in the lab's namespaces, real kernels and HTTP.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type HostProcess, HUSHLB, logMessage } from '../../lab/processes.ts';
import { backendNames, VIP } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import {
  type ConfigurationLines,
  configuration,
  never,
  PATIENCE_MS,
  ready,
  useLan,
  backendYaml as yaml,
} from './lan.ts';

const BACKENDS = backendNames(3);

interface LogLine {
  readonly msg: string;
  readonly problem?: string;
  readonly generation?: number;
  readonly [key: string]: unknown;
}

describe('reload', { skip: needsRoot }, () => {
  const lan = useLan(BACKENDS);
  const { get, isAttached } = lan;
  let log: LogLine[] = [];

  function write(backends: readonly string[], lines: ConfigurationLines = {}): void {
    lan.write(configuration(backends, lines));
  }

  function start(): HostProcess {
    log = [];
    return lan.startBalancer((line) => {
      if (line.startsWith('{')) log.push(JSON.parse(line) as LogLine);
    });
  }

  /** Asks for a reload and waits for what comes of it. */
  async function reloaded(pid: number): Promise<LogLine> {
    const isResult = ({ msg }: LogLine) => msg === 'reloaded' || msg === 'reload refused, nothing changed';
    const before = log.length;
    process.kill(pid, 'SIGHUP');
    return until(() => log.slice(before).find(isResult), 'a reload ends');
  }

  async function until<T>(holds: () => T | undefined | false, what: string): Promise<T> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const result = holds();
      if (result !== undefined && result !== false) return result;
      assert.ok(performance.now() < deadline, what);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  const answering = () => new Set(get('client', `http://${VIP}/`, 30));

  test('backends are added, removed and drained', async () => {
    write([yaml('b1'), yaml('b2')]);
    const { pid } = await ready(start());
    assert.deepEqual(answering(), new Set(['b1', 'b2']));

    write([yaml('b3'), yaml('b1'), yaml('b2')]);
    const { generation, added, removed, changed, moved } = await reloaded(pid);
    assert.ok(Number(generation) > 1);
    assert.deepEqual({ added, removed, changed }, { added: ['web/b3'], removed: [], changed: [] });
    const share = (moved as Record<string, number>).web;
    assert.ok(share > 0.3 && share < 0.4, `a third of the slots goes to the third backend, moved ${share}`);
    assert.deepEqual(answering(), new Set(BACKENDS));

    write([yaml('b3'), yaml('b1', ', state: draining')]);
    const second = await reloaded(pid);
    assert.deepEqual(second.removed, ['web/b2']);
    assert.deepEqual(second.changed, ['web/b1']);
    assert.deepEqual(answering(), new Set(['b3']));

    const third = await reloaded(pid);
    assert.equal(third.msg, 'reloaded');
    assert.deepEqual([third.added, third.removed, third.changed, third.moved], [[], [], [], {}]);

    write([yaml('b3'), yaml('b1', ', state: draining')], { service: 'conntrack: { capacity: 4096 }' });
    assert.deepEqual((await reloaded(pid)).changed, ['web']);
    const isHint = ({ msg }: LogLine) => /^service web: conntrack.capacity changes at the next start/.test(msg);
    await until(() => log.some(isHint), 'the file says more than is in force');
  });

  test('services come and go, and the steering with them', async () => {
    write([yaml('b1')]);
    const { pid } = await ready(start());
    const other = (port: number) => `  - { name: other, vip: ${VIP}, port: ${port}, backends: [${yaml('b2')}] }\n`;
    write([yaml('b1')], { service: 'tableSize: 251', more: other(8080) });
    const { added, changed } = await reloaded(pid);
    assert.deepEqual([added, changed], [['other'], ['web']]);
    assert.deepEqual(get('client', `http://${VIP}:8080/`), ['failed: ECONNREFUSED'], "its backend's kernel says no");

    lan.write(`interface: eth0\nservices:\n${other(80)}`);
    const { removed } = await reloaded(pid);
    assert.deepEqual(removed, ['web']);
    assert.deepEqual(answering(), new Set(['b2']), 'another service has the VIP and port now');

    lan.write(`interface: eth0\nservices:\n${other(8080)}`);
    await reloaded(pid);
    assert.match(get('client', `http://${VIP}/`, 1, 1000)[0], /^failed: /, "a VIP and port of nobody are the kernel's");
  });

  test("a removed service's connection table takes no memory any more", async () => {
    const second = `  - { name: other, vip: ${VIP}, port: 8080, backends: [${yaml('b2')}] }\n`;
    write([yaml('b1')], { more: second });
    const { pid } = await ready(start());
    const residentMib = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
    const before = residentMib();
    write([yaml('b1')]);
    await reloaded(pid);
    // 1,048,576 connections at 32 bytes, and what JavaScript takes or gives back meanwhile.
    const less = before - residentMib();
    assert.ok(less > 24, `${less} MiB less of ${before}`);
    assert.deepEqual(answering(), new Set(['b1']));
  });

  test('metrics show the configuration in force, and counters of who stays go on', async () => {
    write([yaml('b1'), yaml('b2')]);
    const { pid } = await ready(start());
    answering();
    const metrics = () =>
      new Map(
        get('lb', 'http://127.0.0.1:9108/metrics')
          .filter((line) => line.startsWith('hushlb_'))
          .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))] as const),
      );
    const packets = (name: string) => `hushlb_backend_packets_total{service="web",backend="${name}"}`;
    const before = metrics();
    write([yaml('b3'), yaml('b1')]);
    await reloaded(pid);
    const after = metrics();
    assert.ok((after.get(packets('b1')) ?? 0) >= (before.get(packets('b1')) ?? Number.NaN));
    assert.equal(after.get(packets('b3')), 0);
    assert.equal(after.has(packets('b2')), false);
    assert.deepEqual(
      [...after.keys()].filter((name) => name.startsWith('hushlb_backend_slots')).length,
      2,
      'the table in force',
    );
  });

  test('a bad file changes nothing and gets a line for each problem, as check prints them', async () => {
    write([yaml('b1')]);
    const { pid } = await ready(start());
    const problems = () => log.flatMap(({ problem }) => problem ?? []);
    write([yaml('b2', ', weight: 0'), yaml('b2')], { service: 'tableSize: 8' });
    const { msg } = await reloaded(pid);
    await until(() => problems().length === 4, 'four lines, one for each problem');
    const check = spawnSync(process.execPath, [HUSHLB, 'check', '-c', lan.file()], { encoding: 'utf8' }).stderr;
    assert.deepEqual(
      log.filter(({ problem }) => problem !== undefined).map((line) => line.msg),
      Array(4).fill(msg),
    );
    for (const problem of problems())
      assert.ok(check.includes(problem.replace(`${lan.file()}: `, '')), `${problem}\n${check}`);

    rmSync(lan.file());
    assert.match((await reloaded(pid)).problem ?? '', /no such file$/);
    assert.deepEqual(answering(), new Set(['b1']));
    write([yaml('b2')]);
    assert.equal((await reloaded(pid)).msg, 'reloaded');
    assert.deepEqual(answering(), new Set(['b2']));
  });

  test('what a running process cannot change is refused as a whole, by its key', async () => {
    write([yaml('b1')]);
    const { pid } = await ready(start());
    const keys: Record<string, string> = {
      xdpMode: 'xdpMode: generic',
      hashSeed: 'hashSeed: 7',
      workers: 'workers: 1',
      cpus: 'cpus: [0]',
      'afXdp.ringSize': 'afXdp: { ringSize: 64 }',
      'afXdp.batchSize': 'afXdp: { batchSize: 8 }',
      'afXdp.zeroCopy': 'afXdp: { zeroCopy: off }',
      'afXdp.busyPoll': 'afXdp: { busyPoll: 50us }',
      'metrics.listen': 'metrics: false',
    };
    for (const [key, top] of Object.entries(keys)) {
      write([yaml('b2')], { top });
      assert.match((await reloaded(pid)).problem ?? '', new RegExp(`^${key}: .* restart hushlb to change it$`));
    }
    write([yaml('b2')]);
    lan.write(readFileSync(lan.file(), 'utf8').replace('eth0', 'eth1'));
    assert.equal(
      (await reloaded(pid)).problem,
      'interface: eth0 runs, the file says eth1: restart hushlb to change it',
    );
    assert.deepEqual(answering(), new Set(['b1']));
  });

  test('a new backend without a route is refused, a silent one is waited for and taken', async () => {
    write([yaml('b1')]);
    const { pid } = await ready(start());
    write([yaml('b1'), '{ name: self, address: 198.18.2.10 }']);
    assert.match(
      (await reloaded(pid)).problem ?? '',
      /^backend 198\.18\.2\.10 is unreachable: it is an address of this host/,
    );

    write([yaml('b1'), '{ name: silent, address: 198.18.2.77 }']);
    const { msg, added } = await reloaded(pid);
    assert.deepEqual([msg, added], ['reloaded', ['web/silent']]);
    const isSilent = (line: LogLine) => line.address === '198.18.2.77' && /unreachable/.test(line.msg);
    await until(() => log.some(isSilent), 'the silent backend is named');
    const answers = get('client', `http://${VIP}/`, 1, 2000);
    assert.ok(
      answers.every((answer) => answer === 'b1' || answer.startsWith('failed')),
      answers.join(),
    );
  });

  test('SIGHUP during the start is remembered; several at once are one or two reloads', async () => {
    write([yaml('b1'), '{ name: silent, address: 198.18.2.78 }'], { service: 'onMiss: drop' });
    const balancer = start();
    // The first thing that it says, before it waits for its backends.
    const line = await balancer.waitForLine((text) => text.includes('broken on purpose'), PATIENCE_MS, never);
    const pid = Number(JSON.parse(line).pid);
    write([yaml('b2')], { service: 'onMiss: drop' });
    process.kill(pid, 'SIGHUP');
    await ready(balancer);
    await balancer.waitForLine((text) => logMessage(text) === 'reloaded', PATIENCE_MS, never);
    assert.deepEqual(answering(), new Set(['b2']));

    for (let i = 0; i < 20; i++) process.kill(pid, 'SIGHUP');
    await reloaded(pid);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const count = log.filter(({ msg }) => msg === 'reloaded').length;
    assert.ok(count >= 2 && count < 20, `${count} reloads`);
  });

  test('SIGTERM while a reload waits for a backend: exit code 0, nothing attached', async () => {
    write([yaml('b1')]);
    const balancer = start();
    const { pid } = await ready(balancer);
    write([yaml('b1'), '{ name: silent, address: 198.18.2.79 }']);
    process.kill(pid, 'SIGHUP');
    await until(() => lan.inHost('lb', 'ip', 'neigh', 'show', '198.18.2.79') !== '', 'the new backend is asked for');
    process.kill(pid, 'SIGTERM');
    assert.equal(await balancer.ended, 0);
    assert.deepEqual(
      log.map(({ msg }) => msg).filter((msg) => ['ready', 'reloaded', 'stopping', 'stopped'].includes(msg)),
      ['ready', 'stopping', 'stopped'],
    );
    assert.ok(!isAttached());
  });
});
