/**
 * What case `forwarding` loads in turn: each is set up once in its namespace (forwarding/network.ts) and sends the frames of
 * the benchmark's flows back over the wire that they came from.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setOffloads } from '../../io/ethtool.ts';
import { inNamespace } from '../../io/namespace.ts';
import { type BenchService, benchConfig, benchYaml, PORT, VIP } from '../balancer.ts';
import { decisionState } from '../decision/balancer.ts';
import { BACKENDS } from '../decision/modes.ts';
import { writeStateFile } from '../decision/state-file.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { compileYardstick } from '../yardstick/compile.ts';
import { ip, run, sysctl } from './network.ts';

export interface Subject {
  readonly key: SubjectKey;
  readonly name: string;
  /** It has a table of flows, which has to be filled before it is measured. */
  readonly remembers: boolean;
  /** Flows that it can take; more are not sent. */
  readonly maxFlows: number;
  /** Sets it up in the namespace. Undefined for what lives in the kernel and needs no process. */
  start(namespace: string): Promise<RunningSubject>;
}

export type SubjectKey =
  | 'xdp-tx'
  | 'c'
  | 'c-balance'
  | 'reflect'
  | 'hushlb'
  | 'c-packet'
  | 'reflect-packet'
  | 'hushlb-packet'
  | 'kernel'
  | 'nft';

/** Whose packets a second are held against whose. */
export const RATIOS: readonly (readonly [string, SubjectKey, SubjectKey])[] = [
  ['hushlb run / its device', 'hushlb', 'reflect'],
  ['its device / C', 'reflect', 'c'],
  ['the balancer in C / its reflector', 'c-balance', 'c'],
  ['hushlb run / the balancer in C', 'hushlb', 'c-balance'],
  ['hushlb run / nftables DNAT', 'hushlb', 'nft'],
  ['af-packet, its device / C', 'reflect-packet', 'c-packet'],
  ['af-packet, hushlb run / C', 'hushlb-packet', 'c-packet'],
];

export interface RunningSubject {
  /** The process whose CPU time is the subject's; undefined where the kernel does the work beside the generator. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

export interface Subjects {
  readonly subjects: readonly Subject[];
  /** What was left out, and why. */
  readonly missing: readonly string[];
}

const UNLIMITED = Number.POSITIVE_INFINITY;

/** What balancers are configured with. */
const SERVICE: BenchService = { backends: BACKENDS, service: 'conntrack: { idleTimeout: 1h }' };

/** All that this machine can run; `folder` takes files that they need. */
export function findSubjects(folder: string): Subjects {
  const missing: string[] = [];
  const subjects: Subject[] = [
    {
      key: 'xdp-tx',
      name: 'XDP_TX: the wire’s limit',
      remembers: false,
      maxFlows: UNLIMITED,
      start: (far) => startNode(far, 'xdp-tx.js', []),
    },
  ];
  const yardstick = compileYardstick('reflect', folder);
  if (yardstick.path === undefined) missing.push(`What is in C was left out: ${yardstick.missing}.`);
  else {
    const { path } = yardstick;
    subjects.push({
      key: 'c',
      name: 'AF_XDP reflector in C',
      remembers: false,
      maxFlows: UNLIMITED,
      start: (far) => startNode(far, 'c-subject.js', [path]),
    });
  }
  const balancer = compileYardstick('balance', folder);
  // Without a compiler the other one has said so.
  if (balancer.path !== undefined) {
    const { path } = balancer;
    subjects.push({
      key: 'c-balance',
      name: 'AF_XDP balancer in C, IPIP',
      remembers: true,
      maxFlows: UNLIMITED,
      start(far) {
        const state = join(folder, 'balance.state');
        writeStateFile(state, decisionState(benchConfig(SERVICE)));
        return startNode(far, 'c-subject.js', [path, state]);
      },
    });
  }
  subjects.push(
    {
      key: 'reflect',
      name: 'hushlb’s device, reflecting',
      remembers: false,
      maxFlows: UNLIMITED,
      start: (far) => startNode(far, 'reflector.js', ['af-xdp']),
    },
    {
      key: 'hushlb',
      name: 'hushlb run, IPIP',
      remembers: true,
      maxFlows: UNLIMITED,
      start: (far) => startHushlb(far, folder, 'af-xdp'),
    },
  );
  const packetYardstick = compileYardstick('reflect-packet', folder);
  // Without a compiler the other one has said so.
  if (packetYardstick.path !== undefined) {
    const { path } = packetYardstick;
    subjects.push({
      key: 'c-packet',
      name: 'AF_PACKET reflector in C',
      remembers: false,
      maxFlows: UNLIMITED,
      start: (far) => {
        takeXdpFrames(far);
        return startNode(far, 'c-packet-reflector.js', [path]);
      },
    });
  }
  subjects.push(
    {
      key: 'reflect-packet',
      name: 'hushlb’s af-packet device, reflecting',
      remembers: false,
      maxFlows: UNLIMITED,
      start: (far) => {
        takeXdpFrames(far);
        return startNode(far, 'reflector.js', ['af-packet']);
      },
    },
    {
      key: 'hushlb-packet',
      name: 'hushlb run, IPIP, af-packet',
      remembers: true,
      maxFlows: UNLIMITED,
      start: (far) => {
        takeXdpFrames(far);
        return startHushlb(far, folder, 'af-packet');
      },
    },
    {
      key: 'kernel',
      name: 'the kernel’s forwarding',
      remembers: false,
      maxFlows: UNLIMITED,
      start: (far) => startKernel(far),
    },
  );
  const nft = spawnSync('nft', ['--version']);
  if (nft.error !== undefined) missing.push('nftables DNAT was left out: no nft (Debian: `apt-get install nftables`).');
  else
    subjects.push({
      key: 'nft',
      name: 'nftables DNAT (stateful)',
      remembers: true,
      maxFlows: nftFlows(),
      start: startNft,
    });
  return { subjects, missing };
}

