/**
 * Keeps packets flowing while parts of their way fail: a worker that ends is replaced, an interface that was deleted is waited
 * for and opened again under the index and MAC that it has then. The rest of the balancer lives on and sees one `Workers` and one
 * steering, whatever is behind them. Made by lb/daemon.ts, on the main thread.
 *
 * ```
 *   worker ended ──────────► interface still there? ─► another in its place, until the 5th time in 10 s
 *                                       │ no
 *   kernel: link changed ─► gone ─► path closed ─► wait ─► there and up ─► next hops, state, path anew
 *                        └► down, up again: devices and tables stay, nothing to do but to say so
 *                        └► another MAC or MTU ─► next state
 * ```
 *
 * What a closed path takes with it is its workers' connection tables: hashing brings the connections back, except those that a
 * change of the backends has left at another one than the hash says.
 */
import type { Logger } from 'pino';
import { readReceiveQueues } from '../io/ethtool.ts';
import { SystemCallError } from '../io/ffi.ts';
import { type Link, readLink } from '../io/links.ts';
import { watchNetwork } from '../io/network-watch.ts';
import type { Config } from './config.ts';
import { HushlbError } from './errors.ts';
import type { EventLog } from './events.ts';
import type { ForwardingState } from './forwarding-state.ts';
import type { PacketPath, Steered } from './packet-path.ts';
import type { Prepared } from './prepare.ts';
import { createRestartBudget, MOST_FAILURES, WITHIN_MS } from './restart-budget.ts';
import { steer } from './running.ts';
import { type UsableLink, whyUnusable } from './usable-link.ts';
import { openWatchedPath, type WatchedPath } from './watched-path.ts';
import { planFor, type WorkerPlan } from './worker-plan.ts';
import type { Workers } from './workers.ts';

export interface PathKeeperInput {
  readonly link: UsableLink;
  readonly queueCount: number;
  readonly plan: readonly WorkerPlan[];
  readonly counters: readonly Float64Array[];
  /** One row a queue; an interface that comes back with more queues adds some. */
  readonly deviceCounters: Float64Array[];
  /** What is in force. */
  current(): { readonly prepared: Prepared; readonly state: ForwardingState };
  /** The interface has another index, MAC or MTU: builds the next state for it, which `current` tells from then on. */
  adopt(link: UsableLink): void;
  readonly events: EventLog;
  readonly logger: Logger;
}

export interface PathKeeper {
  /** As it was opened first. */
  readonly first: PacketPath;
  /** Those of the moment; while there are none, what is published waits. */
  readonly workers: Workers;
  readonly steering: Steered;
  /** Workers that were replaced. */
  restarts(): number;
  /** Rejects when packets will not flow again by themselves; never resolves. */
  readonly failed: Promise<never>;
  close(): Promise<void>;
}

/** How often an interface that cannot be used is looked at, beside the kernel's own notifications. */
const LOOK_EVERY_MS = 500;

const NOTHING = { toSocket: 0, otherPort: 0, noSocket: 0 };

