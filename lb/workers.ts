/**
 * The main thread's half of the workers: starts them as planned, hands them each new forwarding state, stops them, says so
 * when one has ended by itself and starts another in its place. Used by lb/packet-path.ts; lb/path-keeper.ts decides.
 */
import { Worker } from 'node:worker_threads';
import { giveBackLeftovers } from '../io/ffi.ts';
import { NOTHING_LEFT } from '../io/leftovers.ts';
import { createWake, type Wake } from '../io/wake.ts';
import { announceGeneration, type Control, createControl, requestStop, runningGeneration } from './control.ts';
import { HushlbError } from './errors.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { widenInlining } from './inlining.ts';
import { encodeState } from './state-message.ts';
import type { WorkerInput, WorkerMessage } from './worker.ts';
import type { DeviceOptions } from './worker-device.ts';
import type { WorkerPlan } from './worker-plan.ts';

export interface Workers {
  /** All of their queues. */
  readonly zeroCopy: boolean;
  publish(state: ForwardingState): void;
  /** The workers, from 0, that walk their packets by a generation before this one. */
  behind(generation: number): number[];
  /**
   * Starts another in the place of one that has ended, with its queues, its counters, the last state and an empty table.
   * Resolves when it has its socket; rejects with why it has not.
   */
  restart(worker: number): Promise<void>;
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
  /** A worker, from 0, that forwarded has ended by itself. Its socket is closed; the others go on. */
  onEnd(worker: number, reason: Error): void;
  /** The thread's program; a test may break one. */
  readonly program?: URL;
}

/** One worker, and what stays when it ends and another takes its place. */
interface Seat {
  readonly worker: Worker;
  readonly control: Control;
  readonly wake: Wake;
  /** Resolves when it has its socket; rejects when it ends before. */
  readonly ready: Promise<boolean>;
  readonly ended: Promise<unknown>;
}

const PROGRAM = new URL('./worker.js', import.meta.url);

/** Starts all workers and waits until each has its socket; on a failure all are stopped and the error is thrown. */
export async function startWorkers(input: WorkersInput): Promise<Workers> {
  widenInlining();
  /** The last that was handed out: what a worker that is started now begins with. */
  let last = input.state;
  let stopping = false;
  let started = false;
  let failStart: (reason: Error) => void = () => {};
  const startFailed = new Promise<never>((_, reject) => (failStart = reject));
  startFailed.catch(() => {});
  const onEnd = (worker: number, reason: Error): void => {
    if (stopping) return;
    if (started) input.onEnd(worker, reason);
    else failStart(reason);
  };
  const seats = input.plan.map((_, i) => takeSeat(input, i, last, onEnd));

  const stop = async (): Promise<void> => {
    stopping = true;
    for (const { control, wake } of seats) {
      requestStop(control);
      wake.wake();
    }
    await Promise.all(seats.map(({ ended }) => ended));
    for (const { wake } of seats.splice(0)) wake.close();
  };
  try {
    const zeroCopy = await Promise.race([Promise.all(seats.map(({ ready }) => ready)), startFailed]);
    started = true;
    return {
      zeroCopy: zeroCopy.every((value) => value),
      publish(state) {
        const message = encodeState(state, last);
        last = state;
        for (const { worker, control, wake } of seats) {
          worker.postMessage(message);
          announceGeneration(control, state.generation);
          wake.wake();
        }
      },
      behind: (generation) => seats.flatMap(({ control }, i) => (runningGeneration(control) < generation ? [i] : [])),
      async restart(worker) {
        if (stopping) return;
        const gone = seats[worker];
        seats[worker] = takeSeat(input, worker, last, onEnd);
        await gone.ended;
        gone.wake.close();
        await seats[worker]?.ready;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function takeSeat(
  { plan, deviceOf, counters, deviceCounters, program = PROGRAM }: WorkersInput,
  i: number,
  state: ForwardingState,
  onEnd: (worker: number, reason: Error) => void,
): Seat {
  const { queues, cpu } = plan[i];
  const control = createControl();
  const wake = createWake();
  announceGeneration(control, state.generation);
  const workerData: WorkerInput = {
    device: deviceOf(plan[i], wake.fd),
    cpu,
    control,
    counters: counters[i],
    deviceCounters: queues.map((queue) => deviceCounters[queue]),
    state,
  };
  const worker = new Worker(program, { workerData });
  let leftovers = NOTHING_LEFT;
  let isReady = false;
  let reason: Error | undefined;
  worker.on('error', (error) => {
    reason = error;
  });
  let end: () => void = () => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  const ready = new Promise<boolean>((resolve, reject) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'failed') {
        reason = new HushlbError(message.code, `worker of queue ${queues.join(', ')}: ${message.message}`);
        return;
      }
      leftovers = message.leftovers;
      if (message.kind === 'closed') return;
      isReady = true;
      resolve(message.zeroCopy);
    });
    worker.on('exit', (code) => {
      giveBackLeftovers(leftovers);
      end();
      const why = reason ?? new HushlbError('WORKER_ENDED', `worker of queue ${queues.join(', ')} ended, code ${code}`);
      if (isReady) onEnd(i, why);
      else reject(why);
    });
  });
  ready.catch(() => {});
  return { worker, control, wake, ready, ended };
}
