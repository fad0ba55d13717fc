/**
 * Which worker serves which receive queues, and on which CPU. Called by lb/daemon.ts at the start, when the interface's
 * queues are known.
 *
 * Every queue has a worker, always: the steering program hands the packets of a queue without a socket to the kernel, which
 * knows no service. So fewer workers than queues share them all out, and more than queues are refused.
 *
 * ```
 *   workers: auto   queue 0 ─► worker 0      workers: 2   queue 0 ─► worker 0
 *                   queue 1 ─► worker 1                   queue 1 ─► worker 1
 *                   queue 2 ─► worker 2                   queue 2 ─► worker 0, in turn with 0
 * ```
 */
import { frameMemory, MAX_MEMORY } from '../io/af-xdp-device.ts';
import type { Config } from './config.ts';
import { HushlbError } from './errors.ts';

export interface WorkerPlan {
  readonly queues: readonly number[];
  /** Null: wherever the kernel likes. */
  readonly cpu: number | null;
}

/** As the configuration's `io` wants it. Throws HushlbError where the settings do not fit the interface. */
export function planFor(queueCount: number, config: Config): WorkerPlan[] {
  if (config.io === 'portable') return planSockets(1, config);
  return config.io === 'af-packet' ? planSockets(queueCount, config) : planWorkers(queueCount, config);
}

/** One for each worker. Throws HushlbError where the settings do not fit the interface. */
export function planWorkers(
  queueCount: number,
  { interface: name, workers, cpus, afXdp }: Pick<Config, 'interface' | 'workers' | 'cpus' | 'afXdp'>,
): WorkerPlan[] {
  const count = workers === 'auto' ? queueCount : workers;
  const queues = counted(queueCount, 'receive queue', 'receive queues');
  const refuse = (message: string) => new HushlbError('WORKERS_UNFIT', message);
  if (count > queueCount) {
    throw refuse(
      `workers: ${name} has ${queues}, too few for ${count} workers: ethtool -L ${name} combined ${count}, or workers: ${queueCount}`,
    );
  }
  if (cpus !== null && cpus.length !== count) {
    // With `workers: N` the configuration was held against them before.
    const workerPhrase = count === 1 ? 'one worker' : 'a worker for each';
    const way = cpus.length < count ? `, or say workers: ${cpus.length}` : '';
    throw refuse(
      `cpus: ${name} has ${queues}, ${workerPhrase}, and ${counted(cpus.length, 'CPU is', 'CPUs are')} named: name ${count}${way}`,
    );
  }
  const most = Math.ceil(queueCount / count);
  if (most * frameMemory(afXdp.ringSize) > MAX_MEMORY) {
    throw refuse(
      `afXdp.ringSize: ${most} queues with rings of ${afXdp.ringSize} are too much for one worker: more workers or a smaller ringSize`,
    );
  }
  return Array.from({ length: count }, (_, i) => ({
    queues: Array.from({ length: queueCount }, (__, queue) => queue).filter((queue) => queue % count === i),
    cpu: cpus === null ? null : cpus[i],
  }));
}

/**
 * For packet sockets, which the kernel shares packets out to by flow: any number of them does, each called a queue here.
 * `auto` is one for each CPU that is named, or else for each receive queue.
 */
export function planSockets(queueCount: number, { workers, cpus }: Pick<Config, 'workers' | 'cpus'>): WorkerPlan[] {
  const count = workers === 'auto' ? (cpus?.length ?? queueCount) : workers;
  return Array.from({ length: count }, (_, i) => ({ queues: [i], cpu: cpus === null ? null : cpus[i] }));
}

function counted(count: number, one: string, several: string): string {
  return `${count} ${count === 1 ? one : several}`;
}
