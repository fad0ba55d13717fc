/**
 * Ten thousand events a second harm neither forwarding nor memory: `hushlb run` at one end of a veth pair, at the other a raw
 * socket that sends packets of unknown connections and sees each of them come back for its backend, while one follows who reads,
 * and one who doesn't.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openClient } from '../../admin/client.ts';
import { HUSHLB } from '../../lab/processes.ts';
import type { BalancerEvent } from '../../lb/events.ts';
import { openPacketSocket, type PacketSocket } from '../io/packet-socket.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, type TwoHosts } from '../io/two-hosts.ts';
import { CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, tcpPacket } from '../packets.ts';

const PACKETS = 32 * 1000;
const BURST = 32;
const PATIENCE_MS = 30_000;
const BACKEND_MAC = '02:00:00:00:01:01';

describe('a storm of events', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let directory: string;
  let socket: PacketSocket;
  let balancer: ChildProcess;

  before(async () => {
    hosts = makeTwoHosts();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    ip('-n', hosts.left, 'neigh', 'add', '198.18.0.11', 'lladdr', BACKEND_MAC, 'nud', 'permanent', 'dev', 'left');
    socket = openPacketSocket(hosts.right, 'right');
    const file = join(directory, 'hushlb.yaml');
    const web =
      '{ name: web, vip: 198.18.10.1, port: 80, encap: l2, conntrack: { capacity: 131072 }, backends: [{ name: b1, address: 198.18.0.11 }] }';
    writeFileSync(
      file,
      `interface: left\nmetrics: false\nadmin: { socket: ${directory}/hushlb.sock }\nservices:\n  - ${web}\n`,
    );
    const command = ['netns', 'exec', hosts.left, process.execPath, HUSHLB, 'run', '-c', file, '--log-format', 'json'];
    balancer = spawn('ip', command, { stdio: ['ignore', 'inherit', 'pipe'] });
    assert.ok(balancer.stderr !== null);
    for await (const line of createInterface(balancer.stderr)) {
      if (JSON.parse(line).msg === 'ready') break;
    }
  });

  after(async () => {
    socket.close();
    balancer.kill('SIGTERM');
    if (balancer.exitCode === null) await new Promise((resolve) => balancer.once('exit', resolve));
    hosts.remove();
    rmSync(directory, { recursive: true });
  });

  const residentMiB = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${balancer.pid}/status`, 'utf8'))?.[1]) / 1024;

  /** Each burst when all of the one before have come back: a lost packet is seen, and nothing overflows. */
  async function send(count: number): Promise<void> {
    const [{ address: ownMac }] = ipJson(hosts.left, 'link', 'show', 'left');
    for (let first = 0; first < count; first += BURST) {
      for (let i = first; i < first + BURST; i++) {
        const packet = tcpPacket({
          source: `198.18.1.${1 + (i >>> 15)}`,
          sourcePort: 1024 + (i & 0x7fff),
          sequence: i,
          flags: 'A',
        });
        socket.send(ethernetFrame(ownMac, CLIENT_MAC, ETHERTYPE_IPV4, packet));
      }
      const deadline = performance.now() + PATIENCE_MS;
      for (let back = 0; back < BURST; ) {
        if (socket.receive(0) !== undefined) back++;
        else {
          assert.ok(performance.now() < deadline, `${BURST - back} packets of a burst were lost`);
          await pause(0);
        }
      }
    }
  }

  test('every packet goes on, every event is told or counted, and memory stays', async (t) => {
    const path = `${directory}/hushlb.sock`;
    const client = openClient({ socket: path });
    const told: BalancerEvent[] = [];
    const reading = (async () => {
      for await (const event of client.stream('/v1/events?follow=true&recent=0')) told.push(event as BalancerEvent);
    })();
    // Asks and never reads.
    const lazy = request({ socketPath: path, path: '/v1/events?follow=true', headers: { host: 'hushlb' } }).end();
    lazy.on('error', () => {}).on('response', (response) => response.pause());
    const until = async (isIt: () => boolean, what: string): Promise<void> => {
      for (const deadline = performance.now() + PATIENCE_MS; !isIt(); await pause(10)) {
        assert.ok(performance.now() < deadline, `${what}: ${told.length} events`);
      }
    };
    // Who is told of a change as it happens follows, and from then on the worker tells.
    for (let i = 0; told.length === 0; i++) {
      await client.request('PATCH', '/v1/services/web/backends/b1', { weight: 2 + (i % 2) });
      await pause(20);
    }
    const weightOf = ({ kind, count = 0, reason }: BalancerEvent): number =>
      kind === 'pickup' ? 1 : kind === 'left-out' && reason.includes('of kind pickup') ? count : 0;
    const sum = (): number => told.reduce((all, event) => all + weightOf(event), 0);
    const residentBefore = residentMiB();
    const begun = performance.now();
    await send(PACKETS);
    t.diagnostic(`${Math.round((PACKETS * 1000) / (performance.now() - begun))} events a second`);
    await until(() => sum() >= PACKETS, 'all are told or counted');
    assert.equal(sum(), PACKETS);
    const seqs = told.map(({ seq }) => seq);
    assert.ok(
      seqs.every((seq, i) => i === 0 || seq === seqs[i - 1] + 1),
      'without a gap',
    );
    const grown = residentMiB() - residentBefore;
    assert.ok(grown < 100, `${grown} MiB more`);
    lazy.destroy();
    client.close();
    await reading;
  });
});