/** Packets flow when it resolves. Throws as `openPacketPath`. */
export async function keepPacketPath(input: PathKeeperInput): Promise<PathKeeper> {
  const { current, adopt, events, logger } = input;
  const { name } = input.link;
  let { link } = input;
  let path: WatchedPath | undefined;
  let restarts = 0;
  /** What steering counted before it was closed. */
  let counted = NOTHING;
  let budget = createRestartBudget();
  let said = '';
  let closed = false;
  let isFollowed = false;
  let observed: Parameters<Workers['onObserved']>[0] = () => {};
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => {});

  /** Once, as long as it is so. */
  function tell(level: 'info' | 'warn', what: string): void {
    if (what === said) return;
    said = what;
    logger[level]({ interface: name }, what);
    events.emit({ kind: 'interface', reason: what });
  }

  /** Who follows, follows the workers of every path. */
  function attend({ workers }: PacketPath): void {
    workers.onObserved((worker, observations) => observed(worker, observations));
    workers.follow(isFollowed);
  }

  function open(): Promise<WatchedPath> {
    const { prepared, state } = current();
    const { config } = prepared;
    const { counters, deviceCounters } = input;
    return openWatchedPath({
      config,
      link,
      ...planOf(link, config),
      counters,
      deviceCounters,
      state,
      prepared: () => current().prepared,
      logger,
      onWorkerEnd,
    });
  }

  /** No more workers than there are counters for: they are counted by worker. */
  function planOf(now: Link, config: Config): Pick<PathKeeperInput, 'queueCount' | 'plan'> {
    if (now === input.link) return input;
    const queueCount = readReceiveQueues(name) ?? now.rxQueues;
    const workers = config.io === 'portable' ? 'auto' : Math.min(input.plan.length, queueCount);
    const cpus = config.cpus === null || workers === 'auto' ? config.cpus : config.cpus.slice(0, workers);
    const plan = planFor(queueCount, { ...config, workers, cpus });
    const { deviceCounters } = input;
    while (deviceCounters.length < queueCount) {
      deviceCounters.push(new Float64Array(new SharedArrayBuffer(deviceCounters[0].byteLength)));
    }
    return { queueCount, plan };
  }

  async function takeDown(): Promise<void> {
    const gone = path;
    path = undefined;
    if (gone === undefined) return;
    counted = sumOf(counted, gone.steering.counters());
    await gone.close();
  }

  async function putUp(now: UsableLink): Promise<void> {
    link = now;
    adopt(link);
    const before = current().state;
    try {
      path = await open();
    } catch (error) {
      if (!(error instanceof HushlbError || error instanceof SystemCallError)) throw error;
      tell('warn', `interface ${name} is there and cannot be used yet: ${error.message}`);
      return;
    }
    // What was decided meanwhile.
    const { prepared, state } = current();
    if (state !== before) path.workers.publish(state);
    steer(path.steering, prepared.config);
    attend(path);
    budget = createRestartBudget();
    tell('info', `interface ${name} is back, packets flow again`);
  }

  async function look(): Promise<void> {
    const now = readLink(name);
    const why = whyUnusable(name, now);
    if (path !== undefined && !path.isOn(now)) {
      tell(
        'warn',
        `interface ${name} is gone: nothing is forwarded until it is back; connections are hashed again then`,
      );
      await takeDown();
    }
    if (closed) return;
    if (path === undefined) {
      if (now !== undefined && why === undefined) await putUp(now as UsableLink);
    } else if (why !== undefined) {
      tell('warn', `${why}; nothing is forwarded until it is up`);
    } else if (now !== undefined) {
      if (said !== '') tell('info', `interface ${name} is back, packets flow again`);
      const usable = now as UsableLink;
      const changed = Buffer.compare(usable.mac, link.mac) !== 0 || usable.mtu !== link.mtu;
      if (changed) adopt(usable);
      link = usable;
      // The portable device asks for the MAC.
      if (changed) steer(path.steering, current().prepared.config);
    }
  }

  let looking: Promise<void> | undefined;
  let lookAgain = false;
  /** One look at a time; what happens meanwhile is looked at after it. */
  function lookSoon(): void {
    lookAgain = true;
    looking ??= (async () => {
      while (lookAgain && !closed) {
        lookAgain = false;
        await look();
      }
    })()
      .catch((error) => fail(error))
      .finally(() => {
        looking = undefined;
      });
  }

  function onWorkerEnd(worker: number, reason: Error): void {
    if (closed || path === undefined) return;
    if (!path.isOn(readLink(name))) lookSoon();
    else if (path.io === 'portable') fail(reason);
    else replace(path, worker, reason);
  }

  function replace({ workers }: PacketPath, worker: number, reason: Error): void {
    const problem = 'code' in reason ? reason.message : (reason.stack ?? reason.message);
    if (!budget.allows(worker, performance.now())) {
      const often = `${MOST_FAILURES} times in ${WITHIN_MS / 1000} s`;
      fail(new HushlbError('WORKER_FAILS', `worker ${worker} failed ${often}, the last time: ${reason.message}`));
      return;
    }
    restarts++;
    logger.error({ worker, problem }, 'worker failed, another takes its place with an empty table');
    events.emit({ kind: 'worker', worker, reason: `failed and was replaced: ${reason.message}` });
    workers.restart(worker).catch((error: Error) => {
      if (path?.workers === workers) onWorkerEnd(worker, error);
    });
  }

  path = await open();
  attend(path);
  const first = path;
  const watch = watchNetwork((kind) => {
    if (kind === 'link') lookSoon();
  });
  const timer = setInterval(() => {
    if (path === undefined) lookSoon();
  }, LOOK_EVERY_MS).unref();

  return {
    first,
    workers: {
      zeroCopy: first.workers.zeroCopy,
      publish: (state) => path?.workers.publish(state),
      // Without a path nobody is there to hang.
      beats: () => path?.workers.beats() ?? [],
      behind: (generation) => path?.workers.behind(generation) ?? [],
      async ask(request) {
        if (path !== undefined) return path.workers.ask(request);
        throw new HushlbError('WORKER_GONE', `interface ${name} cannot be used now: there are no connection tables`);
      },
      follow(wanted) {
        isFollowed = wanted;
        path?.workers.follow(wanted);
      },
      onObserved(listener) {
        observed = listener;
      },
      restart: async (worker) => path?.workers.restart(worker),
      stop: async () => path?.workers.stop(),
    },
    steering: {
      setServices: (services, options) => path?.steering.setServices(services, options),
      counters: () => (path === undefined ? counted : sumOf(counted, path.steering.counters())),
    },
    restarts: () => restarts,
    failed,
    async close() {
      closed = true;
      watch.close();
      clearInterval(timer);
      await looking;
      await takeDown();
    },
  };
}

function sumOf(a: typeof NOTHING, b: typeof NOTHING): typeof NOTHING {
  return {
    toSocket: a.toSocket + b.toSocket,
    otherPort: a.otherPort + b.otherPort,
    noSocket: a.noSocket + b.noSocket,
  };
}
