/**
 * What a running balancer says of its flows is what it sends: `hushlb run` at one end of a veth pair, at the other a raw socket
 * that sends the packets of many flows, over several services, encapsulations and families, and captures what comes back for
 * their backends. A what-if is asked first and then made true by a reload.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type AdminClient, openClient } from '../../admin/client.ts';
import type { Answer } from '../../explain/explain.ts';
import type { Explanation } from '../../explain/explanation.ts';
import { endpointText, type Flow } from '../../explain/flow.ts';
import type { WhatIf } from '../../explain/what-if.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { hushlb } from '../cli/command.ts';
import { openPacketSocket, type PacketSocket } from '../io/packet-socket.ts';
import { ip, ipJson, macBytes, makeTwoHosts, needsRoot, type TwoHosts } from '../io/two-hosts.ts';
import { frameOf, promised } from './flows.ts';

const PATIENCE_MS = 30_000;
const ETH_P_ALL = 3;
const never = new AbortController().signal;

const HOSTS = [1, 2, 3, 4];
const ipv4 = (host: number) => `198.18.0.1${host}`;
const ipv6 = (host: number) => `2001:db8::1${host}`;

interface Service {
  vip: string;
  port: number;
  protocol: Flow['protocol'];
  settings: string;
  address(host: number): string;
}

const SERVICES: Record<string, Service> = {
  web: { vip: '198.18.10.1', port: 80, protocol: 'tcp', settings: 'encap: ipip', address: ipv4 },
  near: { vip: '198.18.10.1', port: 81, protocol: 'tcp', settings: 'encap: l2, hash: source-ip', address: ipv4 },
  dns: { vip: '198.18.10.1', port: 53, protocol: 'udp', settings: 'encap: gre, hash: five-tuple', address: ipv6 },
  six: { vip: '2001:db8:10::1', port: 443, protocol: 'tcp', settings: 'encap: gue, outerTtl: copy', address: ipv6 },
  mixed: {
    vip: '2001:db8:10::1',
    port: 444,
    protocol: 'udp',
    settings: 'encap: gue, gue: { port: 7000, variant: 1 }',
    address: ipv4,
  },
};
const FLOWS_EACH = 8;

const FLOWS = Object.values(SERVICES).flatMap(({ vip, port, protocol }) =>
  Array.from({ length: FLOWS_EACH }, (_, i): Flow => {
    const address = vip.includes(':') ? `2001:db8:c::${i + 1}` : `192.0.2.${i + 1}`;
    return { client: { address, port: 40_000 + 7 * i }, to: { address: vip, port }, protocol };
  }),
);

describe('hushlb explain and plan of a running balancer', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let directory: string;
  let file: string;
  let socket: PacketSocket;
  let balancer: HostProcess;
  let client: AdminClient;
  let ownMac: string;

  before(async () => {
    hosts = makeTwoHosts();
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    file = join(directory, 'hushlb.yaml');
    for (const host of HOSTS) {
      for (const address of [ipv4(host), ipv6(host)]) {
        const mac = `02:00:00:00:0${address === ipv4(host) ? 4 : 6}:0${host}`;
        ip('-n', hosts.left, 'neigh', 'add', address, 'lladdr', mac, 'nud', 'permanent', 'dev', 'left');
      }
    }
    [{ address: ownMac }] = ipJson(hosts.left, 'link', 'show', 'left');
    socket = openPacketSocket(hosts.right, 'right', ETH_P_ALL);
    writeFileSync(file, configuration());
    const command = [process.execPath, HUSHLB, 'run', '-c', file, '--log-format', 'json'];
    const options = { name: 'hushlb', namespace: hosts.left, command, onLine: () => {}, onUnexpectedEnd: () => {} };
    balancer = startProcess(options);
    await balancer.waitForLine((line) => logMessage(line) === 'ready', PATIENCE_MS, never);
    client = openClient({ socket: join(directory, 'x.sock') });
  });

  after(async () => {
    client.close();
    await balancer.stop();
    socket.close();
    hosts.remove();
    rmSync(directory, { recursive: true });
  });

  function configuration(change: (host: number) => string | undefined = () => ''): string {
    const services = Object.entries(SERVICES).map(([name, { vip, port, protocol, settings, address }]) => {
      const backends = HOSTS.flatMap((host) => {
        const more = change(host);
        return more === undefined ? [] : [`{ name: b${host}, address: "${address(host)}"${more} }`];
      });
      return `  - { name: ${name}, vip: "${vip}", port: ${port}, protocol: ${protocol}, tableSize: 251, ${settings}, backends: [${backends.join(', ')}] }\n`;
    });
    return `interface: left\nmetrics: false\nhashSeed: 4711\nadmin: { socket: ${join(directory, 'x.sock')} }\nservices:\n${services.join('')}`;
  }

  async function ask(flow: Flow, opens: boolean, whatIf: WhatIf = {}): Promise<Answer> {
    return (await client.request('POST', '/v1/explain', { ...flow, opens, whatIf })) as Answer;
  }

  /** Sends a packet of the flow and holds what the balancer makes of it against what was said. */
  function holds(said: Explanation, flow: Flow, opens: boolean): void {
    const frame = frameOf(flow, opens);
    frame.set(macBytes(ownMac));
    const inner = Buffer.from(frame.subarray(14));
    socket.send(frame);
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const captured = socket.receive();
      assert.ok(captured !== undefined && performance.now() < deadline, `${endpointText(flow.client)}: nothing came`);
      if (!captured.subarray(14).includes(inner)) continue;
      assert.deepEqual(captured, Buffer.from(promised(said, frame)));
      return;
    }
  }

  async function reload(text: string): Promise<void> {
    writeFileSync(file, text);
    await client.request('POST', '/v1/reload');
  }

  /** Asks of all flows what would be, makes it true, and looks. Returns how many went to another backend. */
  async function foretell(whatIf: WhatIf, text: string): Promise<number> {
    const answers: Answer[] = [];
    for (const flow of FLOWS) answers.push(await ask(flow, false, whatIf));
    await reload(text);
    for (const [i, flow] of FLOWS.entries()) holds(answers[i].whatIf?.would as Explanation, flow, false);
    const broken = answers.filter((answer) => answer.whatIf?.effect.breaks === true);
    for (const { now, whatIf: told } of broken) assert.notEqual(now.backend?.name, told?.would.backend?.name);
    return broken.length;
  }

  test('new connections, and packets of connections that the workers know', async () => {
    for (const flow of FLOWS) {
      holds((await ask(flow, true)).now, flow, true);
      const { from, now } = await ask(flow, false);
      assert.equal(from, 'daemon');
      assert.deepEqual([now.table?.finding, now.table?.entry?.backend], ['hit', now.backend?.name]);
      holds(now, flow, false);
    }
  });

  test('a connection that no worker knows', async () => {
    const flow = { ...FLOWS[0], client: { address: '192.0.2.200', port: 50_000 } };
    const { now } = await ask(flow, false);
    assert.deepEqual([now.table?.finding, now.table?.entry], ['unknown', null]);
    holds(now, flow, false);
  });

  test('the command asks the same', async () => {
    const [flow] = FLOWS;
    const args = ['explain', endpointText(flow.client), endpointText(flow.to), '--socket', join(directory, 'x.sock')];
    const { code, stdout } = await hushlb([...args, '--drain', 'b1', '--json']);
    const asked = await ask(flow, false, { edits: [{ kind: 'drain', backend: 'b1' }] });
    const { now, whatIf } = JSON.parse(stdout) as Answer;
    assert.equal(code, 0);
    // Its entry is older meanwhile.
    assert.deepEqual(
      [now.outer, now.backend, whatIf?.effect],
      [asked.now.outer, asked.now.backend, asked.whatIf?.effect],
    );
    const { stdout: text } = await hushlb(args);
    assert.match(text, /^table {4}hit: b\d, worker 0, idle for \d+\.\d s, forgotten in/m);
  });

  test('what if a backend drained: nothing breaks', async () => {
    const drained = configuration((host) => (host === 2 ? ', state: draining' : ''));
    assert.equal(await foretell({ edits: [{ kind: 'drain', backend: 'b2' }] }, drained), 0);
  });

  test('what if it were gone and another weighed more: as many break as the plan counts', async () => {
    const next = join(directory, 'next.yaml');
    const text = configuration((host) => (host === 2 ? undefined : host === 1 ? ', weight: 3' : ''));
    writeFileSync(next, text);
    const { code, stdout } = await hushlb(['plan', next, '--socket', join(directory, 'x.sock'), '--json']);
    assert.equal(code, 2);
    const { services } = JSON.parse(stdout) as {
      services: { connections: { entries: { now: number; broken: number } } }[];
    };
    const count = (of: (entries: { now: number; broken: number }) => number) =>
      services.reduce((sum, { connections }) => sum + of(connections.entries), 0);
    // And the one of the test above.
    assert.equal(
      count(({ now }) => now),
      FLOWS.length + 1,
    );
    const lost = await foretell(
      {
        edits: [
          { kind: 'remove', backend: 'b2' },
          { kind: 'weight', backend: 'b1', weight: 3 },
        ],
      },
      text,
    );
    assert.ok(lost > 0);
    assert.ok(Math.abs(count(({ broken }) => broken) - lost) <= 1, `${count(({ broken }) => broken)} and ${lost}`);
  });

  test('what if another file ran', async () => {
    // b2 stays away: the balancer knows no next hop of a backend that it doesn't have.
    const text = configuration((host) => (host === 2 || host === 4 ? undefined : host === 3 ? ', weight: 9' : ''));
    assert.ok((await foretell({ config: { name: 'other.yaml', text } }, text)) > 0);
  });

  test('what it cannot explain: one line', async () => {
    await assert.rejects(ask(FLOWS[0], false, { edits: [{ kind: 'drain', backend: 'b9' }] }), {
      code: 'UNKNOWN_BACKEND',
    });
    const mixed = { ...FLOWS[0], client: { address: '2001:db8::7', port: 1 } };
    await assert.rejects(ask(mixed, false), { code: 'BAD_REQUEST' });
    await assert.rejects(ask(FLOWS[0], false, { config: { name: 'other.yaml', text: 'interface: 7' } }), {
      code: 'CONFIG_INVALID',
    });
  });
});
