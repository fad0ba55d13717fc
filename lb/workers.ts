/**
 * The main thread's half of the workers: starts one a receive queue, hands them each new forwarding state, stops them,
 * and says so when one fails. Used by lb/daemon.ts.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { announceGeneration, type Control, createControl, requestStop, runningGeneration } from './control.ts';
import { HushlbError } from './errors.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { widenInlining } from './inlining.ts';
import type { WorkerInput, WorkerMessage } from './worker.ts';

export interface Workers {
  readonly zeroCopy: boolean;
  /** Rejects as soon as one worker fails; never resolves. */
  readonly failed: Promise<never>;
  publish(state: ForwardingState): void;
  /** The queues whose worker walks its packets by a generation before this one. */
  behind(generation: number): number[];
  /** Resolves when every worker has closed its socket. */
  stop(): Promise<void>;
}

export interface WorkersInput {
  readonly interfaceIndex: number;
  readonly socketMapFd: number;
  /** One row a worker, on shared memory: their number is the number of workers, one a receive queue. */
  readonly counters: readonly Float64Array[];
  readonly deviceCounters: readonly Float64Array[];
  readonly state: ForwardingState;
}

interface Running {
  readonly worker: Worker;
  readonly control: Control;
  readonly ended: Promise<unknown>;
}

/** Starts all workers and waits until each has its socket; on a failure all are stopped and the error is thrown. */
export async function startWorkers(input: WorkersInput): Promise<Workers> {
  widenInlining();
  const running: Running[] = [];
  const failures: Promise<never>[] = [];
  const readies: Promise<boolean>[] = [];
  for (const [queue, counters] of input.counters.entries()) {
    const control = createControl();
    const workerData: WorkerInput = {
      interfaceIndex: input.interfaceIndex,
      queue,
      socketMapFd: input.socketMapFd,
      control,
      counters,
      deviceCounters: input.deviceCounters[queue],
      state: input.state,
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData });
    running.push({ worker, control, ended: once(worker, 'exit') });
    readies.push(readyOf(worker));
    failures.push(failureOf(worker, queue));
  }
  const failed = Promise.race(failures);
  failed.catch(() => {});

  const stop = async (): Promise<void> => {
    for (const { control } of running) requestStop(control);
    await Promise.all(running.map(({ ended }) => ended));
  };
  try {
    const zeroCopy = await Promise.race([Promise.all(readies), failed]);
    announceTo(running, input.state);
    return {
      zeroCopy: zeroCopy.every((value) => value),
      failed,
      publish(state) {
        for (const { worker } of running) worker.postMessage(state);
        announceTo(running, state);
      },
      behind: (generation) =>
        running.flatMap(({ control }, queue) => (runningGeneration(control) < generation ? [queue] : [])),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function announceTo(running: readonly Running[], state: ForwardingState): void {
  for (const { control } of running) announceGeneration(control, state.generation);
}

function readyOf(worker: Worker): Promise<boolean> {
  return new Promise((resolve) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ready') resolve(message.zeroCopy);
    });
  });
}

function failureOf(worker: Worker, queue: number): Promise<never> {
  return new Promise((_, reject) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'failed')
        reject(new HushlbError(message.code, `worker of queue ${queue}: ${message.message}`));
    });
    worker.on('error', (error) => reject(error));
  });
}
