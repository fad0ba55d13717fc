/**
 * A thousand reloads under load lose and misroute no packet: `hushlb run` at one end of a veth pair, at the other a raw
 * socket that sends the packets of many connections and sees each of them come back for its backend.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { HUSHLB } from '../../lab/processes.ts';
import { openPacketSocket, type PacketSocket } from '../io/packet-socket.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, type TwoHosts } from '../io/two-hosts.ts';
import { CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, tcpPacket } from '../packets.ts';

const RELOADS = 1000;
const BURST = 32;
/** Connections that start with each burst, and those that may still go on. */
const NEW_FLOWS = 4;
const LIVE_FLOWS = 400;
const PATIENCE_MS = 30_000;

const macOf = (backend: string) => `02:00:00:00:01:0${backend.slice(1)}`;
const addressOf = (backend: string) => `198.18.0.1${backend.slice(1)}`;
const yaml = (name: string, settings = '') => `{ name: ${name}, address: ${addressOf(name)}${settings} }`;

/** b4 comes and goes; the others stay, at other places and with other weights. */
const CONFIGURATIONS = [
  [yaml('b1'), yaml('b2'), yaml('b3')],
  [yaml('b4'), yaml('b3'), yaml('b1'), yaml('b2')],
  [yaml('b2', ', weight: 3'), yaml('b1'), yaml('b4', ', weight: 2'), yaml('b3')],
  [yaml('b3'), yaml('b4', ', state: draining'), yaml('b2'), yaml('b1')],
];

describe('reloads under load', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let directory: string;
  let file: string;
  let socket: PacketSocket;
  let balancer: ChildProcess;
  let lines: { msg: string; generation?: number }[] = [];

  before(() => {
    hosts = makeTwoHosts();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    file = join(directory, 'hushlb.yaml');
    for (const name of ['b1', 'b2', 'b3', 'b4']) {
      ip('-n', hosts.left, 'neigh', 'add', addressOf(name), 'lladdr', macOf(name), 'nud', 'permanent', 'dev', 'left');
    }
    socket = openPacketSocket(hosts.right, 'right');
  });

  after(async () => {
    socket.close();
    balancer.kill('SIGTERM');
    if (balancer.exitCode === null) await new Promise((resolve) => balancer.once('exit', resolve));
    hosts.remove();
    rmSync(directory, { recursive: true });
  });

  function write(backends: readonly string[]): void {
    const web = `{ name: web, vip: 198.18.10.1, port: 80, encap: l2, tableSize: 251, backends: [${backends.join(', ')}] }`;
    writeFileSync(file, `interface: left\nmetrics: false\nadmin: false\nservices:\n  - ${web}\n`);
  }

  async function logged(isIt: (line: { msg: string }) => boolean, from: number): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!lines.slice(from).some(isIt)) {
      assert.ok(performance.now() < deadline, `the log goes on: ${JSON.stringify(lines.at(-1))}`);
      await pause(1);
    }
  }

  test(`${RELOADS} of them`, async () => {
    write(CONFIGURATIONS[0]);
    const command = ['netns', 'exec', hosts.left, process.execPath, HUSHLB, 'run', '-c', file, '--log-format', 'json'];
    balancer = spawn('ip', command, { stdio: ['ignore', 'inherit', 'pipe'] });
    assert.ok(balancer.stderr !== null);
    createInterface(balancer.stderr).on('line', (line) => lines.push(JSON.parse(line)));
    await logged(({ msg }) => msg === 'ready', 0);

    const descriptors = () => readdirSync(`/proc/${balancer.pid}/fd`).length;
    const descriptorsBefore = descriptors();
    let reloading = true;
    const traffic = send(() => reloading);
    for (let i = 1; i <= RELOADS; i++) {
      write(CONFIGURATIONS[i % CONFIGURATIONS.length]);
      lines = [];
      balancer.kill('SIGHUP');
      await logged(({ msg }) => msg === 'reloaded', 0);
    }
    reloading = false;
    const { sent, backends } = await traffic;
    assert.ok(sent > RELOADS, `${sent} packets`);
    assert.deepEqual([...backends].sort(), ['b1', 'b2', 'b3', 'b4']);
    assert.equal(descriptors(), descriptorsBefore, 'descriptors leaked');
    assert.equal(lines.findLast(({ msg }) => msg === 'reloaded')?.generation, RELOADS + 2);
  });

  /**
   * Sends burst by burst while `goesOn`, each when all packets of the one before have come back. A connection may leave b4,
   * which is removed every now and then, and no other backend.
   */
  async function send(goesOn: () => boolean): Promise<{ sent: number; backends: Set<string> }> {
    const [{ address: ownMac }] = ipJson(hosts.left, 'link', 'show', 'left');
    const homes = new Map<number, string>();
    const backends = new Set<string>();
    let flows = 0;
    let sequence = 0;
    while (goesOn()) {
      const expected = new Map<number, number>();
      for (let i = 0; i < BURST; i++) {
        const oldest = Math.max(0, flows - LIVE_FLOWS);
        const flow = i < NEW_FLOWS ? flows++ : oldest + ((sequence * 7919) % (flows - oldest));
        socket.send(frameOf(flow, ++sequence, ownMac));
        expected.set(sequence, flow);
      }
      const deadline = performance.now() + PATIENCE_MS;
      while (expected.size > 0) {
        const frame = socket.receive(0);
        if (frame === undefined) {
          assert.ok(performance.now() < deadline, `${expected.size} packets of a burst were lost`);
          await pause(0);
          continue;
        }
        const flow = expected.get(frame.readUInt32BE(38));
        assert.ok(flow !== undefined, 'a packet that was sent, and came once');
        expected.delete(frame.readUInt32BE(38));
        const backend = `b${frame[5]}`;
        assert.equal(frame.subarray(0, 6).toString('hex'), macOf(backend).replaceAll(':', ''));
        const home = homes.get(flow);
        assert.ok(home === undefined || home === backend || home === 'b4', `connection of ${home} went to ${backend}`);
        homes.set(flow, backend);
        backends.add(backend);
      }
    }
    return { sent: sequence, backends };
  }

  function frameOf(flow: number, sequence: number, ownMac: string): Uint8Array {
    const source = `192.0.2.${flow % 250}`;
    const packet = tcpPacket({ source, sourcePort: 1024 + (Math.floor(flow / 250) % 60_000), flags: 'A', sequence });
    return ethernetFrame(ownMac, CLIENT_MAC, ETHERTYPE_IPV4, packet);
  }
});
