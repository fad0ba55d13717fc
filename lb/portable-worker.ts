/**
 * The worker of `io: portable`: what lb/worker.ts does in a thread, in turns of the main thread's event loop, where alone the
 * device's packages work. A turn walks the frames that wait, sends them, and sweeps when it is time. So reloads and
 * scrapes keep packets waiting here. Started by lb/packet-path.ts.
 */
import { createClock, elapsed } from '../io/clock.ts';
import { createPortableDevice, type PortableDevice } from '../io/portable-device.ts';
import { adoptState, createForwarder, MOST_SWEPT_PER_MS, sweepTables } from './adopt.ts';
import { createAsking } from './ask.ts';
import { createEntryScan } from './entry-scan.ts';
import { HushlbError } from './errors.ts';
import { sendResets } from './expiry-reset.ts';
import { createWalk } from './forwarder.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { widenInlining } from './inlining.ts';
import type { Observations } from './observed-rows.ts';
import { createObserver } from './observer.ts';
import type { Prepared } from './prepare.ts';
import { walkWaiting } from './waiting.ts';
import { publishPortable } from './worker-device.ts';
import type { Workers } from './workers.ts';

export interface PortableInput {
  readonly interfaceIndex: number;
  readonly counters: Float64Array;
  readonly deviceCounters: Float64Array;
  readonly state: ForwardingState;
  /** What is in force, for the names in answers. */
  prepared(): Prepared;
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
  prepared,
  onEnd,
}: PortableInput): PortableWorker {
  widenInlining();

  const device = createPortableDevice({ interfaceIndex, onFrames: turnOrFail });
  const forwarder = createForwarder(device, counters, state);
  const walk = createWalk(forwarder);
  const clock = createClock();
  let ticked = clock.milliseconds();
  const ticker = setInterval(turnOrFail, QUIET_TICK_MS);

  const scan = createEntryScan(forwarder, (report) => asking.tell(0, report));
  let isStopped = false;
  let isFollowed = false;
  let tell: (observed: Observations) => void = () => {};
  const observer = createObserver(
    forwarder,
    () => isFollowed,
    (observed) => tell(observed),
  );
  const asking = createAsking(1, prepared, (_, query) => {
    if (isStopped) return false;
    scan.accept(query);
    setImmediate(scanPiece);
    return true;
  });

  /** The event loop goes round between two pieces, and frames are walked there. */
  function scanPiece(): void {
    if (!scan.isBusy || isStopped) return;
    scan.work(clock.milliseconds());
    setImmediate(scanPiece);
  }

  function turn(): void {
    const count = device.receive(0);
    const now = clock.milliseconds();
    if (count > 0) {
      observer.before();
      walk(now);
      observer.after(now);
      device.send();
      walkWaiting(forwarder, device, walk, now);
    }
    if (elapsed(ticked, now) >= TICK_MS) {
      sweepTables(forwarder, now, elapsed(ticked, now), MOST_SWEPT_PER_MS);
      publishPortable(device, deviceCounters);
      ticked = now;
    }
    if (forwarder.resets.count > 0) sendResets(forwarder, device);
    if (observer.isDue) observer.flush(now);
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
    isStopped = true;
    asking.gone(0);
    clearInterval(ticker);
    device.close();
  }

  return {
    steering: device,
    workers: {
      zeroCopy: false,
      publish: (next) => adoptState(forwarder, next),
      behind: () => [],
      // In turns of the main thread: whoever asks is alive, and so is it.
      beats: () => [],
      ask: asking.ask,
      follow(wanted) {
        isFollowed = wanted;
      },
      onObserved(listener) {
        tell = (observed) => listener(0, observed);
      },
      // Its socket and its guard belong together: both are opened anew by lb/path-keeper.ts, or not at all.
      restart: () => Promise.reject(new HushlbError('WORKER_ENDED', 'the worker of io portable does not start again')),
      stop: async () => stop(),
    },
  };
}
