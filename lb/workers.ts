/**
 * The main thread's half of the workers: starts them as planned, hands them each new forwarding state, stops them, says so
 * when one has ended by itself and starts another in its place. Used by lb/packet-path.ts; lb/path-keeper.ts decides.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { giveBackLeftovers } from '../io/ffi.ts';
import { NOTHING_LEFT } from '../io/leftovers.ts';
import { createWake, type Wake } from '../io/wake.ts';
import { type Asking, createAsking } from './ask.ts';
import {
  announceGeneration,
  announceQuery,
  type Control,
  createControl,
  requestStop,
  runningGeneration,
} from './control.ts';
import { HushlbError } from './errors.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { widenInlining } from './inlining.ts';
import type { Prepared } from './prepare.ts';
import { encodeState } from './state-message.ts';
import type { WorkerInput, WorkerMessage, WorkerReport } from './worker.ts';
import type { DeviceOptions } from './worker-device.ts';
import type { WorkerPlan } from './worker-plan.ts';
import type { WorkerAnswer, WorkerRequest } from './worker-requests.ts';

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
  /** Rejects with a HushlbError: names that nobody has, or a worker that ended before it answered. */
  ask(request: WorkerRequest): Promise<WorkerAnswer>;
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
  /** A worker, from 0, that forwarded has ended by itself. Its socket is closed; the others go on. */
  onEnd(worker: number, reason: Error): void;
  /** The thread's program; a test may break one. */
  readonly program?: URL;
}

/** One worker, and what stays when it ends and another takes its place. */
interface Seat {
  readonly worker: Worker;
  /** For questions and answers. */
  readonly port: MessagePort;
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
  const asking = createAsking(input.plan.length, input.prepared, (i, query) => {
    // After the stop there are none.
    if (seats.at(i) === undefined) return false;
    const { port, control, wake } = seats[i];
    port.postMessage(query);
    announceQuery(control);
    wake.wake();
    return true;
  });
  const onEnd = (worker: number, reason: Error): void => {
    if (stopping) return;
    if (started) input.onEnd(worker, reason);
    else failStart(reason);
  };
  const seats = input.plan.map((_, i) => takeSeat({ ...input, onEnd }, i, last, asking));

  const stop = async (): Promise<void> => {
    stopping = true;
    for (const { control, wake } of seats) {
      requestStop(control);
      wake.wake();
    }
    await Promise.all(seats.map(({ ended }) => ended));
    for (const seat of seats.splice(0)) leave(seat);
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
        seats[worker] = takeSeat({ ...input, onEnd }, worker, last, asking);
        await gone.ended;
        leave(gone);
        await seats[worker]?.ready;
      },
      ask: asking.ask,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function leave({ wake, port }: Seat): void {
  port.close();
  wake.close();
}

function takeSeat(
  { plan, deviceOf, counters, deviceCounters, onEnd, program = PROGRAM }: WorkersInput,
  i: number,
  state: ForwardingState,
  asking: Asking,
): Seat {
  const { queues, cpu } = plan[i];
  const control = createControl();
  const wake = createWake();
  const { port1: port, port2 } = new MessageChannel();
  announceGeneration(control, state.generation);
  const workerData: WorkerInput = {
    device: deviceOf(plan[i], wake.fd),
    cpu,
    control,
    counters: counters[i],
    deviceCounters: queues.map((queue) => deviceCounters[queue]),
    state,
    port: port2,
  };
  const worker = new Worker(program, { workerData, transferList: [port2] });
  port.on('message', ({ report }: WorkerReport) => asking.tell(i, report));
  asking.back(i);
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
      asking.gone(i);
      end();
      const why = reason ?? new HushlbError('WORKER_ENDED', `worker of queue ${queues.join(', ')} ended, code ${code}`);
      if (isReady) onEnd(i, why);
      else reject(why);
    });
  });
  ready.catch(() => {});
  return { worker, port, control, wake, ready, ended };
}
