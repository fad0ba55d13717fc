/**
 * The worker of case `pause`: the loop of lb/worker.ts (the same device, forwarder, walk, sweep and ticks, the same clock) with a clock around
 * it. Started by pause/subject.ts; measures once and posts a `PauseResult`.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { type AfXdpDevice, createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { createClock, elapsed } from '../../io/clock.ts';
import { mapHuge } from '../../io/ffi.ts';
import { createForwarder, sweepTables } from '../../lb/adopt.ts';
import { createWalk } from '../../lb/forwarder.ts';
import type { ForwardingState } from '../../lb/forwarding-state.ts';
import { createGapRecorder, type Gaps } from './gaps.ts';

export interface PauseInput {
  readonly interfaceIndex: number;
  readonly socketMapFd: number;
  readonly counters: Float64Array;
  readonly state: ForwardingState;
  /** Batches before the clock: code is compiled, the table filled. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface PauseResult extends Gaps {
  readonly seconds: number;
  /** Of garbage, in this thread. */
  readonly collectionsWarmingUp: number;
  readonly collections: number;
}

const TICK_MS = 20;
const RECEIVE_TIMEOUT_MS = 100;

/**
 * Returns what was measured in the last `measureMs`. All that is done then is done before too, and forgotten each time: code
 * that ran for the first time while the clock counts would have V8 throw away what it has compiled, a pause of our own making.
 */
function run(device: AfXdpDevice, input: PauseInput): Gaps {
  const forwarder = createForwarder(device, input.counters, input.state, (bytes) => mapHuge(bytes).buffer);
  const walk = createWalk(forwarder);
  const recorder = createGapRecorder();
  const { milliseconds, microseconds } = createClock();
  const began = milliseconds();
  let ticked = began;
  for (let now = began; elapsed(began, now) < input.warmUpMs + input.measureMs; ) {
    let count = device.receive(0);
    if (count === 0) {
      count = device.receive(RECEIVE_TIMEOUT_MS);
      recorder.slept();
    }
    now = milliseconds();
    if (count > 0) {
      recorder.batch(microseconds(), count);
      walk(now);
      device.send();
    }
    if (elapsed(ticked, now) >= TICK_MS) {
      sweepTables(forwarder, now, elapsed(ticked, now));
      device.queues[0].statistics();
      recorder.tick();
      if (elapsed(began, now) < input.warmUpMs) recorder.restart();
      ticked = now;
    }
  }
  return recorder.result();
}

if (parentPort !== null) {
  const input = workerData as PauseInput;
  const collected: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) collected.push(startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  const device = createAfXdpDevice({ ...input, queues: [0] });
  parentPort.postMessage('ready');
  const startedAt = performance.now() + input.warmUpMs;
  const end = startedAt + input.measureMs;
  const measured = run(device, input);
  device.close();
  // The loop kept the event loop from delivering what was observed.
  await setTimeout(50);
  const collections = collected.filter((at) => at >= startedAt && at < end).length;
  const collectionsWarmingUp = collected.filter((at) => at < startedAt).length;
  const result: PauseResult = { ...measured, seconds: input.measureMs / 1000, collections, collectionsWarmingUp };
  parentPort.postMessage(result);
}
