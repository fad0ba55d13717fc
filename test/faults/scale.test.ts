/**
 * 1,000 services with 10 backends each: every service forwards; a reload takes one backend away and leaves the other services
 * alone; another changes the weights of every service, which takes a thousand new tables. Packets keep flowing meanwhile, and the
 * admin API answers. Says how long that took, and judges none of it: machines have other things to do.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openClient } from '../../admin/client.ts';
import { openCapture } from '../../io/capture.ts';
import { inNamespace } from '../../io/namespace.ts';
import { requireLink } from '../../io/xdp.ts';
import type { ReloadReport } from '../../lb/reload.ts';
import { openPacketSocket } from '../io/packet-socket.ts';
import { ip, ipBatch, ipJson, macBytes, needsRoot, until } from '../io/two-hosts.ts';
import { tcpFrame } from '../packets.ts';
import { type Balancer, usePair, VIP } from './pair.ts';

const SERVICES = 1000;
const BACKENDS_EACH = 10;
const PATIENCE_MS = 180_000;
const FLOWS = 64;

const backendAddress = (n: number): string => `198.18.${64 + (n >> 8)}.${n & 255}`;
const vipOf = (service: number): string => (service === 0 ? VIP : `198.18.${11 + (service >> 8)}.${service & 255}`);

function serviceYaml(service: number, backends: number, heaviest: number): string {
  const list = Array.from({ length: backends }, (_, i) => {
    const n = service * BACKENDS_EACH + i;
    return `      - { name: b${n}, address: ${backendAddress(n)}, weight: ${i === 0 ? heaviest : 1} }\n`;
  });
  return `  - name: s${service}\n    vip: ${vipOf(service)}\n    port: 80\n    backends:\n${list.join('')}`;
}

interface CpuTime {
  readonly all: number;
  /** Of it the main thread's. */
  readonly main: number;
}

