/**
 * The unit as it is shipped under a real systemd, installed by the words of docs/operations.md: when it is active, what its walls
 * hold back, reloads, what restarts it and what does not, and that nothing stays when it is stopped. The machine's own systemd,
 * if it has one, knows nothing of it (systemd-host.ts).
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { VIP } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, useLan } from './lan.ts';
import { bootSystemd, type SystemdHost, until } from './systemd-host.ts';

const OPERATIONS = fileURLToPath(new URL('../../../docs/operations.md', import.meta.url));
const BACKENDS = fileURLToPath(new URL('../../../docs/backends.md', import.meta.url));
const FILE = '/etc/hushlb/hushlb.yaml';
const PACKAGE = '/usr/local/lib/node_modules/hushlb';

/** linux/capability.h: CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_PERFMON 38, CAP_BPF 39. */
const CAPABILITIES = [12, 13, 38, 39].reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);

/** A health check runs inside the walls, too: up while they hold, and its first line is the reason. */
const WALLS = [
  'exec 2> /dev/null',
  'if touch /srv/open/x || unshare --user true || [ -d /proc/1 ] || ! grep -q "^proc /proc/sys proc ro," /proc/mounts; then exit 1; fi',
  '[ ! -e /tmp/hushlb.yaml ] && [ -w /etc/hushlb ] && [ -w /run/hushlb ] && echo they hold',
].join('\n');
const HEALTH = `health: { check: command, interval: 1s, timeout: 30s, grace: 1ms, rise: 1, fall: 1, command: [sh, -c, ${JSON.stringify(WALLS)}] }`;
const GOOD = configuration([backendYaml('b1')], { top: 'hashSeed: 7\ncpus: [1]', service: HEALTH });

