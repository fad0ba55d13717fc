/**
 * Connections that outlive the balancer's idle timeout, on a real network: what real kernels make of the resets of
 * `onExpiry: reset`, and of the silence of `onMiss: drop`.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, describe, test } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { type Captures, startCaptures } from '../../lab/captures.ts';
import type { ClientReport, ExchangeReport } from '../../lab/keepalive-client.ts';
import { type Packet, parsePackets } from '../../lab/packets.ts';
import { type HostProcess, labProgram, pause } from '../../lab/processes.ts';
import { backendNames, VIP } from '../../lab/topology.ts';
import { RST } from '../../wire/tcp.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from './lan.ts';

const BACKENDS = backendNames(2);
const BACKENDS_YAML = BACKENDS.map((name) => backendYaml(name));
const CONNECTIONS = 8;

describe('idle connections', { skip: needsRoot }, () => {
  const lan = useLan(BACKENDS);
  const captures: Captures[] = [];

  afterEach(() => {
    for (const capture of captures.splice(0)) capture.stop();
  });

  /** A balancer with these lines of YAML for its service. */
  async function startBalancer(service: string): Promise<void> {
    lan.write(configuration(BACKENDS_YAML, { service }));
    await ready(lan.startBalancer());
  }

  /** Connections that have had one answer each and idle now. */
  async function openConnections(patienceMs: number): Promise<{ client: HostProcess; reports: ExchangeReport[] }> {
    const reports: ExchangeReport[] = [];
    const options = { host: VIP, port: 80, connections: CONNECTIONS, seed: 1, patience: patienceMs };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const client = lan.start('client', [process.execPath, labProgram('keepalive-client'), ...args], (line) => {
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
      namespace: lan.namespace(host),
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
    const table = inNamespace(lan.namespace(host), () => readFileSync('/proc/net/tcp', 'latin1'));
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
      await startBalancer(`encap: ${encap}\n    profile: f5-fastl4\n    conntrack: { idleTimeout: 3s }`);
      const packetsSeen = watch('client', ...BACKENDS);
      const { client, reports } = await openConnections(5000);
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
    const { client, reports } = await openConnections(5000);
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
    const { client, reports } = await openConnections(3000);
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