/** Seconds that a process has had of the CPUs: utime and stime of proc(5), in ticks of 10 ms. */
function cpuSeconds(pid: number): CpuTime {
  const secondsIn = (file: string): number => {
    const fields = readFileSync(file, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  return { all: secondsIn(`/proc/${pid}/stat`), main: secondsIn(`/proc/${pid}/task/${pid}/stat`) };
}

suite('1,000 services, 10,000 backends', { skip: needsRoot }, () => {
  const pair = usePair();
  const { left, right } = pair.hosts;

  const socket = `${pair.directory}/hushlb.sock`;

  /** `heaviest`: the weight of each service's first backend. */
  function configure(backendsOfFirst: number, heaviest = 1): void {
    const services = Array.from({ length: SERVICES }, (_, i) =>
      serviceYaml(i, i === 0 ? backendsOfFirst : BACKENDS_EACH, heaviest),
    );
    const top = `interface: left\nhashSeed: 7\nadmin: { socket: ${socket} }\nmetrics: false\n`;
    writeFileSync(pair.file(), `${top}services:\n${services.join('')}`);
  }

  /** To which backend a packet of each service goes: asked again for those that are not answered, until all are. */
  async function everyService(): Promise<Map<string, string>> {
    const mac = macBytes(ipJson(left, 'link', 'show', 'left')[0].address);
    const index = inNamespace(right, () => requireLink('right').index);
    const capture = inNamespace(right, () => openCapture({ interface: index, frameCount: 4096 }));
    const sender = openPacketSocket(right, 'right');
    const backends = new Map<string, string>();
    try {
      await until(
        'every service to forward',
        async () => {
          for (let service = 0; service < SERVICES; service++) {
            const destination = vipOf(service);
            if (backends.has(destination)) continue;
            const frame = tcpFrame({ source: '198.18.7.2', sourcePort: 20_000, destination, flags: 'A' });
            frame.set(mac);
            sender.send(frame);
            if (service % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 2));
          }
          await new Promise((resolve) => setTimeout(resolve, 50));
          capture.read(({ bytes, outgoing }) => {
            // IPIP: the outer header's destination is the backend, the inner one's the VIP.
            if (outgoing || bytes[23] !== 4 || bytes[54] !== 20_000 >> 8 || bytes[55] !== (20_000 & 255)) return;
            backends.set(bytes.subarray(50, 54).join('.'), bytes.subarray(30, 34).join('.'));
          });
          return backends.size === SERVICES;
        },
        60_000,
      );
      // What was asked twice is answered twice.
      for (let quiet = 0; quiet < 10; ) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        quiet = capture.read(() => {}) === 0 ? quiet + 1 : 0;
      }
    } finally {
      capture.close();
      sender.close();
    }
    return backends;
  }

  /** With more patience than the pair's own: what comes late is waited for. */
  async function allFlows(): Promise<Map<string, string>> {
    let last = new Map<string, string>();
    await until(
      'all flows to be forwarded',
      async () => {
        pair.rewire();
        last = await pair.send(FLOWS, 5000);
        return last.size === FLOWS;
      },
      60_000,
    );
    return last;
  }

  /** A reload with packets one after the other, and questions to the admin API likewise: how long it took, and they. */
  async function reloadMeanwhile({ process, pid, count, last: saidLast }: Balancer) {
    const admin = openClient({ socket });
    const cpuBefore = cpuSeconds(pid);
    const reloads = count('reloaded');
    const asked = performance.now();
    process.hangUp();
    const longestOf = async (step: () => Promise<boolean>): Promise<number> => {
      let longest = 0;
      for (let last = asked; count('reloaded') === reloads; ) {
        assert.ok(performance.now() - asked < PATIENCE_MS, 'it is reloaded');
        if (!(await step())) continue;
        longest = Math.max(longest, performance.now() - last);
        // Seldom enough to be no load of its own.
        await pause(10);
        last = performance.now();
      }
      return Math.round(longest);
    };
    const [packets, answers] = await Promise.all([
      longestOf(async () => (await pair.send(1, 100)).size === 1),
      // On a machine that has no time for the process a question may come to an end of its own.
      longestOf(() =>
        admin.request('GET', '/v1/version').then(
          () => true,
          () => false,
        ),
      ),
    ]);
    const ms = performance.now() - asked;
    const { all, main } = cpuSeconds(pid);
    const report = saidLast('reloaded') as unknown as ReloadReport;
    return { report, took: { ms, cpu: { all: all - cpuBefore.all, main: main - cpuBefore.main } }, packets, answers };
  }

  test('start, two reloads, and packets meanwhile', async (t) => {
    const mac = ipJson(right, 'link', 'show', 'right')[0].address as string;
    const all = Array.from({ length: SERVICES * BACKENDS_EACH }, (_, n) => backendAddress(n));
    ip('-n', left, 'route', 'add', '198.18.64.0/18', 'dev', 'left');
    ipBatch(
      left,
      all.map((address) => `neigh replace ${address} lladdr ${mac} dev left nud permanent\n`),
    );

    configure(BACKENDS_EACH);
    const begun = performance.now();
    const balancer = await pair.run({ patienceMs: PATIENCE_MS });
    const startMs = performance.now() - begun;
    const startCpu = cpuSeconds(balancer.pid);
    const before = await everyService();
    for (const [i, vip] of Array.from({ length: SERVICES }, (_, service) => vipOf(service)).entries()) {
      const own = all.slice(i * BACKENDS_EACH, (i + 1) * BACKENDS_EACH);
      assert.ok(own.includes(before.get(vip) ?? ''), `${vip} goes to a backend of its own`);
    }
    assert.equal(new Set((await allFlows()).values()).size, BACKENDS_EACH);

    configure(BACKENDS_EACH - 1);
    const one = await reloadMeanwhile(balancer);
    assert.deepEqual(one.report.removed, [`s0/b${BACKENDS_EACH - 1}`]);

    // The reload has ended, so nobody gets there any more.
    const gone = backendAddress(BACKENDS_EACH - 1);
    const now = await allFlows();
    assert.equal(new Set(now.values()).size, BACKENDS_EACH - 1);
    assert.ok(![...now.values()].includes(gone));
    const after = await everyService();
    for (const [vip, backend] of before) if (vip !== VIP) assert.equal(after.get(vip), backend);

    configure(BACKENDS_EACH - 1, 3);
    const all1000 = await reloadMeanwhile(balancer);
    assert.equal(all1000.report.changed.length, SERVICES);
    assert.equal(Object.keys(all1000.report.moved).length, SERVICES);
    assert.equal(new Set((await allFlows()).values()).size, BACKENDS_EACH - 1);

    const of = (ms: number, { all, main }: CpuTime) =>
      `${(ms / 1000).toFixed(1)} s (${all.toFixed(1)} s of CPU, ${main.toFixed(1)} s of it the main thread)`;
    t.diagnostic(`start ${of(startMs, startCpu)}`);
    for (const [what, { took, packets, answers }] of [
      ['one backend', one],
      ['every service', all1000],
    ] as const) {
      const longest = `longest time between two packets ${packets} ms, between two answers of the admin API ${answers} ms`;
      t.diagnostic(`reload of ${what} ${of(took.ms, took.cpu)}; ${longest}`);
    }
  });
});