describe('the unit under systemd', { skip: needsRoot }, () => {
  const lan = useLan(['b1']);
  let host: SystemdHost;
  before(async () => {
    host = await bootSystemd(lan.namespace('lb'));
  });
  after(() => host?.end());

  const state = (): string => host.property('hushlb', 'ActiveState');
  const mainPid = (): string => host.property('hushlb', 'MainPID');
  const restarts = (): number => Number(host.property('hushlb', 'NRestarts'));
  const journal = (): string => host.run('journalctl', '-u', 'hushlb', '-o', 'cat', '--no-pager');
  const forwards = async (): Promise<boolean> => (await lan.ask('client', `http://${VIP}/`, 1, 1000))[0] === 'b1';
  /** Another process than `pid`, which forwards. */
  const isBack = (pid: string): Promise<void> =>
    until(async () => state() === 'active' && mainPid() !== pid && (await forwards()), journal);

  test('installed as the page says, it is active when packets flow', async () => {
    writeFileSync(host.path('/tmp/hushlb.yaml'), GOOD);
    host.run('mkdir', '-p', '-m', '777', '/srv/open');
    const [, steps] =
      /## Install as a service[\s\S]*?```sh\n([\s\S]*?)```/.exec(readFileSync(OPERATIONS, 'utf8')) ?? [];
    const said = host.run('sh', '-exc', `ln -s ${PACKAGE}/contrib /tmp && cd /tmp\n${steps}`);
    assert.match(said, /Active: active \(running\)/);
    assert.equal(lan.get('client', `http://${VIP}/`)[0], 'b1');
    assert.equal(host.property('hushlb', 'StatusText'), '1 service, 1 of 1 backends up');
    const log = (): string => host.run('journalctl', '-t', 'hushlb', '-o', 'cat', '--no-pager');
    await until(() => /"msg":"ready"/.test(log()), journal);
  });

  test('the walls are as high as the unit says', async () => {
    const status = readFileSync(host.path(`/proc/${mainPid()}/status`), 'utf8');
    const has = (name: string): string | undefined => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
    for (const name of ['CapEff', 'CapBnd', 'CapAmb']) assert.equal(BigInt(`0x${has(name)}`), CAPABILITIES, name);
    const user = host.run('id', '-u', 'hushlb');
    assert.deepEqual([has('Uid'), has('NoNewPrivs'), has('Seccomp')], [Array(4).fill(user).join('\t'), '1', '2']);
    assert.equal(host.run('stat', '-c', '%U %a', '/run/hushlb'), 'hushlb 755');
    assert.equal(host.run('stat', '-c', '%U %a', '/run/hushlb/eth0.sock'), 'hushlb 600');
    await until(
      () => /"reason":"they hold"/.test(host.run('hushlb', 'status', '--json').replace(/\s*:\s*/g, ':')),
      journal,
    );
  });

  test('a reload reloads, one that is refused fails, and what runs is saved', async () => {
    const pid = mainPid();
    writeFileSync(host.path(FILE), 'services: 3\n');
    assert.notEqual(host.ask(['systemctl', 'reload', 'hushlb']).status, 0);
    writeFileSync(host.path(FILE), GOOD.replace('b1, address', 'b1, state: draining, address'));
    host.run('systemctl', 'reload', 'hushlb');
    await until(() => host.property('hushlb', 'StatusText').endsWith('1 draining'), journal);
    host.run('hushlb', 'undrain', 'web', 'b1');
    host.run('hushlb', 'save');
    assert.doesNotMatch(readFileSync(host.path(FILE), 'utf8'), /draining/);
    assert.ok(await forwards());
    assert.deepEqual([state(), mainPid(), restarts()], ['active', pid, 0]);
  });

  test('killed, it is started again; stopped, it leaves nothing', async (t) => {
    const pid = mainPid();
    const killed = performance.now();
    host.run('systemctl', 'kill', '--signal', 'KILL', 'hushlb');
    await isBack(pid);
    t.diagnostic(`forwards again ${Math.round(performance.now() - killed)} ms after the kill`);
    assert.equal(restarts(), 1);
    host.run('systemctl', 'stop', 'hushlb');
    assert.deepEqual([state(), host.property('hushlb', 'Result')], ['inactive', 'success']);
    assert.ok(!lan.isAttached());
    assert.equal(host.property('hushlb', 'ControlGroup'), '');
    assert.deepEqual(readdirSync(host.path('/run/hushlb')), []);
  });

  test('a worker that hangs is noticed by the watchdog; no system call of it all was denied', async () => {
    mkdirSync(host.path('/etc/systemd/system/hushlb.service.d'));
    const other = '[Service]\nWatchdogSec=3\nSystemCallErrorNumber=kill\n';
    writeFileSync(host.path('/etc/systemd/system/hushlb.service.d/other.conf'), other);
    writeFileSync(host.path(FILE), GOOD.replace(HEALTH, ''));
    host.run('systemctl', 'daemon-reload');
    host.run('systemctl', 'start', 'hushlb');
    const pid = mainPid();
    // On a CPU of its own, so that its thread is known.
    const tasks = host.path(`/proc/${pid}/task`);
    const thread = readdirSync(tasks).find((id) =>
      /^Cpus_allowed_list:\s*1$/m.test(readFileSync(`${tasks}/${id}/status`, 'utf8')),
    );
    assert.ok(thread !== undefined, 'a worker is pinned');
    const [command, ...words] = host.entering('python3', `${PACKAGE}/test/lb/stop_thread.py`, thread);
    const hang = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await Promise.race([once(hang.stdout, 'data'), once(hang, 'exit')]);
      await until(() => /workers hang: the watchdog is not told[\s\S]*Watchdog timeout/.test(journal()), journal);
    } finally {
      // Whom it stopped does not end before it does.
      hang.stdin.end();
      await once(hang, 'exit');
    }
    await isBack(pid);
    assert.doesNotMatch(journal(), /status=31\/SYS/);
  });

  test('a broken configuration: failed, a line in the journal, and no further try', async () => {
    writeFileSync(host.path(FILE), GOOD.replace('port: 80', 'port: none'));
    assert.notEqual(host.ask(['systemctl', 'restart', 'hushlb']).status, 0);
    assert.deepEqual([state(), host.property('hushlb', 'SubState')], ['failed', 'failed']);
    assert.equal(host.property('hushlb', 'ExecMainStatus'), '78');
    const line = /^hushlb: \/etc\/hushlb\/hushlb\.yaml: services\[0\]\.port: expected a port/m;
    await until(() => line.test(journal()), journal);
    assert.ok(!lan.isAttached());
  });

  test('decap on a backend: installed as the page says, active when it is attached, and gone when it is stopped', async () => {
    const [, steps] =
      /As a service, on each backend[\s\S]*?```sh\n([\s\S]*?)```/.exec(readFileSync(BACKENDS, 'utf8')) ?? [];
    const said = host.run('sh', '-exc', `cd /tmp\n${steps}`);
    assert.match(said, /Active: active \(running\)/);
    assert.equal(host.property('hushlb-decap@eth0', 'StatusText'), 'ipip on eth0');
    assert.ok(lan.isAttached());
    const status = readFileSync(host.path(`/proc/${host.property('hushlb-decap@eth0', 'MainPID')}/status`), 'utf8');
    assert.equal(BigInt(`0x${/^CapEff:\s*(.*)$/m.exec(status)?.[1]}`), CAPABILITIES & ~(1n << 13n));
    assert.doesNotMatch(status, /^Uid:\s*0/m);
    host.run('systemctl', 'stop', 'hushlb-decap@eth0');
    assert.equal(host.property('hushlb-decap@eth0', 'Result'), 'success');
    assert.ok(!lan.isAttached());
  });
});
