/**
 * The part of case `workers` that is on the wire: `hushlb run` on one receive queue and on two, with one worker and with two,
 * each on a veth pair of its own, loaded in turn with bursts (bursts.ts).
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inNamespace } from '../../io/namespace.ts';
import { benchYaml } from '../balancer.ts';
import type { CaseContext } from '../case.ts';
import { BACKENDS } from '../decision/modes.ts';
import { type BenchNetwork, buildBenchNetwork } from '../forwarding/network.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import { interleave } from '../rounds.ts';
import type { BurstResult } from './bursts.ts';

export interface QueueSubject {
  readonly name: string;
  readonly queues: number;
  /** Where its workers are pinned. */
  readonly cpus: readonly number[];
}

export const ONE_WORKER: QueueSubject = { name: 'one worker, one queue', queues: 1, cpus: [1] };
export const TWO_WORKERS: QueueSubject = { name: 'two workers, two queues', queues: 2, cpus: [0, 1] };
const SUBJECTS: readonly QueueSubject[] = [
  ONE_WORKER,
  { name: 'one worker, two queues', queues: 2, cpus: [1] },
  TWO_WORKERS,
];

export interface QueuesMeasured {
  readonly subject: QueueSubject;
  /** A value a round. */
  readonly mpps: readonly number[];
}

export interface QueuesPlan {
  readonly atMost: number;
  readonly warmUps: number;
  readonly folder: string;
}

const RING = 8192;
/** For each queue: as many as its ring holds, but for those that may be under way. */
export const BURST = 8000;

const HUSHLB = new URL('../../cli/main.js', import.meta.url).pathname;
const LOAD = new URL('bursts.js', import.meta.url).pathname;

/** Needs root and two cores. */
export async function measureQueues(
  { atMost, warmUps, folder }: QueuesPlan,
  { progress, secondsLeft }: Pick<CaseContext, 'progress' | 'secondsLeft'>,
): Promise<QueuesMeasured[]> {
  progress('building the network');
  const network = buildBenchNetwork(
    SUBJECTS.length,
    SUBJECTS.map(({ queues }) => queues),
  );
  const processes: LineProcess[] = [];
  try {
    progress('starting hushlb');
    for (const [i, subject] of SUBJECTS.entries()) processes.push(startBalancer(subject, network.far[i], folder));
    const balancers = [...processes];
    for (const balancer of balancers) await untilReady(balancer);
    const load = startLoad(network);
    processes.push(load);
    await load.next();

    const burst = async (i: number): Promise<number> => {
      const order = `${network.wires[i]} ${balancers[i].child.pid} ${SUBJECTS[i].queues} ${BURST}`;
      const { returned, ns } = JSON.parse(await load.ask(order)) as BurstResult;
      if (returned === 0) throw new Error(`${SUBJECTS[i].name}: no packet came back`);
      return (returned / ns) * 1000;
    };
    progress('one worker and two, on the wire');
    for (let turn = 0; turn < warmUps; turn++) for (const i of SUBJECTS.keys()) await burst(i);
    const limits = { atLeast: 3, atMost, hasTime: () => secondsLeft() > 1 };
    const mpps = await interleave([...SUBJECTS.keys()], limits, burst);
    return SUBJECTS.map((subject, i) => ({ subject, mpps: mpps[i] }));
  } finally {
    // Whoever stands still, because its load broke off, would not hear that it is to end.
    for (const { child } of processes) child.kill('SIGCONT');
    await Promise.all(processes.map((process) => process.end()));
    network.remove();
  }
}

function startBalancer({ queues, cpus }: QueueSubject, far: string, folder: string): LineProcess {
  const config = join(folder, `workers-${queues}-${cpus.length}.yaml`);
  const top = `metrics: false\nadmin: false\nworkers: ${cpus.length}\ncpus: [${cpus.join(', ')}]\nafXdp: { ringSize: ${RING} }`;
  writeFileSync(config, benchYaml({ backends: BACKENDS, top, service: 'conntrack: { idleTimeout: 1h }' }));
  const command = [process.execPath, HUSHLB, 'run', '-c', config, '--log-format', 'json'];
  return inNamespace(far, () => startLineProcess('hushlb run', command, { answersOn: 'stderr' }));
}

async function untilReady(balancer: LineProcess): Promise<void> {
  while (!(await balancer.next()).includes('"msg":"ready"'));
}

function startLoad({ near, wires }: BenchNetwork): LineProcess {
  return inNamespace(near, () => startLineProcess('the load', [process.execPath, LOAD, ...wires]));
}
