/**
 * The smallest network that shows whether packets flow: the balancer's host at the left, at the right who sends to the VIP and
 * captures what comes back behind a tunnel's header. Not a test.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, type TestContext } from 'node:test';
import { type Capture, openCapture } from '../../io/capture.ts';
import { inNamespace } from '../../io/namespace.ts';
import { requireLink } from '../../io/xdp.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from '../../lab/processes.ts';
import { openPacketSocket, type PacketSocket } from '../io/packet-socket.ts';
import { ip, ipJson, macBytes, makeTwoHosts, type TwoHosts, until } from '../io/two-hosts.ts';
import { tcpFrame } from '../packets.ts';

export const PATIENCE_MS = 30_000;
export const VIP = '198.18.10.1';
export const BACKENDS = Array.from({ length: 4 }, (_, i) => `198.18.0.${101 + i}`);
const never = new AbortController().signal;

export interface Balancer {
  readonly process: HostProcess;
  readonly pid: number;
  /** Its log lines with this message, or that begin with it. */
  said(message: string): Promise<Record<string, unknown>>;
  /** How often it has said so. */
  count(message: string): number;
  /** What it said last of that. */
  last(message: string): Record<string, unknown>;
}

export interface RunOptions {
  /** For node itself. */
  readonly node?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly patienceMs?: number;
}

export interface Pair {
  readonly hosts: TwoHosts;
  readonly directory: string;
  file(): string;
  /** The admin socket. */
  readonly socket: string;
  /** Writes the configuration, with lines of YAML for the top level. */
  configure(top?: string, backends?: readonly string[]): void;
  /** Resolves when it forwards. */
  run(options?: RunOptions): Promise<Balancer>;
  /**
   * Sends one packet of each flow, an ACK, and says to which backend each went that was forwarded within `patienceMs`, or until
   * that is `enough`: all of them. The kernel spreads them over the queues by a hash.
   */
  send(
    flows: number,
    patienceMs?: number,
    enough?: (seen: Map<string, string>) => boolean,
  ): Promise<Map<string, string>>;
  /** All flows are forwarded; sends them again and again until they are. */
  flows(flows: number): Promise<Map<string, string>>;
  /** From which MACs the frames of so many flows came, and to which they went. */
  macs(flows: number): Promise<{ readonly from: Set<string>; readonly to: Set<string> }>;
  metric(name: string): number;
  /** Opens the right side's eyes anew: its interface was made anew. */
  rewire(): void;
}