/** The load has core 0, what it is aimed at core 1: a generator that moves would measure the scheduler. */
export function pinned(core: number, command: readonly string[]): string[] {
  return ['taskset', '--cpu-list', String(Math.min(core, availableParallelism() - 1)), ...command];
}

async function startNode(far: string, script: string, args: readonly string[]): Promise<RunningSubject> {
  const path = new URL(script, import.meta.url).pathname;
  return whenReady(inNamespace(far, () => startLineProcess(script, pinned(1, [process.execPath, path, ...args]))));
}

async function startHushlb(far: string, folder: string, io: string): Promise<RunningSubject> {
  const config = join(folder, `${io}.yaml`);
  writeFileSync(
    config,
    benchYaml({
      ...SERVICE,
      top: `io: ${io}\nmetrics: false\nadmin: false`,
    }),
  );
  const path = new URL('../../cli/main.js', import.meta.url).pathname;
  const command = pinned(1, [process.execPath, path, 'run', '-c', config, '--log-format', 'json']);
  return whenReady(inNamespace(far, () => startLineProcess('hushlb run', command, { answersOn: 'stderr' })));
}

/** Reads lines until one says ready; a pid in it is the subject's, else it is the process that says it. */
async function whenReady(process: LineProcess): Promise<RunningSubject> {
  for (;;) {
    const line = await process.next();
    if (!/\bready\b/.test(line)) continue;
    const pid = Number(/^ready (\d+)$/.exec(line)?.[1] ?? process.child.pid);
    return { pid, stop: () => process.end() };
  }
}

/** IPv4 forwarding, by a route for the VIP to where the frames came from. */
async function startKernel(far: string): Promise<RunningSubject> {
  sysctl(far, 'ipv4/ip_forward', 1);
  for (const scope of ['all', 'eth0']) {
    sysctl(far, `ipv4/conf/${scope}/rp_filter`, 0);
    sysctl(far, `ipv4/conf/${scope}/send_redirects`, 0);
  }
  ip(far, [`route add ${VIP}/32 via 198.18.2.1`]);
  takeXdpFrames(far);
  return { pid: undefined, stop: async () => {} };
}

/** Without an XDP program a veth end takes frames that XDP sends only while it does GRO. */
function takeXdpFrames(far: string): void {
  inNamespace(far, () => setOffloads('eth0', { gro: true }));
}

/** The kernel's stateful NAT: the backend by a hash of source address and port, remembered by nf_conntrack. */
async function startNft(far: string): Promise<RunningSubject> {
  const running = await startKernel(far);
  const backends = Array.from({ length: BACKENDS }, (_, i) => `${i} : 198.18.2.${i + 1}`).join(', ');
  const rules = `table ip bench {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr ${VIP} tcp dport ${PORT} dnat to jhash ip saddr . tcp sport mod ${BACKENDS} map { ${backends} }
  }
}`;
  run('ip', ['netns', 'exec', far, 'nft', '-f', '-'], rules);
  // The generator leaves TCP checksums wrong, which nf_conntrack would take for damage.
  sysctl(far, 'netfilter/nf_conntrack_checksum', 0);
  return running;
}

/** nf_conntrack's limit belongs to the machine and is left as it is. */
function nftFlows(): number {
  try {
    return Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8')) * 0.9;
  } catch {
    return UNLIMITED;
  }
}
