/**
 * The wires of case `forwarding`: one namespace with the load, and for each subject a namespace of its own behind a veth pair
 * of its own, so that all subjects stand ready at the same time and are loaded in turn.
 *
 * ```
 *   namespace near                                        namespace far-0, far-1, …
 *   generator (kernel) ──► wire0 ═══════ veth ═══════ eth0 ──► subject 0
 *   XDP sink, counts   ◄── wire1 ═══════ veth ═══════ eth0 ──► subject 1
 * ```
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { errno, SystemCallError } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import { BACKENDS } from '../decision/modes.ts';

export const FAR_MAC = '02:00:00:00:00:02';
const NEAR_MAC = '02:00:00:00:00:01';
/** The backends' MAC stays known for the run: the load's end of the wire answers no ARP. */
const A_DAY_MS = 24 * 3600 * 1000;

export interface BenchNetwork {
  readonly near: string;
  /** Near end of each subject's wire. */
  readonly wires: readonly string[];
  /** Each subject's namespace; its end of the wire is `eth0`. */
  readonly far: readonly string[];
  remove(): void;
}

/** Names of `buildBenchNetwork`, with the pid of the process that it was called in. */
export const NAMESPACE_OF_RUN = /^hushlb-bench-(\d+)-\d+-(?:near|far-\d+)$/;

let made = 0;

/** Builds the wires of `count` subjects, with one queue each or `queues`. Throws with iproute2's words where the kernel refuses; nothing is left then. */
export function buildBenchNetwork(count: number, queues: readonly number[] = []): BenchNetwork {
  const prefix = `hushlb-bench-${process.pid}-${made++}`;
  const near = `${prefix}-near`;
  const far = Array.from({ length: count }, (_, i) => `${prefix}-far-${i}`);
  const wires = far.map((_, i) => `wire${i}`);
  const remove = (): void => {
    for (const name of [near, ...far]) spawnSync('ip', ['netns', 'delete', name], { stdio: 'ignore' });
  };
  process.once('exit', remove);
  try {
    ip(
      null,
      [near, ...far].map((name) => `netns add ${name}`),
    );
    ip(
      near,
      wires.flatMap((wire, i) => {
        const counts = `numrxqueues ${queues[i] ?? 1} numtxqueues ${queues[i] ?? 1}`;
        return [
          `link add ${wire} ${counts} type veth peer name eth0 netns ${far[i]} ${counts}`,
          `link set ${wire} address ${NEAR_MAC}`,
        ];
      }),
    );
    for (const name of [near, ...far]) sysctl(name, 'ipv6/conf/all/disable_ipv6', 1);
    for (const name of far) {
      sysctl(name, 'ipv4/neigh/eth0/base_reachable_time_ms', A_DAY_MS);
      ip(name, farCommands());
    }
    ip(
      near,
      wires.map((wire) => `link set ${wire} up`),
    );
  } catch (error) {
    remove();
    process.off('exit', remove);
    throw error;
  }
  return {
    near,
    wires,
    far,
    remove() {
      remove();
      process.off('exit', remove);
    },
  };
}

function farCommands(): string[] {
  const neighbours = Array.from(
    { length: BACKENDS },
    (_, i) => `neigh add 198.18.2.${i + 1} lladdr ${NEAR_MAC} dev eth0 nud reachable`,
  );
  return [
    `link set eth0 address ${FAR_MAC}`,
    'link set lo up',
    'link set eth0 up',
    'addr add 198.18.2.254/24 dev eth0',
    ...neighbours,
  ];
}

/** Runs iproute2 commands in a namespace, or in ours. */
export function ip(namespace: string | null, commands: readonly string[]): void {
  const where = namespace === null ? [] : ['-n', namespace];
  run('ip', [...where, '-batch', '-'], commands.join('\n'));
}

/** Runs a program with `input` and returns its output; throws one line with what it said when it fails. */
export function run(program: string, args: readonly string[], input: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  if (error !== undefined) throw new SystemCallError(program, errno.ENOENT, 'is it installed?');
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr.trim().split('\n')[0]}`);
  return stdout;
}

/** Sets a sysctl below /proc/sys/net in a namespace. */
export function sysctl(namespace: string, name: string, value: number): void {
  inNamespace(namespace, () => writeFileSync(`/proc/sys/net/${name}`, `${value}`));
}
