/**
 * The worker of `io: portable`: what lb/worker.ts does in a thread, in turns of the main thread's event loop, where alone the
 * device's packages work. A turn walks the frames that wait, sends them, and sweeps when it is time. So reloads and
 * scrapes keep packets waiting here. Started by lb/packet-path.ts.
 */
import { createClock, elapsed } from '../io/clock.ts';
import { createPortableDevice, type PortableDevice } from '../io/portable-device.ts';
import { adoptState, createForwarder, sweepTables } from './adopt.ts';
import { HushlbError } from './errors.ts';
import { sendResets } from './expiry-reset.ts';
import { createWalk } from './forwarder.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { widenInlining } from './inlining.ts';
import { walkWaiting } from './waiting.ts';
import { publishPortable } from './worker-device.ts';
import type { Workers } from './workers.ts';

export interface PortableInput {
  readonly interfaceIndex: number;
  readonly counters: Float64Array;
  readonly deviceCounters: Float64Array;
  readonly state: ForwardingState;
  /** It has ended by itself: the device failed. */
  onEnd(reason: Error): void;
}

export interface PortableWorker {
  readonly workers: Workers;
  readonly steering: Pick<PortableDevice, 'setServices' | 'counters'>;
}

/** How often tables are looked at without packets, and at most with them. */
const QUIET_TICK_MS = 100;
const TICK_MS = 20;

/** Forwards what is for the services that the steering is given. Throws as `createPortableDevice` does. */
export function startPortableWorker({
  interfaceIndex,
  counters,
  deviceCounters,
  state,
  onEnd,
}: PortableInput): PortableWorker {
  widenInlining();

  const device = createPortableDevice({ interfaceIndex, onFrames: turnOrFail });
  const forwarder = createForwarder(device, counters, state);
  const walk = createWalk(forwarder);
  const clock = createClock();
  let ticked = clock.milliseconds();
  const ticker = setInterval(turnOrFail, QUIET_TICK_MS);

  function turn(): void {
    const count = device.receive(0);
    const now = clock.milliseconds();
    if (count > 0) {
      walk(now);
      device.send();
      walkWaiting(forwarder, device, walk, now);
    }
    if (elapsed(ticked, now) >= TICK_MS) {
      sweepTables(forwarder, now, elapsed(ticked, now));
      publishPortable(device, deviceCounters);
      ticked = now;
    }
    if (forwarder.resets.count > 0) sendResets(forwarder, device);
  }

  function turnOrFail(): void {
    try {
      turn();
    } catch (error) {
      stop();
      onEnd(error as Error);
    }
  }

  function stop(): void {
    clearInterval(ticker);
    device.close();
  }

  return {
    steering: device,
    workers: {
      zeroCopy: false,
      publish: (next) => adoptState(forwarder, next),
      behind: () => [],
      // Its socket and its guard belong together: both are opened anew by lb/path-keeper.ts, or not at all.
      restart: () => Promise.reject(new HushlbError('WORKER_ENDED', 'the worker of io portable does not start again')),
      stop: async () => stop(),
    },
  };
}