export function usePair(options: { readonly queues?: number } = {}): Pair {
  const hosts = makeTwoHosts(options);
  const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  const balancers: HostProcess[] = [];
  let capture: Capture | undefined;
  let sender: PacketSocket | undefined;
  const file = () => join(directory, 'hushlb.yaml');
  const socket = join(directory, 'hushlb.sock');

  function unwire(): void {
    capture?.close();
    sender?.close();
  }

  function rewire(): void {
    unwire();
    const mac = ipJson(hosts.right, 'link', 'show', 'right')[0].address as string;
    for (const address of BACKENDS) {
      ip('-n', hosts.left, 'neigh', 'replace', address, 'lladdr', mac, 'dev', 'left', 'nud', 'permanent');
    }
    const index = inNamespace(hosts.right, () => requireLink('right').index);
    capture = inNamespace(hosts.right, () => openCapture({ interface: index, frameCount: 4096 }));
    sender = openPacketSocket(hosts.right, 'right');
  }
  rewire();

  afterEach(async () => {
    await Promise.all(balancers.splice(0).map((balancer) => balancer.stop()));
  });
  after(() => {
    unwire();
    hosts.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  let macs = { from: new Set<string>(), to: new Set<string>() };
  /** The sequence number of the packets sent last: what comes late of others is told by it. */
  let round = 0;

  async function send(
    flows: number,
    patienceMs = 300,
    enough = (seen: Map<string, string>): boolean => seen.size === flows,
    firstRound = round + 1,
  ): Promise<Map<string, string>> {
    macs = { from: new Set(), to: new Set() };
    const mac = macBytes(ipJson(hosts.left, 'link', 'show', 'left')[0].address);
    capture?.read(() => {});
    const sequence = ++round;
    for (let i = 0; i < flows; i++) {
      const frame = tcpFrame({ source: '198.18.7.1', sourcePort: 10_000 + i, destination: VIP, sequence, flags: 'A' });
      frame.set(mac);
      sender?.send(frame);
    }
    const backends = new Map<string, string>();
    const end = performance.now() + patienceMs;
    while (!enough(backends) && performance.now() < end) {
      capture?.read(({ bytes, outgoing }) => {
        // IPIP: the outer header's destination, the inner one's source port and sequence number.
        if (outgoing || bytes[23] !== 4 || Buffer.from(bytes).readUInt32BE(58) < firstRound) return;
        macs.from.add(macText(bytes.subarray(6, 12)));
        macs.to.add(macText(bytes.subarray(0, 6)));
        backends.set([...bytes.subarray(54, 56)].join(), bytes.subarray(30, 34).join('.'));
      });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return backends;
  }

  return {
    hosts,
    directory,
    file,
    socket,
    rewire,
    send: (flows, patienceMs, enough) => send(flows, patienceMs, enough),
    configure(top = '', addresses = BACKENDS) {
      const backends = addresses.map((address) => `{ name: b${address.split('.')[3]}, address: ${address} }`);
      const service = `{ name: web, vip: ${VIP}, port: 80, backends: [${backends}] }`;
      writeFileSync(
        file(),
        `interface: left\nhashSeed: 7\nadmin: { socket: ${socket} }\n${top}\nservices:\n  - ${service}\n`,
      );
    },
    async run({ node = [], env = {}, patienceMs = PATIENCE_MS } = {}) {
      const lines: string[] = [];
      const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
      const program = startProcess({
        name: 'the balancer',
        namespace: hosts.left,
        command: ['env', ...variables, process.execPath, ...node, HUSHLB, 'run', '-c', file(), '--log-format', 'json'],
        onLine: (line) => void void lines.push(line),
        onUnexpectedEnd: () => {},
      });
      balancers.push(program);
      const isIt = (message: string) => (line: string) => logMessage(line)?.startsWith(message) === true;
      const said = async (message: string): Promise<Record<string, unknown>> =>
        JSON.parse(await program.waitForLine(isIt(message), patienceMs, never));
      const { pid } = await said('ready');
      return {
        process: program,
        pid: Number(pid),
        said,
        count: (message) => lines.filter(isIt(message)).length,
        last: (message) => JSON.parse(lines.findLast(isIt(message)) ?? '{}'),
      };
    },
    async flows(count) {
      let last = new Map<string, string>();
      const end = performance.now() + PATIENCE_MS;
      const firstRound = round + 1;
      do last = await send(count, 100, undefined, firstRound);
      while (last.size < count && performance.now() < end);
      assert.equal(last.size, count, 'all flows are forwarded');
      return last;
    },
    async macs(count) {
      await send(count);
      return macs;
    },
    metric(name) {
      const script = "fetch('http://127.0.0.1:9108/metrics').then((r) => r.text()).then((text) => console.log(text))";
      const text = execFileSync('ip', ['netns', 'exec', hosts.left, process.execPath, '-e', script]).toString();
      const line = text.split('\n').find((candidate) => candidate.startsWith(name));
      assert.ok(line !== undefined, `${name} is exposed`);
      return Number(line.split(' ').at(-1));
    },
  };
}

function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Descriptors and threads of a process, to see leaks. */
export function resourcesOf(pid: number): { descriptors: number; threads: number } {
  const count = (what: string) => readdirSync(`/proc/${pid}/${what}`).length;
  return { descriptors: count('fd'), threads: count('task') };
}

/** As many as before, as soon as what ends has ended. */
export async function sameResources(pid: number, before: ReturnType<typeof resourcesOf>): Promise<void> {
  await until('as many descriptors and threads as before', () => {
    const { descriptors, threads } = resourcesOf(pid);
    return descriptors <= before.descriptors && threads <= before.threads;
  });
}

/**
 * Says in the test's output how long ago the fault was mended, now that all flows are forwarded again. The limit is a second; it
 * is not asserted, because a machine that has other things to do may take longer.
 */
export function sayBack(t: TestContext, fault: string, mendedAt: number): void {
  t.diagnostic(`${fault}: all is forwarded again after ${Math.round(performance.now() - mendedAt)} ms`);
}

export function isAttached({ left }: TwoHosts): boolean {
  return /\bxdp\b|prog\/xdp|xdpgeneric/.test(ip('-n', left, '-d', 'link', 'show', 'left'));
}
