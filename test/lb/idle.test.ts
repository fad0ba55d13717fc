/**
 * Connections that outlive the balancer's idle timeout, on a real network: what real kernels make of the resets of
 * `onExpiry: reset`, and of the silence of `onMiss: drop`.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { startBackend } from '../../lab/backends.ts';
import { type Captures, startCaptures } from '../../lab/captures.ts';
import type { ClientReport, ExchangeReport } from '../../lab/keepalive-client.ts';
import { buildNetwork, type Network } from '../../lab/network.ts';
import { type Packet, parsePackets } from '../../lab/packets.ts';
import { type HostProcess, HUSHLB, labProgram, logMessage, pause, startProcess } from '../../lab/processes.ts';
import { openRun, removeRun } from '../../lab/runs.ts';
import { backendAddress, backendNames, sharedLan, VIP } from '../../lab/topology.ts';
import { RST } from '../../wire/tcp.ts';

const isRoot = process.getuid?.() === 0;
const never = new AbortController().signal;
const BACKENDS = backendNames(2);
const CONNECTIONS = 8;
const PATIENCE_MS = 10_000;

describe('idle connections', { skip: isRoot ? false : 'needs root for network namespaces' }, () => {
  let runId: string;
  let network: Network;
  let directory: string;
  const backends: HostProcess[] = [];
  const programs: HostProcess[] = [];
  const captures: Captures[] = [];

  before(async () => {
    runId = openRun();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    network = buildNetwork(runId, sharedLan(BACKENDS.length));
    const onUnexpectedEnd = (error: Error) => assert.fail(error.message);
    const started = (program: HostProcess) => void backends.push(program);
    await Promise.all(
      BACKENDS.map((name) => {
        const namespace = network.namespace(name);
        return startBackend({ name, namespace, port: 80, directory, onUnexpectedEnd, started }, never);
      }),
    );
  });

  afterEach(async () => {
    await Promise.all(programs.splice(0).map((program) => program.stop()));
    for (const capture of captures.splice(0)) capture.stop();
  });

  after(async () => {
    await Promise.all(backends.map((program) => program.stop()));
    removeRun(runId);
    rmSync(directory, { recursive: true, force: true });
  });

  function start(host: string, command: string[], onLine: (line: string) => void = () => {}): HostProcess {
    const namespace = network.namespace(host);
    const program = startProcess({ name: command[1], namespace, command, onLine, onUnexpectedEnd: () => {} });
    programs.push(program);
    return program;
  }

  /** A balancer with these lines of YAML for its service. */
  async function startBalancer(service: string): Promise<void> {
    const file = join(directory, 'hushlb.yaml');
    const list = BACKENDS.map((name) => `{ name: ${name}, address: ${backendAddress(name)} }`);
    writeFileSync(
      file,
      `interface: eth0\nservices:\n  - name: web\n    vip: ${VIP}\n    port: 80\n    ${service}\n    backends: [${list}]\n`,
    );
    const balancer = start('lb', [process.execPath, HUSHLB, 'run', '-c', file, '--log-format', 'json']);
    await balancer.waitForLine((line) => logMessage(line) === 'ready', PATIENCE_MS, never);
  }

  /** Connections that have had one answer each and idle now. */
  async function openConnections(patienceMs: number): Promise<{ client: HostProcess; reports: ExchangeReport[] }> {
    const reports: ExchangeReport[] = [];
    const options = { host: VIP, port: 80, connections: CONNECTIONS, seed: 1, patience: patienceMs };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const client = start('client', [process.execPath, labProgram('keepalive-client'), ...args], (line) => {
      const report = JSON.parse(line) as ClientReport;
      if (report.event === 'exchange') reports.push(report);
    });
    await client.waitForLine((line) => line.includes('"idle"'), PATIENCE_MS, never);
    assert.equal(reports.filter(({ status }) => status === 200).length, CONNECTIONS);
    return { client, reports };
  }

  function watch(...hosts: string[]): () => Packet[] {
    const points = hosts.map((host) => ({
      host,
      namespace: network.namespace(host),
      interface: 'eth0',
      farEnd: false,
    }));
    const started = startCaptures(points);
    captures.push(started);
    return () => {
      captures.splice(0);
      assert.equal(started.stop(), 0);
      return parsePackets(started.frames);
    };
  }

  /** Established connections of a host to or from port 80; the kernel keeps nothing of one that was reset. */
  function established(host: string): number {
    const table = inNamespace(network.namespace(host), () => readFileSync('/proc/net/tcp', 'latin1'));
    return table.split('\n').filter((line) => /^ *\d+: \S+:0050 \S+ 01 | \S+:0050 01 /.test(line)).length;
  }

  const onBackends = () => BACKENDS.reduce((sum, name) => sum + established(name), 0);

  async function until(isIt: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!isIt()) {
      assert.ok(performance.now() < deadline, `${what} within ${PATIENCE_MS / 1000} s`);
      await pause(20, never);
    }
  }

  for (const encap of ['ipip', 'l2']) {
    test(`onExpiry: reset by ${encap}: both kernels drop the connection before anybody sends again`, async () => {
      await startBalancer(`encap: ${encap}\n    profile: f5-fastl4\n    conntrack: { idleTimeout: 1500ms }`);
      const packetsSeen = watch('client', ...BACKENDS);
      const { client, reports } = await openConnections(1000);
      assert.deepEqual([established('client'), onBackends()], [CONNECTIONS, CONNECTIONS]);
      await until(() => established('client') === 0, 'every socket of the client is reset');
      await until(() => onBackends() === 0, 'every socket of the backends is reset');

      // What the client's program was told while it did nothing.
      client.write('again');
      await client.waitForLine((line) => line.includes('"done"'), PATIENCE_MS, never);
      const second = reports.filter(({ round }) => round === 'second');
      assert.deepEqual(new Set(second.map(({ error }) => error)), new Set(['ECONNRESET']));

      const packets = packetsSeen();
      const resets = packets.filter(({ flags }) => (flags & RST) !== 0);
      const count = (hosts: readonly string[]) =>
        resets.filter(({ host, direction }) => hosts.includes(host) && direction === 'in').length;
      assert.deepEqual([count(['client']), count(BACKENDS)], [CONNECTIONS, CONNECTIONS]);
      assert.equal(resets.length, 2 * CONNECTIONS, 'no RST of anybody else');
      const lastRequest = Math.max(...packets.filter(({ httpLine }) => httpLine).map(({ timeMs }) => timeMs));
      assert.ok(resets.every(({ timeMs }) => timeMs > lastRequest));
    });
  }

  test('onExpiry: silent: the same pause leaves both sides as they are', async () => {
    await startBalancer('conntrack: { idleTimeout: 500ms }');
    const packetsSeen = watch('client', ...BACKENDS);
    const { client, reports } = await openConnections(1000);
    await pause(2000, never);
    assert.deepEqual([established('client'), onBackends()], [CONNECTIONS, CONNECTIONS]);
    client.write('again');
    await client.waitForLine((line) => line.includes('"done"'), PATIENCE_MS, never);
    assert.deepEqual(new Set(reports.map(({ error }) => error)), new Set([null]));
    assert.deepEqual(
      packetsSeen().filter(({ flags }) => (flags & RST) !== 0),
      [],
    );
  });

  test('onMiss: drop: the request hangs, the kernel sends it again and again, and nobody says a word', async () => {
    await startBalancer('onMiss: drop\n    conntrack: { idleTimeout: 500ms }');
    const packetsSeen = watch('client', ...BACKENDS);
    const { client, reports } = await openConnections(1500);
    await pause(2000, never);
    client.write('again');
    await client.waitForLine((line) => line.includes('"done"'), PATIENCE_MS, never);
    const second = reports.filter(({ round }) => round === 'second');
    assert.deepEqual(new Set(second.map(({ error }) => error)), new Set(['hung']));

    const packets = packetsSeen();
    assert.deepEqual(
      packets.filter(({ flags }) => (flags & RST) !== 0),
      [],
    );
    const requests = packets.filter(({ httpLine }) => httpLine?.startsWith('GET'));
    for (const { localPort } of second) {
      const ofConnection = requests.filter(({ sourcePort }) => sourcePort === localPort);
      const sent = ofConnection.filter(({ host, direction }) => host === 'client' && direction === 'out');
      assert.ok(
        sent.length >= 3,
        `${sent.length} requests of port ${localPort}: the first, and one sent again and again`,
      );
      assert.equal(ofConnection.length - sent.length, 1, 'only the first came to a backend');
    }
  });
});
