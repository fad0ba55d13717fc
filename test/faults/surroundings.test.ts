/**
 * What a process takes for granted breaks: its log's disk is full, the log's reader has gone, the wall clock is stepped, clients of
 * its admin socket hang up, a backend's neighbour fails or gets another MAC. Packets go on, and so do changes. And what listens
 * while it runs.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, suite, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { HUSHLB } from '../../lab/processes.ts';
import { ip, needsRoot, sysctl, until } from '../io/two-hosts.ts';
import { BACKENDS, resourcesOf, sameResources, sayBack, usePair } from './pair.ts';

const FLOWS = 32;
/** Of clients that hang up. */
const ROUNDS = 10;

suite('the surroundings break', { skip: needsRoot }, () => {
  const pair = usePair();
  const running: ChildProcess[] = [];
  after(() => {
    for (const child of running) child.kill('SIGKILL');
  });

  function start(stderr: number | 'pipe'): ChildProcess {
    const command = ['netns', 'exec', pair.hosts.left, process.execPath, HUSHLB, 'run', '-c', pair.file()];
    const child = spawn('ip', [...command, '--log-format', 'json'], { stdio: ['ignore', 'ignore', stderr] });
    running.push(child);
    return child;
  }

  /** Nothing it says can be heard, so what it does has to show it. */
  async function goesOn(child: ChildProcess): Promise<void> {
    pair.configure();
    await until('all flows to be forwarded', async () => (await pair.send(FLOWS)).size === FLOWS);
    const resources = resourcesOf(child.pid ?? 0);
    for (const backends of [BACKENDS.slice(1), BACKENDS.slice(2), BACKENDS.slice(3)]) {
      pair.configure('', backends);
      child.kill('SIGHUP');
      await until('the reload', async () => {
        const seen = await pair.send(FLOWS);
        return seen.size === FLOWS && [...seen.values()].every((backend) => backends.includes(backend));
      });
    }
    await sameResources(child.pid ?? 0, resources);
    assert.equal(child.exitCode, null);
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
  }

  test('its disk is full', async () => {
    pair.configure();
    const full = openSync('/dev/full', 'w');
    const child = start(full);
    closeSync(full);
    await goesOn(child);
  });

  test('its reader has gone', async () => {
    pair.configure();
    const child = start('pipe');
    await once(child.stderr ?? child, 'data');
    child.stderr?.destroy();
    await goesOn(child);
  });

  test('clients of its admin socket hang up in the middle: of asking, of a change, of an answer, of a stream', async () => {
    pair.configure();
    const balancer = await pair.run();
    const before = await pair.flows(FLOWS);
    const weight = (value: number): string => {
      const body = JSON.stringify({ weight: value });
      const head = 'PATCH /v1/services/web/backends/b101 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
      return `${head}content-length: ${body.length}\r\n\r\n${body}`;
    };
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
    /** Sends this, waits for the first of an answer if told so, and is gone. */
    async function hangUp(text: string, heard: boolean): Promise<void> {
      const client = connect(pair.socket);
      client.on('error', () => {});
      await once(client, 'connect');
      await new Promise((resolve) => client.write(text, resolve));
      if (heard) await once(client, 'data');
      client.destroy();
      await once(client, 'close');
    }
    const asker = openClient({ socket: pair.socket });
    const weightNow = async (): Promise<number> => {
      const status = (await asker.request('GET', '/v1/status')) as { services: { backends: { weight: number }[] }[] };
      return status.services[0].backends[0].weight;
    };
    const resources = resourcesOf(balancer.pid);
    for (let i = 0; i < ROUNDS; i++) {
      const change = weight(2 + (i % 2));
      await Promise.all([
        hangUp('', false),
        hangUp(change.slice(0, 20), false),
        hangUp(change.slice(0, -3), false),
        hangUp('POST /v1/reload HTTP/1.1\r\nhost: x\r\n\r\n', false),
        hangUp(get('/v1/conntrack'), false),
        ...[true, false].map((heard) => hangUp(get('/v1/status'), heard)),
        ...[true, false].map((heard) => hangUp(get('/v1/events?follow=true'), heard)),
      ]);
      assert.deepEqual(await pair.flows(FLOWS), before);
    }
    // Half a change is none, and a whole one is made though nobody waits for its answer.
    assert.equal(await weightNow(), 1);
    await hangUp(weight(3), false);
    await until('the change', async () => (await weightNow()) === 3);
    assert.deepEqual(await pair.flows(FLOWS), before);
    await sameResources(balancer.pid, resources);
  });

  test('the wall clock is stepped: no connection is forgotten, a change is taken over', async () => {
    const clock = new URL('./step-clock.js', import.meta.url).href;
    pair.configure();
    const balancer = await pair.run({ node: ['--import', clock] });
    const before = await pair.flows(FLOWS);
    const [, ...fewer] = BACKENDS;
    pair.configure('', fewer);
    balancer.process.hangUp();
    await balancer.said('reloaded');
    const after = await pair.flows(FLOWS);
    for (const [flow, backend] of before) if (backend !== BACKENDS[0]) assert.equal(after.get(flow), backend);
    // A worker counts its table every now and then.
    await until('all to be counted', () => pair.metric('hushlb_conntrack_entries{service="web"}') === FLOWS);
    assert.equal(pair.metric('hushlb_conntrack_expired_total{service="web"}'), 0);
    const times = [Number((await balancer.said('ready')).time), Number((await balancer.said('reloaded')).time)];
    assert.ok(
      times.every((time) => Math.abs(time - Date.now()) > 1_000_000),
      'its wall clock was stepped',
    );
  });

  test("a backend's neighbour fails and comes back: its packets alone are lost, and counted; then its MAC is another", async (t) => {
    const { left, right } = pair.hosts;
    const [away] = BACKENDS;
    const dropped = (): number =>
      pair.metric('hushlb_packets_total{service="web",verdict="drop",reason="no-neighbour"}');
    pair.configure();
    const balancer = await pair.run();
    const before = await pair.flows(FLOWS);
    const others = new Map([...before].filter(([, backend]) => backend !== away));
    assert.ok(others.size > 0 && others.size < FLOWS);
    assert.equal(dropped(), 0);
    const toldAtStart = balancer.count('backend reachable');
    // Nobody there answers ARP for it.
    ip('-n', left, 'neigh', 'delete', away, 'dev', 'left');
    try {
      await until('it to be missed', () => balancer.count('backend unreachable') > 0);
      let seen = new Map<string, string>();
      await until('the others to be forwarded', async () => {
        seen = await pair.send(FLOWS);
        return seen.size === others.size && ![...seen.values()].includes(away!);
      });
      assert.deepEqual(seen, others);
      await until('its packets to be counted', () => dropped() >= FLOWS - others.size);

      ip('-n', right, 'address', 'add', `${away}/32`, 'dev', 'right');
      const there = performance.now();
      await until('it to be back', () => balancer.count('backend reachable') > toldAtStart);
      assert.deepEqual(await pair.flows(FLOWS), before);
      sayBack(t, 'a neighbour answers again', there);

      // As a host does that takes an address over, or gets another card: it tells everybody.
      const mac = '02:00:00:00:be:ef';
      sysctl(right, 'ipv4/conf/right/arp_notify', 1);
      ip('-n', right, 'link', 'set', 'right', 'address', mac);
      const changed = performance.now();
      await until('its packets to go there', async () => (await pair.macs(FLOWS)).to.has(mac));
      assert.deepEqual(await pair.flows(FLOWS), before);
      sayBack(t, 'a neighbour has another MAC', changed);
      assert.equal(balancer.count('backend unreachable'), 1);
    } finally {
      pair.rewire();
    }
  });

  test('nothing listens beyond loopback', async () => {
    pair.configure();
    const balancer = await pair.run();
    const listening = ['tcp', 'tcp6'].flatMap((protocol) =>
      readFileSync(`/proc/${balancer.pid}/net/${protocol}`, 'utf8')
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/\s+/))
        .filter(([, , , state]) => state === '0A')
        .map(([, address]) => address),
    );
    // 127.0.0.1:9108, in the machine's order (proc_net_tcp.txt).
    assert.deepEqual(listening, ['0100007F:2394']);
    // A socket without a peer would take what anybody sends.
    const udp = ['udp', 'udp6'].flatMap((protocol) =>
      readFileSync(`/proc/${balancer.pid}/net/${protocol}`, 'utf8').trim().split('\n').slice(1),
    );
    assert.deepEqual(udp, []);
  });
});
