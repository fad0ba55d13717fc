/**
 * The balancer as a process: puts the parts together in the order in which they need each other, follows the kernel's
 * neighbours, takes over new configurations, and takes everything down again in reverse. Lives on the main thread; packets
 * never come here. `hushlb run` (cli/run.ts) calls it.
 *
 * ```
 *   configuration ─► lookup tables ─┐
 *   routes, neighbours ─► next hops ┴► forwarding state ─► workers (a thread, a socket, a table each)
 *                                                            ▲ frames of the VIPs
 *                                      steering program ─────┘  ─► everything else stays with the kernel
 * ```
 */
import type { Logger } from 'pino';
import { readReceiveQueues } from '../io/ethtool.ts';
import { SystemCallError } from '../io/ffi.ts';
import type { Link } from '../io/links.ts';
import { allocateCounters } from '../metrics/counters.ts';
import { announce } from './announce.ts';
import { createTally } from './change-tally.ts';
import type { CheckedConfig } from './config-file.ts';
import { type ControlPlane, createControlPlane } from './control-plane.ts';
import { watchDrains } from './drains.ts';
import { HushlbError } from './errors.ts';
import { createEventLog } from './events.ts';
import { openExporter } from './exporter.ts';
import { buildForwardingState } from './forwarding-state.ts';
import { keepHealth } from './health.ts';
import { watchForHints } from './hints.ts';
import { followNextHops } from './next-hops.ts';
import { tellObservations } from './observations.ts';
import { keepPacketPath, type PathKeeper } from './path-keeper.ts';
import { prepare, ROOM_FOR_CHANGES, tablesWanted } from './prepare.ts';
import { backendAddresses, logWay, logWays, refuseDeadServices, waitForAnswers, withoutRoute } from './reachability.ts';
import { type DeviceFacts, publishNext, type Running } from './running.ts';
import { buildTables } from './table-threads.ts';
import { takeUnsaved } from './unsaved.ts';
import { findLink } from './usable-link.ts';
import { DEVICE_COUNTERS, RX_DROPPED } from './worker-device.ts';
import { planFor } from './worker-plan.ts';

export interface Daemon {
  readonly control: ControlPlane;
  /** Takes everything down; resolves when nothing is attached any more. */
  stop(): Promise<void>;
  /** Resolves after `stop`; rejects when the balancer cannot go on (a worker fails again and again). */
  readonly finished: Promise<void>;
}

export interface DaemonOptions {
  readonly logger: Logger;
  /** The configuration's file. */
  readonly file: string;
  /** Reads the file again, for a reload. Throws ConfigError. */
  readConfig(): CheckedConfig;
  /** Opens what people reach the balancer by, when packets flow and before it is ready; closed first of all. */
  attend?(control: ControlPlane): Promise<{ readonly places: readonly string[]; close(): Promise<void> | undefined }>;
  /** A reload begins, or has ended; whoever asked for it. */
  onReload?(isUnderWay: boolean): void;
}

/**
 * Starts balancing and returns when packets flow. Throws HushlbError, SystemCallError or the metrics server's error, each
 * one line with what to do, and leaves nothing behind then.
 */
export async function runDaemon(checked: CheckedConfig, options: DaemonOptions): Promise<Daemon> {
  const undo: (() => void | Promise<void>)[] = [];
  const takeDown = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const { failed, control } = await putUp(checked, options, undo);
    let stopped: () => void = () => {};
    const finished = Promise.race([new Promise<void>((resolve) => (stopped = resolve)), failed]);
    return {
      finished: finished.finally(takeDown),
      control,
      async stop() {
        stopped();
        await takeDown();
      },
    };
  } catch (error) {
    await takeDown();
    throw error;
  }
}

