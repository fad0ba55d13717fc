/**
 * Connections that outlive the balancer's idle timeout, on a real network of either family: what the tests of idle connections
 * have in common. Not a test.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { inNamespace } from '../../io/namespace.ts';
import type { Addresses } from '../../lab/addresses.ts';
import { type Captures, startCaptures } from '../../lab/captures.ts';
import type { ClientReport, ExchangeReport } from '../../lab/keepalive-client.ts';
import { type Packet, parsePackets } from '../../lab/packets.ts';
import { type HostProcess, labProgram, pause } from '../../lab/processes.ts';
import { backendNames } from '../../lab/topology.ts';
import { RST } from '../../wire/tcp.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from './lan.ts';

export const BACKENDS = backendNames(2);
export const CONNECTIONS = 8;

export interface IdleLan {
  /** A balancer with these lines of YAML for its service. */
  startBalancer(service: string): Promise<void>;
  /** Connections that have had one answer each and idle now. */
  openConnections(patienceMs: number): Promise<{ client: HostProcess; reports: ExchangeReport[] }>;
  /** Sends once more on each, and says how that ended. */
  sendAgain(client: HostProcess, reports: readonly ExchangeReport[]): Promise<ExchangeReport[]>;
  watch(...hosts: string[]): () => Packet[];
  /** Until the balancer remembers none of the connections. */
  forgotten(): Promise<void>;
  /** Established connections to or from port 80; the kernel keeps nothing of one that was reset. */
  established(host: string): number;
  onBackends(): number;
}

/** The lab's network for the suite that calls it. */
export function useIdleLan(addresses: Addresses): IdleLan {
  const lan = useLan(BACKENDS, addresses);
  const captures: Captures[] = [];

  afterEach(() => {
    for (const capture of captures.splice(0)) capture.stop();
  });

  async function startBalancer(service: string): Promise<void> {
    const backends = BACKENDS.map((name) => backendYaml(name, '', addresses));
    lan.write(configuration(backends, { service, addresses }));
    await ready(lan.startBalancer());
  }

  async function openConnections(patienceMs: number): Promise<{ client: HostProcess; reports: ExchangeReport[] }> {
    const reports: ExchangeReport[] = [];
    const options = { host: addresses.vip, port: 80, connections: CONNECTIONS, seed: 1, patience: patienceMs };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const client = lan.start('client', [process.execPath, labProgram('keepalive-client'), ...args], (line) => {
      const report = JSON.parse(line) as ClientReport;
      if (report.event === 'exchange') reports.push(report);
    });
    await client.waitForLine((line) => line.includes('"idle"'), PATIENCE_MS, never);
    assert.equal(reports.filter(({ status }) => status === 200).length, CONNECTIONS);
    return { client, reports };
  }

  async function sendAgain(client: HostProcess, reports: readonly ExchangeReport[]): Promise<ExchangeReport[]> {
    client.write('again');
    await client.waitForLine((line) => line.includes('"done"'), PATIENCE_MS, never);
    return reports.filter(({ round }) => round === 'second');
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

  function established(host: string): number {
    const file = addresses.family === 6 ? '/proc/net/tcp6' : '/proc/net/tcp';
    const table = inNamespace(lan.namespace(host), () => readFileSync(file, 'latin1'));
    return table.split('\n').filter((line) => /^ *\d+: \S+:0050 \S+ 01 | \S+:0050 01 /.test(line)).length;
  }

  async function forgotten(): Promise<void> {
    const client = openClient({ socket: lan.socket() });
    const remembered = async (): Promise<number> =>
      ((await client.request('GET', '/v1/conntrack')) as { matched: number }).matched;
    await until(async () => (await remembered()) === 0, 'the balancer has forgotten them');
    client.close();
  }

  const onBackends = () => BACKENDS.reduce((sum, name) => sum + established(name), 0);

  return { startBalancer, openConnections, sendAgain, watch, forgotten, established, onBackends };
}

async function until(isIt: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await isIt())) {
    assert.ok(performance.now() < deadline, `${what} within ${PATIENCE_MS / 1000} s`);
    await pause(20, never);
  }
}

export const errorsOf = (reports: readonly ExchangeReport[]) => new Set(reports.map(({ error }) => error));
export const resetsIn = (packets: readonly Packet[]) => packets.filter(({ flags }) => (flags & RST) !== 0);

/** The promise of `onExpiry: reset`, as tests of the suite that calls it. */
export function testResetsAtExpiry(lan: IdleLan): void {
  const { startBalancer, openConnections, sendAgain, watch, established, onBackends } = lan;
  for (const encap of ['ipip', 'l2']) {
    test(`onExpiry: reset by ${encap}: both kernels drop the connection before anybody sends again`, async () => {
      await startBalancer(`encap: ${encap}\n    profile: f5-fastl4\n    conntrack: { idleTimeout: 3s }`);
      const packetsSeen = watch('client', ...BACKENDS);
      const { client, reports } = await openConnections(5000);
      assert.deepEqual([established('client'), onBackends()], [CONNECTIONS, CONNECTIONS]);
      await until(() => established('client') === 0, 'every socket of the client is reset');
      await until(() => onBackends() === 0, 'every socket of the backends is reset');

      // What the client's program was told while it did nothing.
      assert.deepEqual(errorsOf(await sendAgain(client, reports)), new Set(['ECONNRESET']));

      const packets = packetsSeen();
      const resets = resetsIn(packets);
      const count = (hosts: readonly string[]) =>
        resets.filter(({ host, direction }) => hosts.includes(host) && direction === 'in').length;
      assert.deepEqual([count(['client']), count(BACKENDS)], [CONNECTIONS, CONNECTIONS]);
      assert.equal(resets.length, 2 * CONNECTIONS, 'no RST of anybody else');
      const lastRequest = Math.max(...packets.filter(({ httpLine }) => httpLine).map(({ timeMs }) => timeMs));
      assert.ok(resets.every(({ timeMs }) => timeMs > lastRequest));
    });
  }
}
