/**
 * The balancer's configuration as scenarios have it written, and how the lab learns that a running one has taken over
 * another.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type BalancerSettings,
  balancerConfiguration,
  reloadBalancer,
  servicesConfiguration,
} from '../../lab/balancer.ts';
import { type HostProcess, startProcess } from '../../lab/processes.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { needsRoot } from '../io/two-hosts.ts';

const NAMESPACE = `hushlb-test-${process.pid}-balancer`;
const SETTINGS: BalancerSettings = { mode: 'stateless', scheduler: 'maglev', idleTimeoutMs: 12_000 };
const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-balancer-'));
const never = new AbortController().signal;
const processes: HostProcess[] = [];

before(() => {
  if (!needsRoot) execFileSync('ip', ['netns', 'add', NAMESPACE]);
});

after(async () => {
  for (const each of processes) await each.stop();
  if (!needsRoot) execFileSync('ip', ['netns', 'del', NAMESPACE]);
  rmSync(directory, { recursive: true });
});

describe('balancerConfiguration', () => {
  it('is one that hushlb takes: backends with their states, the table with its timeout or none', () => {
    const written = balancerConfiguration(SETTINGS, [{ name: 'b1' }, { name: 'b2', state: 'draining' }]);
    const [service] = parseConfig(written, 'lb.yaml').config.services;
    assert.deepEqual(
      service.backends.map(({ name, address, state }) => [name, address, state]),
      [
        ['b1', '198.18.2.1', 'active'],
        ['b2', '198.18.2.2', 'draining'],
      ],
    );
    assert.deepEqual([service.conntrack.enabled, service.conntrack.idleTimeoutMs], [true, 12_000]);
    const without = balancerConfiguration({ ...SETTINGS, conntrack: false }, [{ name: 'b1' }]);
    assert.equal(parseConfig(without, 'lb.yaml').config.services[0].conntrack.enabled, false);
    assert.equal(parseConfig(without, 'lb.yaml').config.io, 'af-xdp');
    const onSockets = balancerConfiguration({ ...SETTINGS, io: 'af-packet' }, [{ name: 'b1' }]);
    assert.equal(parseConfig(onSockets, 'lb.yaml').config.io, 'af-packet');
  });

  it('has as many services as the matrix has cells, each with its port, timeout and capacity', () => {
    const cells = [80, 81].map((port) => ({
      name: `cell-${port}`,
      port,
      idleTimeoutMs: 10 * port,
      capacity: 64 * port,
    }));
    const behaviour = { mode: 'stateful', scheduler: 'round-robin', onMiss: 'drop' } as const;
    const { services } = parseConfig(servicesConfiguration(behaviour, cells, [{ name: 'b1' }]), 'lb.yaml').config;
    assert.deepEqual(
      services.map(({ name, ports, scheduler, onMiss, conntrack: { idleTimeoutMs, capacity } }) => [
        { name, port: ports.first, idleTimeoutMs, capacity },
        [scheduler, onMiss],
      ]),
      cells.map((cell) => [cell, ['round-robin', 'drop']]),
    );
  });
});

describe('reloadBalancer', { skip: needsRoot }, () => {
  /** Logs `message` when it is told to read its configuration again. */
  async function standIn(message: string, problem = ''): Promise<HostProcess> {
    const started = startProcess({
      name: 'the balancer',
      namespace: NAMESPACE,
      command: [
        'sh',
        '-c',
        `trap 'echo "{\\"problem\\":\\"${problem}\\",\\"msg\\":\\"${message}\\"}"' HUP; echo up; while :; do sleep 0.05; done`,
      ],
      onUnexpectedEnd: (error) => assert.fail(error.message),
    });
    processes.push(started);
    await started.waitForLine((line) => line === 'up', 15_000, never);
    return started;
  }

  const configuration = balancerConfiguration(SETTINGS, [{ name: 'b1' }]);
  const options = { name: 'lb', directory, configuration };

  it('replaces the file, and returns when the balancer says so', async () => {
    const balancer = await standIn('reloaded');
    await reloadBalancer(balancer, options, never);
    const written = readFileSync(join(directory, 'lb.yaml'), 'utf8');
    assert.ok(written.endsWith(configuration));
    assert.equal(parseConfig(written, 'lb.yaml').config.admin?.socket, join(directory, 'lb.sock'));
    assert.ok(!existsSync(join(directory, 'lb.yaml.new')));
  });

  it('passes a refusal on in one line, and an interruption', async () => {
    const balancer = await standIn('reload refused, nothing changed', 'interface: restart hushlb to change it');
    await assert.rejects(reloadBalancer(balancer, options, never), {
      code: 'LAB_PROCESS',
      message: 'the balancer did not reload: reload refused, nothing changed: interface: restart hushlb to change it',
    });
    const silent = await standIn('something else');
    const interrupted = AbortSignal.timeout(100);
    await assert.rejects(reloadBalancer(silent, options, interrupted), { name: 'TimeoutError' });
  });
});
