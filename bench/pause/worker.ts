/**
 * The worker of case `pause`: the loop of lb/worker.ts (the same device, forwarder, walk, sweep and ticks) with a clock around
 * it. Started by pause/subject.ts; measures once and posts a `PauseResult`.
 *
 * A gap is the time from one batch to the next where the next was waiting already. Whether the thread was waiting for a core
 * meanwhile is asked from the kernel (schedstat, the second number: nanoseconds spent on a run queue).
 */
import { openSync, readSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { type AfXdpDevice, createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { mapHuge } from '../../io/ffi.ts';
import { createForwarder, sweepTables } from '../../lb/adopt.ts';
import { createWalk } from '../../lb/forwarder.ts';
import type { ForwardingState } from '../../lb/forwarding-state.ts';

export interface PauseInput {
  readonly interfaceIndex: number;
  readonly socketMapFd: number;
  readonly counters: Float64Array;
  readonly state: ForwardingState;
  /** Batches before the clock: code is compiled, the table filled. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** Upper bounds of the histogram's rows in microseconds; a last row takes what is longer. */
export const BOUNDS_US = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

export interface PauseResult {
  readonly seconds: number;
  readonly batches: number;
  readonly frames: number;
  /** Times that no frame was there to be received; what follows is no gap. */
  readonly idle: number;
  /** Gaps by row; `waiting` are those of them in which the thread waited for a core. */
  readonly gaps: readonly number[];
  readonly waiting: readonly number[];
  readonly longestUs: number;
  /** Of the gaps in which it did not. */
  readonly longestRunningUs: number;
  readonly collectionsWarmingUp: number;
  readonly collections: number;
}

/** Gaps from here on are looked at closely. */
const LONG_US = 200;
const TICK_MS = 20;
const RECEIVE_TIMEOUT_MS = 100;

const schedstat = openSync('/proc/thread-self/schedstat', 'r');
const schedstatText = new Uint8Array(64);

/** Milliseconds that this thread has waited for a core since it began. */
function waitedMs(): number {
  const length = readSync(schedstat, schedstatText, 0, schedstatText.length, 0);
  let at = 0;
  while (at < length && schedstatText[at] !== 0x20) at++;
  let ns = 0;
  for (at++; at < length && schedstatText[at] !== 0x20; at++) ns = ns * 10 + schedstatText[at] - 0x30;
  return ns / 1e6;
}

function run(
  device: AfXdpDevice,
  input: PauseInput,
): Omit<PauseResult, 'collections' | 'collectionsWarmingUp'> & { startedAt: number } {
  const forwarder = createForwarder(device, input.counters, input.state, (bytes) => mapHuge(bytes).buffer);
  const walk = createWalk(forwarder);
  const gaps = new Float64Array(BOUNDS_US.length + 1);
  const waiting = new Float64Array(BOUNDS_US.length + 1);
  const startedAt = performance.now() + input.warmUpMs;
  const end = startedAt + input.measureMs;
  let ticked = performance.now();
  let waited = waitedMs();
  let last = 0;
  let batches = 0;
  let frames = 0;
  let idle = 0;
  let longestUs = 0;
  let longestRunningUs = 0;
  for (let clock = ticked; clock < end; ) {
    let count = device.receive(0);
    if (count === 0) {
      // No frame was waiting for us: that is nobody's pause.
      if (last > 0) idle++;
      last = 0;
      count = device.receive(RECEIVE_TIMEOUT_MS);
    }
    clock = performance.now();
    const now = Math.trunc(clock);
    if (count > 0) {
      if (clock >= startedAt) {
        if (last > 0) {
          const gapUs = (clock - last) * 1000;
          let row = 0;
          while (row < BOUNDS_US.length && gapUs >= BOUNDS_US[row]) row++;
          gaps[row]++;
          if (gapUs > longestUs) longestUs = gapUs;
          if (gapUs >= LONG_US) {
            const before = waited;
            waited = waitedMs();
            if ((waited - before) * 1000 >= gapUs / 2) waiting[row]++;
            else if (gapUs > longestRunningUs) longestRunningUs = gapUs;
          } else if (gapUs > longestRunningUs) longestRunningUs = gapUs;
        }
        batches++;
        frames += count;
        last = clock;
      }
      walk(now);
      device.send();
    }
    if (clock - ticked >= TICK_MS) {
      sweepTables(forwarder, now, Math.trunc(clock - ticked));
      waited = waitedMs();
      ticked = clock;
    }
  }
  const seconds = input.measureMs / 1000;
  return {
    startedAt,
    seconds,
    batches,
    frames,
    idle,
    gaps: [...gaps],
    waiting: [...waiting],
    longestUs,
    longestRunningUs,
  };
}

if (parentPort !== null) {
  const input = workerData as PauseInput;
  const collected: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) collected.push(startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  const device = createAfXdpDevice({ ...input, queue: 0 });
  parentPort.postMessage('ready');
  const { startedAt, ...result } = run(device, input);
  device.close();
  // The loop kept the event loop from delivering what was observed.
  await setTimeout(50);
  const collections = collected.filter((at) => at >= startedAt).length;
  const pause: PauseResult = { ...result, collections, collectionsWarmingUp: collected.length - collections };
  parentPort.postMessage(pause);
}
