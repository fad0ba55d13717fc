/**
 * The main thread's half of the workers: starts them as planned, hands them each new forwarding state, asks them what their
 * tables hold, stops them, says so when one has ended by itself and starts another in its place. Used by lb/packet-path.ts;
 * lb/path-keeper.ts decides.
 */
import { createAsking } from './ask.ts';
import { announceGeneration, announceQuery, beatsOf, requestStop, runningGeneration, setFollowed } from './control.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { widenInlining } from './inlining.ts';
import type { Observations } from './observed-rows.ts';
import type { Prepared } from './prepare.ts';
import { leaveSeat, type Seat, takeSeat } from './seat.ts';
import { encodeState } from './state-message.ts';
import type { WorkerReport } from './worker.ts';
import type { DeviceOptions } from './worker-device.ts';
import type { WorkerPlan } from './worker-plan.ts';
import type { AnswerTo, WorkerRequest } from './worker-requests.ts';

export interface Workers {
  /** All of their queues. */
  readonly zeroCopy: boolean;
  publish(state: ForwardingState): void;
  /** The workers, from 0, that walk their packets by a generation before this one. */
  behind(generation: number): number[];
  /** Turns of each worker's loop; 0 for one that is not in it. */
  beats(): number[];
  /** Rejects with a HushlbError: names that nobody has, or a worker that ended before it answered. */
  ask<R extends WorkerRequest>(request: R): Promise<AnswerTo<R>>;
  /** Whether they are to tell what becomes of packets (lb/observer.ts). */
  follow(isFollowed: boolean): void;
  /** Who is told it. */
  onObserved(listener: (worker: number, observed: Observations) => void): void;
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
  /** What is in force, for the names in answers. */
  prepared(): Prepared;
  /** A worker, from 0, that forwarded has ended by itself. Its socket is closed; the others go on. */
  onEnd(worker: number, reason: Error): void;
  /** The thread's program; a test may break one. */
  readonly program?: URL;
}

const PROGRAM = new URL('./worker.js', import.meta.url);

/** Starts all workers and waits until each has its socket; on a failure all are stopped and the error is thrown. */
export async function startWorkers(input: WorkersInput): Promise<Workers> {
  widenInlining();
  const { plan, counters, deviceCounters } = input;
  /** The last that was handed out: what a worker that is started now begins with. */
  let last = input.state;
  let isFollowed = false;
  let phase: 'starting' | 'running' | 'stopping' = 'starting';
  let failStart: (reason: Error) => void = () => {};
  const startFailed = new Promise<never>((_, reject) => (failStart = reject));
  startFailed.catch(() => {});
  let observed: (worker: number, observations: Observations) => void = () => {};

  const seats: Seat[] = [];
  const asking = createAsking(plan.length, input.prepared, (i, query) => {
    // After the stop there are none.
    const seat = seats.at(i);
    if (seat === undefined) return false;
    seat.port.postMessage(query);
    announceQuery(seat.control);
    seat.wake.wake();
    return true;
  });

  const fill = (i: number): Seat =>
    takeSeat({
      plan: plan[i],
      deviceOf: input.deviceOf,
      counters: counters[i],
      deviceCounters: plan[i].queues.map((queue) => deviceCounters[queue]),
      state: last,
      program: input.program ?? PROGRAM,
      onReport(report: WorkerReport) {
        if (report.kind === 'entries') asking.tell(i, report.entries);
        else observed(i, report.observed);
      },
      onEnd(reason) {
        asking.gone(i);
        if (phase === 'running') input.onEnd(i, reason);
        else if (phase === 'starting') failStart(reason);
      },
    });
  for (const i of plan.keys()) seats.push(fill(i));

  const stop = async (): Promise<void> => {
    phase = 'stopping';
    for (const { control, wake } of seats) {
      requestStop(control);
      wake.wake();
    }
    await Promise.all(seats.map(({ ended }) => ended));
    for (const seat of seats.splice(0)) leaveSeat(seat);
  };
  try {
    const zeroCopy = await Promise.race([Promise.all(seats.map(({ ready }) => ready)), startFailed]);
    phase = 'running';
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
      beats: () => seats.map(({ control }) => beatsOf(control)),
      behind: (generation) => seats.flatMap(({ control }, i) => (runningGeneration(control) < generation ? [i] : [])),
      ask: asking.ask,
      follow(wanted) {
        isFollowed = wanted;
        for (const { control } of seats) setFollowed(control, wanted);
      },
      onObserved(listener) {
        observed = listener;
      },
      async restart(i) {
        if (phase === 'stopping') return;
        const gone = seats[i];
        const next = fill(i);
        seats[i] = next;
        setFollowed(next.control, isFollowed);
        await gone.ended;
        leaveSeat(gone);
        await next.ready;
        asking.back(i);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
