/**
 * The main thread's half of the workers: starts them as planned, hands them each new forwarding state, stops them,
 * and says so when one fails. Used by lb/daemon.ts.
 */
import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { createWake, type Wake } from '../io/wake.ts';
import { createAsking } from './ask.ts';
import {
  announceGeneration,
  announceQuery,
  beatsOf,
  type Control,
  createControl,
  requestStop,
  runningGeneration,
  setFollowed,
} from './control.ts';
import { HushlbError } from './errors.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { widenInlining } from './inlining.ts';
import type { Observations } from './observed-rows.ts';
import type { Prepared } from './prepare.ts';
import { encodeState } from './state-message.ts';
import type { WorkerInput, WorkerMessage, WorkerReport } from './worker.ts';
import type { DeviceOptions } from './worker-device.ts';
import type { WorkerPlan } from './worker-plan.ts';
import type { WorkerAnswer, WorkerRequest } from './worker-requests.ts';

export interface Workers {
  /** All of their queues. */
  readonly zeroCopy: boolean;
  /** Rejects as soon as one worker fails; never resolves. */
  readonly failed: Promise<never>;
  publish(state: ForwardingState): void;
  /** The workers, from 0, that walk their packets by a generation before this one. */
  behind(generation: number): number[];
  /** Turns of each worker's loop; 0 for one that is not in it. */
  beats(): number[];
  /** Rejects with a HushlbError: names that nobody has, or a worker that ended before it answered. */
  ask(request: WorkerRequest): Promise<WorkerAnswer>;
  /** Whether they are to tell what becomes of packets (lb/observer.ts). */
  follow(isFollowed: boolean): void;
  /** Who is told it. */
  onObserved(listener: (worker: number, observed: Observations) => void): void;
  /** Resolves when every worker has closed its socket. */
  stop(): Promise<void>;
}

export interface WorkersInput {
  readonly plan: readonly WorkerPlan[];
  /** What a worker opens; `wakeFd` ends its wait. */
  deviceOf(plan: WorkerPlan, wakeFd: number): DeviceOptions;
  /** One row a worker, on shared memory. */
  readonly counters: readonly Float64Array[];
  /** One row a queue. */
  readonly deviceCounters: readonly Float64Array[];
  readonly state: ForwardingState;
  /** What is in force, for the names in answers. */
  prepared(): Prepared;
}

interface Running {
  readonly worker: Worker;
  /** For questions and answers. */
  readonly port: MessagePort;
  readonly control: Control;
  readonly wake: Wake;
  readonly ended: Promise<unknown>;
}

/** Starts all workers and waits until each has its socket; on a failure all are stopped and the error is thrown. */
export async function startWorkers(input: WorkersInput): Promise<Workers> {
  widenInlining();
  const running: Running[] = [];
  const failures: Promise<never>[] = [];
  const readies: Promise<boolean>[] = [];
  for (const [i, plan] of input.plan.entries()) {
    const control = createControl();
    const wake = createWake();
    const { port1: port, port2 } = new MessageChannel();
    const workerData: WorkerInput = {
      device: input.deviceOf(plan, wake.fd),
      cpu: plan.cpu,
      control,
      counters: input.counters[i],
      deviceCounters: plan.queues.map((queue) => input.deviceCounters[queue]),
      state: input.state,
      port: port2,
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData, transferList: [port2] });
    running.push({ worker, control, wake, port, ended: once(worker, 'exit') });
    readies.push(readyOf(worker));
    failures.push(failureOf(worker, plan));
  }
  const asking = createAsking(running.length, input.prepared, (i, query) => {
    // After the stop there are none.
    if (running.at(i) === undefined) return false;
    const { port, control, wake } = running[i];
    port.postMessage(query);
    announceQuery(control);
    wake.wake();
    return true;
  });
  let observed: (worker: number, observations: Observations) => void = () => {};
  for (const [i, { port, worker }] of running.entries()) {
    port.on('message', (report: WorkerReport) => {
      if (report.kind === 'entries') asking.tell(i, report.entries);
      else observed(i, report.observed);
    });
    worker.on('exit', () => asking.gone(i));
  }
  const failed = Promise.race(failures);
  failed.catch(() => {});

  const stop = async (): Promise<void> => {
    for (const { control, wake } of running) {
      requestStop(control);
      wake.wake();
    }
    await Promise.all(running.map(({ ended }) => ended));
    for (const { wake, port } of running.splice(0)) {
      port.close();
      wake.close();
    }
  };
  try {
    const zeroCopy = await Promise.race([Promise.all(readies), failed]);
    announceTo(running, input.state);
    let before = input.state;
    return {
      zeroCopy: zeroCopy.every((value) => value),
      failed,
      publish(state) {
        const message = encodeState(state, before);
        for (const { worker } of running) worker.postMessage(message);
        before = state;
        announceTo(running, state);
      },
      beats: () => running.map(({ control }) => beatsOf(control)),
      behind: (generation) => running.flatMap(({ control }, i) => (runningGeneration(control) < generation ? [i] : [])),
      ask: asking.ask,
      follow(isFollowed) {
        for (const { control } of running) setFollowed(control, isFollowed);
      },
      onObserved(listener) {
        observed = listener;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function announceTo(running: readonly Running[], state: ForwardingState): void {
  for (const { control, wake } of running) {
    announceGeneration(control, state.generation);
    wake.wake();
  }
}

function readyOf(worker: Worker): Promise<boolean> {
  return new Promise((resolve) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ready') resolve(message.zeroCopy);
    });
  });
}

function failureOf(worker: Worker, { queues }: WorkerPlan): Promise<never> {
  return new Promise((_, reject) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'failed')
        reject(new HushlbError(message.code, `worker of queue ${queues.join(', ')}: ${message.message}`));
    });
    worker.on('error', (error) => reject(error));
  });
}
