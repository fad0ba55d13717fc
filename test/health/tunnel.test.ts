/**
 * The tcp check through a tunnel between two hosts, one of which has the VIP on lo. What lb/ puts around a packet is an
 * Ethernet header here; test/lb/health.test.ts has the real tunnels.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { CheckResult } from '../../health/judge.ts';
import { createTunnels, type Tunnels } from '../../health/tunnel.ts';
import { type FrameSender, openFrameSender } from '../../io/frame-sender.ts';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { addressBytes, ip, ipJson, macBytes, makeTwoHosts, needsRoot, type TwoHosts } from '../io/two-hosts.ts';

describe('tcp through a tunnel', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  let tunnels: Tunnels;
  let sender: FrameSender;
  let server: Server;
  let port: number;
  // Raw sockets keep no process alive; in the balancer timers do.
  let alive: NodeJS.Timeout;
  before(async () => {
    alive = setInterval(() => {}, 1000);
    hosts = makeTwoHosts();
    tunnels = createTunnels();
    for (const vip of ['198.18.10.1/32', '2001:db8:a::1/128'])
      ip('-n', hosts.right, 'address', 'add', vip, 'dev', 'lo');
    sender = inNamespace(hosts.left, () => openFrameSender(readLink('left')!.index));
    server = createServer();
    // Without a host: the look-up of one would end after we are back.
    inNamespace(hosts.right, () => void server.listen(0));
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
  });
  after(() => {
    clearInterval(alive);
    tunnels.close();
    sender.close();
    server.close();
    hosts.remove();
  });

  const mac = (side: 'left' | 'right') => macBytes(ipJson(hosts[side], 'link', 'show', side)[0].address);

  function checkOf(vip: string, own: string, toPort: number): () => Promise<CheckResult> {
    const header = [...mac('right'), ...mac('left'), ...(vip.includes(':') ? [0x86, 0xdd] : [0x08, 0x00])];
    const check = tunnels.check({
      vip: addressBytes(vip),
      port: toPort,
      source: () => addressBytes(own),
      send: (packet) => sender.send(Uint8Array.from([...header, ...packet])),
    });
    // Its sockets are opened there with the first check.
    return () => {
      let result: Promise<CheckResult> | undefined;
      inNamespace(hosts.left, () => {
        result = check(new AbortController().signal);
      });
      return result!;
    };
  }

  /** Of both families: the kernel counts them together. */
  function resetsSent(namespace: string): number {
    const [names, values] = inNamespace(namespace, () => readFileSync('/proc/thread-self/net/snmp', 'latin1'))
      .split('\n')
      .filter((line) => line.startsWith('Tcp:'))
      .map((line) => line.split(' '));
    return Number(values![names!.indexOf('OutRsts')]);
  }

  for (const [vip, own] of [
    ['198.18.10.1', '198.18.0.1'],
    ['2001:db8:a::1', '2001:db8::1'],
  ] as const) {
    test(`${vip}: answered, again and again, and our kernel says nothing`, async () => {
      const check = checkOf(vip, own, port);
      for (let i = 0; i < 3; i++) {
        assert.deepEqual(await check(), { ok: true, reason: 'the VIP answered through the tunnel' });
      }
      assert.equal(resetsSent(hosts.left), 0);
    });

    test(`${vip}: nobody listens there`, async () => {
      assert.deepEqual(await checkOf(vip, own, 9)(), { ok: false, reason: 'connection to the VIP refused' });
    });

    test(`${vip}: nothing of it stays at the backend`, () => {
      assert.equal(halfOpen(hosts.right), '');
    });
  }

  function halfOpen(namespace: string): string {
    return ip('netns', 'exec', namespace, 'ss', '-Htn', 'state', 'syn-recv');
  }
});
