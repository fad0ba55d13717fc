/**
 * One worker thread, seen from the main thread, from its start to its end: its shared words, its wake, its port, and what it
 * leaves to be given back. lb/workers.ts fills a seat for each worker of the plan, and fills it again when its worker has ended.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { giveBackLeftovers } from '../io/ffi.ts';
import { NOTHING_LEFT } from '../io/leftovers.ts';
import { createWake, type Wake } from '../io/wake.ts';
import { announceGeneration, type Control, createControl } from './control.ts';
import { HushlbError } from './errors.ts';
import type { ForwardingState } from './forwarding-state.ts';
import type { WorkerInput, WorkerMessage, WorkerReport } from './worker.ts';
import type { DeviceOptions } from './worker-device.ts';
import type { WorkerPlan } from './worker-plan.ts';

export interface Seat {
  readonly worker: Worker;
  /** For questions and answers. */
  readonly port: MessagePort;
  readonly control: Control;
  readonly wake: Wake;
  /** Resolves when it has its socket, with whether that is zero-copy; rejects when it ends before. */
  readonly ready: Promise<boolean>;
  readonly ended: Promise<void>;
}

export interface SeatInput {
  readonly plan: WorkerPlan;
  /** What the worker opens; `wakeFd` ends its wait. */
  deviceOf(plan: WorkerPlan, wakeFd: number): DeviceOptions;
  /** Its counter slots, and a row for each of its queues, on shared memory. */
  readonly counters: Float64Array;
  readonly deviceCounters: readonly Float64Array[];
  readonly state: ForwardingState;
  /** The thread's program; a test may break one. */
  readonly program: URL;
  onReport(report: WorkerReport): void;
  /** It was ready, and has ended. Its socket is closed. */
  onEnd(reason: Error): void;
}

/** Starts the worker. */
export function takeSeat(input: SeatInput): Seat {
  const { plan, counters, deviceCounters, state, program, onReport, onEnd } = input;
  const { queues, cpu } = plan;
  const control = createControl();
  const wake = createWake();
  const { port1: port, port2 } = new MessageChannel();
  announceGeneration(control, state.generation);
  const device = input.deviceOf(plan, wake.fd);
  const workerData: WorkerInput = { device, cpu, control, counters, deviceCounters, state, port: port2 };
  const worker = new Worker(program, { workerData, transferList: [port2] });
  port.on('message', onReport);

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
      if (isReady) onEnd(why);
      else reject(why);
    });
  });
  ready.catch(() => {});
  return { worker, port, control, wake, ready, ended };
}

/** After its end. */
export function leaveSeat({ port, wake }: Seat): void {
  port.close();
  wake.close();
}
