/**
 * The part of case `workers` that is on the wire: `hushlb run` on one receive queue and on two, with one worker and with two,
 * each on a veth pair of its own, loaded in turn. Two generators flood at once, each from a core of its own, because veth hands
 * a frame to the queue of the core that sends it.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { inNamespace } from '../../io/namespace.ts';
import { benchYaml } from '../balancer.ts';
import type { CaseContext } from '../case.ts';
import { BACKENDS } from '../decision/modes.ts';
import { processSeconds } from '../forwarding/cpu-time.ts';
import type { LoadResult } from '../forwarding/load.ts';
import { type BenchNetwork, buildBenchNetwork } from '../forwarding/network.ts';
import { pinned } from '../forwarding/subjects.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { interleave } from '../rounds.ts';

/** Two for the load, and one for each worker. */
export const CORES_WANTED = 4;

export interface QueueSubject {
  readonly name: string;
  readonly queues: number;
  readonly workers: number;
}

export const ONE_WORKER: QueueSubject = { name: 'one worker, one queue', queues: 1, workers: 1 };
export const TWO_WORKERS: QueueSubject = { name: 'two workers, two queues', queues: 2, workers: 2 };
const SUBJECTS: readonly QueueSubject[] = [
  ONE_WORKER,
  { name: 'one worker, two queues', queues: 2, workers: 1 },
  TWO_WORKERS,
];

export interface QueuesMeasured {
  readonly subject: QueueSubject;
  /** A value a round. */
  readonly mpps: readonly number[];
  /** CPU seconds of its process a million packets. */
  readonly cpu: readonly number[];
}

export interface QueuesPlan {
  readonly atMost: number;
  readonly loadMs: number;
  readonly folder: string;
}

const FLOWS = 10_000;
/** Ethernet's smallest frame, without FCS. */
const FRAME_BYTES = 60;
const WARM_UP_MS = 400;

const HUSHLB = new URL('../../cli/main.js', import.meta.url).pathname;
const LOAD = new URL('../forwarding/load.js', import.meta.url).pathname;

/** Needs root and two cores. */
export async function measureQueues(
  { atMost, loadMs, folder }: QueuesPlan,
  { progress, secondsLeft }: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<QueuesMeasured[]> {
  progress('building the network');
  const network = buildBenchNetwork(
    SUBJECTS.length,
    SUBJECTS.map(({ queues }) => queues),
  );
  const processes: LineProcess[] = [];
  const keep = (process: LineProcess): LineProcess => {
    processes.push(process);
    return process;
  };
  try {
    progress('starting hushlb');
    const balancers = SUBJECTS.map((subject, i) => keep(startBalancer(subject, network.far[i], folder)));
    for (const balancer of balancers) await untilReady(balancer);
    // Only the first counts what comes back, for both.
    const loads = [keep(startLoad(network, 0, network.wires)), keep(startLoad(network, 1, []))];
    for (const load of loads) await load.next();

    const flood = async (i: number, ms: number): Promise<LoadResult> => {
      const order = `${network.wires[i]} ${FLOWS} ${FRAME_BYTES} ${ms}`;
      const [answer] = await Promise.all(loads.map((load) => load.ask(order)));
      return JSON.parse(answer) as LoadResult;
    };
    for (const [i, { name }] of SUBJECTS.entries()) {
      progress(`${name}, warming up`);
      const { returned } = await flood(i, WARM_UP_MS);
      if (returned === 0) throw new Error(`${name}: no packet came back`);
    }
    const cpu = SUBJECTS.map((): number[] => []);
    const limits = { atLeast: 2, atMost, hasTime: () => secondsLeft() > 2 };
    const mpps = await interleave([...SUBJECTS.keys()], limits, async (i) => {
      progress(SUBJECTS[i].name);
      // The last subject's frames have all come back.
      await setTimeout(20);
      const pid = balancers[i].child.pid as number;
      const before = processSeconds(pid);
      const { returned, seconds } = await flood(i, loadMs);
      const millions = Math.max(returned, 1) / 1e6;
      cpu[i].push((processSeconds(pid) - before) / millions);
      return millions / seconds;
    });
    return SUBJECTS.map((subject, i) => ({ subject, mpps: mpps[i], cpu: cpu[i] }));
  } finally {
    await Promise.all(processes.map((process) => process.end()));
    network.remove();
  }
}

/** The last cores: where there are enough the first two are the load's alone. */
function startBalancer({ queues, workers }: QueueSubject, far: string, folder: string): LineProcess {
  const cores = availableParallelism();
  const cpus = [cores - 1, cores - 2].slice(0, workers);
  const config = join(folder, `workers-${queues}-${workers}.yaml`);
  const top = `metrics: false\nworkers: ${workers}\ncpus: [${cpus.join(', ')}]`;
  writeFileSync(config, benchYaml({ backends: BACKENDS, top, service: 'conntrack: { idleTimeout: 1h }' }));
  const command = [process.execPath, HUSHLB, 'run', '-c', config, '--log-format', 'json'];
  return inNamespace(far, () => startLineProcess('hushlb run', command, { answersOn: 'stderr' }));
}

async function untilReady(balancer: LineProcess): Promise<void> {
  while (!(await balancer.next()).includes('"msg":"ready"'));
}

function startLoad({ near }: BenchNetwork, core: number, wires: readonly string[]): LineProcess {
  return inNamespace(near, () => startLineProcess('the load', pinned(core, [process.execPath, LOAD, ...wires])));
}
