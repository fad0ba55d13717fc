/**
 * Case `forwarding`: packets a second through `hushlb run` on a veth pair, beside the same device when it merely sends every
 * frame back. Interleaved rounds in one run, so that a noisy machine disturbs both alike. Prints JSON.
 *
 * ```
 *   namespace near: generator (kernel) ──► eth0 ═══ veth ═══ eth0 ──► AF_XDP: hushlb run, or the reflector
 *                   XDP sink, counts   ◄──                        ◄──            namespace far
 * ```
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { inNamespace } from '../io/namespace.ts';
import { PORT, type Spread, spread, VIP } from './balancer.ts';

const NEAR = `hushlb-bench-${process.pid}-near`;
const FAR = `hushlb-bench-${process.pid}-far`;
const NEAR_MAC = '02:00:00:00:00:01';
const FAR_MAC = '02:00:00:00:00:02';
const BACKENDS = 10;
const FLOWS = 10_000;

const quick = process.argv.includes('--quick');
const ROUNDS = quick ? 5 : 9;
const SECONDS = quick ? 1.5 : 3;

export interface ForwardingResult {
  readonly flows: number;
  readonly frameBytes: number;
  readonly reflectMpps: Spread;
  readonly balanceMpps: Spread;
  /** balance over reflect, round by round. */
  readonly ratio: Spread;
}

const directory = mkdtempSync(join(tmpdir(), 'hushlb-bench-'));
const children = new Set<ChildProcess>();

function buildNetwork(): void {
  const far = [
    `link set eth0 address ${FAR_MAC}`,
    'link set lo up',
    'link set eth0 up',
    'addr add 198.18.2.254/24 dev eth0',
  ];
  for (let i = 1; i <= BACKENDS; i++) far.push(`neigh add 198.18.2.${i} lladdr ${NEAR_MAC} dev eth0 nud permanent`);
  ip(null, [`netns add ${NEAR}`, `netns add ${FAR}`]);
  const queues = 'numrxqueues 1 numtxqueues 1';
  ip(NEAR, [`link add eth0 ${queues} type veth peer name eth0 netns ${FAR} ${queues}`]);
  ip(NEAR, [`link set eth0 address ${NEAR_MAC}`, 'link set lo up', 'link set eth0 up']);
  ip(FAR, far);
  for (const namespace of [NEAR, FAR]) {
    inNamespace(namespace, () => writeFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', '1'));
  }
}

function ip(namespace: string | null, commands: readonly string[]): void {
  const where = namespace === null ? [] : ['-n', namespace];
  execFileSync('ip', [...where, '-batch', '-'], { input: commands.join('\n') });
}

/** The load and what it is aimed at each have a core of their own: a generator that moves would measure the scheduler. */
const CORES: Record<string, string> = { [NEAR]: '0', [FAR]: String(Math.min(1, availableParallelism() - 1)) };

function start(namespace: string, script: string, args: readonly string[]): ChildProcess {
  const path = new URL(script, import.meta.url).pathname;
  const command = ['taskset', '--cpu-list', CORES[namespace], process.execPath, path, ...args];
  const child = inNamespace(namespace, () =>
    spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Resolves when the child has printed `word` on stdout or stderr. */
async function said(child: ChildProcess, word: string): Promise<void> {
  let text = '';
  await new Promise<void>((resolve, reject) => {
    const listen = (piece: Buffer): void => {
      text += piece.toString();
      if (text.includes(word)) resolve();
    };
    child.stdout?.on('data', listen);
    child.stderr?.on('data', listen);
    child.once('exit', (code) => reject(new Error(`ended with ${code} before it was ready:\n${text}`)));
  });
}

async function measure(subject: ChildProcess, readyWord: string): Promise<number> {
  await said(subject, readyWord);
  const load = start(NEAR, './load.js', [String(SECONDS), String(FLOWS), FAR_MAC]);
  let output = '';
  load.stdout?.on('data', (piece) => (output += piece));
  load.stderr?.pipe(process.stderr);
  const [code] = await once(load, 'exit');
  if (code !== 0) throw new Error(`the load ended with ${code}`);
  const ended = once(subject, 'exit');
  subject.kill('SIGTERM');
  await ended;
  const { returned, seconds } = JSON.parse(output) as { returned: number; seconds: number };
  return returned / seconds / 1e6;
}

async function compare(): Promise<ForwardingResult> {
  const backends = Array.from({ length: BACKENDS }, (_, i) => `{ name: b${i + 1}, address: 198.18.2.${i + 1} }`);
  const config = join(directory, 'hushlb.yaml');
  writeFileSync(
    config,
    `interface: eth0\nmetrics: false\nservices:\n  - { name: web, vip: ${VIP}, port: ${PORT}, backends: [${backends}] }\n`,
  );
  const reflect: number[] = [];
  const balance: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    reflect.push(await measure(start(FAR, './reflector.js', []), 'ready'));
    balance.push(await measure(start(FAR, '../cli/main.js', ['run', '-c', config, '--log-format', 'json']), '"ready"'));
  }
  return {
    flows: FLOWS,
    frameBytes: 64,
    reflectMpps: spread(reflect),
    balanceMpps: spread(balance),
    ratio: spread(balance.map((mpps, round) => mpps / reflect[round])),
  };
}

function cleanUp(): void {
  for (const child of children) child.kill('SIGKILL');
  for (const namespace of [NEAR, FAR]) {
    try {
      execFileSync('ip', ['netns', 'delete', namespace], { stdio: 'ignore' });
    } catch {
      // It was never made.
    }
  }
  rmSync(directory, { recursive: true, force: true });
}

process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));
process.once('exit', cleanUp);
buildNetwork();
process.stdout.write(`${JSON.stringify(await compare())}\n`);