/** Puts the parts up, pushes how each is taken down to `undo`; `failed` rejects when the balancer cannot go on. */
async function putUp(
  checked: CheckedConfig,
  { logger, file, readConfig, attend, onReload }: DaemonOptions,
  undo: (() => void | Promise<void>)[],
): Promise<{ failed: Promise<never>; control: ControlPlane }> {
  const { config } = checked;
  const link = findLink(config.interface);
  const queueCount = readReceiveQueues(link.name) ?? link.rxQueues;
  const plan = planFor(queueCount, config);
  const prepared = prepare(config, ROOM_FOR_CHANGES, await buildTables(tablesWanted(config)));

  const events = createEventLog();
  let running: Running | undefined;
  let keeper: PathKeeper | undefined;
  const addresses = backendAddresses(config);
  const hops = followNextHops(link, addresses, (changed) => {
    // Those of a configuration that is not in force yet are of no interest to the workers.
    const inForce = new Set(running === undefined ? [] : backendAddresses(running.prepared.config));
    const relevant = changed.filter((address) => inForce.has(address));
    if (running === undefined || relevant.length === 0) return;
    for (const address of relevant) logWay(logger, hops, address);
    publishNext(running);
  });
  undo.push(() => hops.close());
  const [noRoute] = withoutRoute(hops, addresses);
  if (noRoute !== undefined) throw new HushlbError('BACKEND_UNREACHABLE', noRoute);
  await waitForAnswers(hops, addresses);
  refuseDeadServices(config, hops);

  const counters = plan.map(() => allocateCounters(prepared.layout));
  const deviceCounters = Array.from(
    { length: plan.flatMap(({ queues }) => queues).length },
    () => new Float64Array(new SharedArrayBuffer(DEVICE_COUNTERS.length * 8)),
  );
  const preparedNow = () => running?.prepared ?? prepared;
  const steering = () => running?.steering.counters();
  let control: ControlPlane | undefined;
  const door = { interface: link.name, hopOf: hops.hopOf };
  const health = keepHealth({ events, logger, door, setDown: async (down) => control?.setDown(down) });
  const tallies = createTally();
  const sources = {
    prepared: preparedNow,
    counters,
    deviceCounters,
    steering,
    health,
    restarts: () => keeper?.restarts() ?? 0,
    tally: tallies.tally,
    control: () => control,
  };
  const metrics = config.metrics && (await openExporter(sources, config.metrics.listen));
  undo.push(() => metrics?.close());

  const state = buildForwardingState({ prepared, ownMac: link.mac, hopOf: hops.hopOf, generation: 1 });
  const kept = await keepPacketPath({
    link,
    queueCount,
    plan,
    counters,
    deviceCounters,
    current: () => running ?? { prepared, state },
    adopt(now) {
      if (running === undefined) return;
      running.ownMac = now.mac;
      hops.through(now);
      publishNext(running);
    },
    events,
    logger,
  });
  undo.push(() => kept.close());
  keeper = kept;
  const { first: path, workers } = kept;
  const facts: DeviceFacts = {
    interface: link.name,
    io: path.io,
    xdp: path.xdp ?? 'off',
    zeroCopy: workers.zeroCopy,
    queues: plan.map(({ queues }) => queues),
    counters: deviceCounters,
    startedAt: new Date(),
  };
  const parts: Running = { prepared, state, ownMac: link.mac, hops, steering: kept.steering, workers, counters };
  running = parts;
  publishNext(parts);
  logWays(logger, hops, addresses);

  const hints = watchForHints({
    layout: () => preparedNow().layout,
    counters,
    hasNewQueues() {
      if (path.xdp === null) return false;
      const now = receiveQueuesOf(link);
      if (now !== undefined) return now > queueCount;
      // While a worker is replaced, its queue has no socket either.
      return kept.restarts() === 0 && kept.steering.counters().noSocket > 0;
    },
    longPackets: () => (path.xdp === null ? deviceCounters.reduce((sum, row) => sum + row[RX_DROPPED], 0) : 0),
    logger,
  });
  undo.push(() => hints.close());
  const {
    before: lost,
    unsaved,
    forget,
  } = takeUnsaved(config.admin === null ? null : `${config.admin.socket}.unsaved`);
  for (const change of lost) logger.warn({ lost: change }, 'the last run had this change, and no file has it');
  tellObservations(workers, events, preparedNow);
  const drains = watchDrains({ prepared: preparedNow, workers, events, logger });
  undo.push(() => drains.close());
  const observers = { device: facts, events, health, tallies, onReload };
  const plane = createControlPlane({ running: parts, ...observers, checked, file, readConfig, unsaved, logger });
  control = plane;
  undo.push(plane.close);
  undo.push(health.close);
  health.follow(config);
  plane.onInForce(health.follow);
  const admin = await attend?.(plane);
  undo.push(() => admin?.close());
  // Before that it was perhaps the note of another process, which has the socket.
  forget();

  announce(logger, {
    link,
    queueCount,
    workerCount: plan.length,
    path,
    prepared,
    metrics: metrics?.url ?? 'off',
    admin: admin?.places.length ? admin.places : 'off',
  });
  return { failed: kept.failed, control: plane };
}

/** Undefined where the driver doesn't tell, and when the interface has just gone: its worker says that. */
function receiveQueuesOf({ name }: Link): number | undefined {
  try {
    return readReceiveQueues(name);
  } catch (error) {
    if (error instanceof SystemCallError) return undefined;
    throw error;
  }
}
