/**
 * The probe against boxes that really forget: hushlb itself, in a network of namespaces, once as it should be and twice
 * broken on purpose. The servers behind it never close, so whatever the probe finds is the balancer's doing.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type HostProcess, HUSHLB, labProgram, logMessage, pause, startProcess } from '../../lab/processes.ts';
import { removeRun } from '../../lab/runs.ts';
import { backendAddress, backendNames, sharedLan, VIP } from '../../lab/topology.ts';
import { temporaryFolder } from '../cli/command.ts';

const RUN = `test-${process.pid}`;
const PATIENCE_MS = 30_000;
const IDLE_TIMEOUT_MS = 1500;
const PORTS = { forward: 80, reset: 81, drop: 82 };
/** How late timers may be on a busy machine before a test fails. */
const LATENESS_MS = 500;

const root = process.getuid?.() === 0;
const folder = temporaryFolder();
const processes: HostProcess[] = [];
let network: Network;

interface Result {
  readonly result: string;
  readonly ending: string | null;
  readonly idleTimeoutMs: { readonly lived: number; readonly died: number | null };
}

function probe(...args: string[]): Promise<Result> {
  const command = ['netns', 'exec', network.namespace('client'), process.execPath, HUSHLB, 'probe-idle', ...args];
  return new Promise((resolve, reject) => {
    execFile('ip', [...command, '--json'], (error, stdout) =>
      error === null ? resolve(JSON.parse(stdout)) : reject(error),
    );
  });
}

const probeUrl = (port: number): Promise<Result> =>
  probe(`http://${VIP}:${port}/`, '--min', '300ms', '--max', '4s', '--connections', '6', '--patience', '2s');

function assertHoldsTimeout({ idleTimeoutMs: { lived, died } }: Result): void {
  const holds = lived <= IDLE_TIMEOUT_MS + LATENESS_MS && died !== null && died >= IDLE_TIMEOUT_MS - LATENESS_MS;
  assert.ok(holds && lived > 0, `${lived} to ${died} does not hold ${IDLE_TIMEOUT_MS}`);
}

describe('probing through hushlb', { concurrency: true, skip: !root && 'needs root for network namespaces' }, () => {
  before(async () => {
    const never = new AbortController().signal;
    const [backend] = backendNames(1);
    network = buildNetwork(RUN, sharedLan(1));
    const start = (name: string, host: string, command: string[]): HostProcess => {
      const started = startProcess({
        name,
        namespace: network.namespace(host),
        command: [process.execPath, ...command],
        onUnexpectedEnd: () => {},
      });
      processes.push(started);
      return started;
    };
    for (const port of Object.values(PORTS)) {
      start(`server ${port}`, backend, [labProgram('http-server'), '--name', backend, '--port', String(port)]);
    }
    const services = Object.entries(PORTS).map(([onMiss, port]) => ({
      name: onMiss,
      vip: VIP,
      port,
      onMiss,
      conntrack: { idleTimeout: `${IDLE_TIMEOUT_MS}ms` },
      backends: [{ name: backend, address: backendAddress(backend) }],
    }));
    // JSON is YAML.
    const file = folder.write(
      'hushlb.yaml',
      JSON.stringify({ interface: 'eth0', metrics: false, admin: false, services }),
    );
    const waiting = [
      start('decap', backend, [HUSHLB, 'decap', '--interface', 'eth0']),
      start('balancer', 'lb', [HUSHLB, 'run', '-c', file]),
    ];
    // State 0A is LISTEN.
    const listeners = (): number =>
      inNamespace(network.namespace(backend), () => readFileSync('/proc/net/tcp', 'latin1')).split(' 0A ').length - 1;
    const isReady = (line: string): boolean => logMessage(line) === 'ready';
    for (const each of waiting) await each.waitForLine(isReady, PATIENCE_MS, never);
    while (listeners() < Object.keys(PORTS).length) await pause(20, never);
  });
  after(async () => {
    for (const each of processes.reverse()) await each.stop();
    removeRun(RUN);
    folder.remove();
  });

  it('a stateless balancer is not to be seen', async () => {
    assert.equal((await probeUrl(PORTS.forward)).result, 'outlived');
  });

  it('one that answers RST to what it forgot', async () => {
    const found = await probeUrl(PORTS.reset);
    assert.deepEqual([found.result, found.ending], ['died', 'rst']);
    assertHoldsTimeout(found);
  });

  it('one that drops what it forgot', async () => {
    const found = await probeUrl(PORTS.drop);
    assert.deepEqual([found.result, found.ending], ['died', 'silent']);
    assertHoldsTimeout(found);
  });

  it('a bare connection tells RST from silence too, by keepalive alone', async () => {
    const bare = (port: number): Promise<Result> =>
      probe(`${VIP}:${port}`, '--min', '3s', '--max', '3s', '--connections', '1');
    const [reset, drop] = await Promise.all([bare(PORTS.reset), bare(PORTS.drop)]);
    assert.deepEqual([reset.result, reset.ending], ['died', 'rst']);
    assert.deepEqual([drop.result, drop.ending], ['died', 'silent']);
  });
});
