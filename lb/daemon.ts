/**
 * The balancer as a process: puts the parts together in the order in which they need each other, follows the kernel's
 * neighbours, and takes everything down again in reverse. Lives on the main thread; packets never come here.
 * `hushlb run` (cli/run.ts) calls it.
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
import { type Link, readLink, readLinks } from '../io/links.ts';
import { attachXdp } from '../io/xdp.ts';
import { createSteering } from '../io/xdp-steering.ts';
import { allocateCounters } from '../metrics/counters.ts';
import { ipv4Bytes, parseIpv4 } from '../wire/address.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { Config } from './config.ts';
import { HushlbError } from './errors.ts';
import { buildForwardingState, buildTable, countersOf } from './forwarding-state.ts';
import { watchForHints } from './hints.ts';
import { describe, followNextHops, type NextHopTable } from './next-hops.ts';
import { openObservationPost } from './observe.ts';
import { DEVICE_COUNTERS } from './worker.ts';
import { startWorkers, type Workers } from './workers.ts';

export interface Daemon {
  /** Takes everything down; resolves when nothing is attached any more. */
  stop(): Promise<void>;
  /** Resolves after `stop`; rejects when the balancer cannot go on (a worker failed, the interface is gone). */
  readonly finished: Promise<void>;
}

/** How long a start waits for the backends to answer ARP before it goes on without those that don't. */
const ARP_PATIENCE_MS = 3000;

/**
 * Starts balancing and returns when packets flow. Throws HushlbError, SystemCallError or the metrics server's error, each
 * one line with what to do, and leaves nothing behind then.
 */
export async function runDaemon(config: Config, options: { logger: Logger }): Promise<Daemon> {
  const { logger } = options;
  const undo: (() => void | Promise<void>)[] = [];
  const takeDown = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const { failed } = await putUp(config, logger, undo);
    let stopped: () => void = () => {};
    const finished = Promise.race([new Promise<void>((resolve) => (stopped = resolve)), failed]);
    return {
      finished: finished.finally(takeDown),
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
  config: Config,
  logger: Logger,
  undo: (() => void | Promise<void>)[],
): Promise<{ failed: Promise<never> }> {
  const link = findLink(config.interface);
  const queueCount = readReceiveQueues(link.name) ?? link.rxQueues;
  const tables = config.services.map(buildTable);
  const layout = countersOf(config);

  let workers: Workers | undefined;
  let generation = 1;
  const stateNow = (hops: NextHopTable) =>
    buildForwardingState({ config, tables, layout, ownMac: link.mac, hopOf: hops.hopOf, generation });

  const addresses = [...new Set(config.services.flatMap(({ backends }) => backends.map(({ address }) => address)))];
  const hops = followNextHops(link, addresses, (changed) => {
    if (workers === undefined) return;
    for (const address of changed) logWay(logger, hops, address);
    generation++;
    workers.publish(stateNow(hops));
  });
  undo.push(() => hops.close());
  await waitForBackends(config, hops, addresses);

  const steering = createSteering({ queueCount });
  undo.push(() => steering.close());
  steering.setServices(
    config.services.map(({ vip, port }) => ({ address: vipBytes(vip), protocol: PROTOCOL_TCP, port })),
  );

  const queues = Array.from({ length: queueCount });
  const counters = queues.map(() => allocateCounters(layout));
  const deviceCounters = queues.map(() => new Float64Array(new SharedArrayBuffer(DEVICE_COUNTERS.length * 8)));
  const metrics = await openObservationPost({ config, layout, tables, counters, deviceCounters, steering });
  undo.push(() => metrics?.close());

  const started = await startWorkers({
    interfaceIndex: link.index,
    socketMapFd: steering.socketMapFd,
    counters,
    deviceCounters,
    state: stateNow(hops),
  });
  undo.push(() => started.stop());
  workers = started;
  generation++;
  started.publish(stateNow(hops));
  for (const address of addresses) logWay(logger, hops, address);

  const attachment = attachXdp({ programFd: steering.programFd, interfaceIndex: link.index, mode: config.xdpMode });
  undo.push(() => attachment.detach());
  if (attachment.fallbackReason !== undefined) {
    logger.warn(
      { interface: link.name, reason: attachment.fallbackReason },
      'no native XDP here, fell back to generic',
    );
  }

  const hints = watchForHints({ layout, counters, logger });
  undo.push(() => hints.close());

  logger.info(
    {
      interface: link.name,
      queues: queueCount,
      xdp: attachment.mode,
      zeroCopy: started.zeroCopy,
      mode: config.mode,
      metrics: metrics?.url ?? 'off',
      services: config.services.map(({ name, vip, port }, i) => ({
        name,
        address: `${vip}:${port}`,
        fingerprint: tables[i].fingerprint,
      })),
    },
    'ready',
  );
  return { failed: started.failed };
}

type UsableLink = Link & { readonly mac: Uint8Array };

function findLink(name: string): UsableLink {
  const link = readLink(name);
  if (link === undefined) {
    const names = readLinks().map((known) => known.name);
    throw new HushlbError('INTERFACE_MISSING', `interface ${name} does not exist; this host has ${names.join(', ')}`);
  }
  if (!link.up) throw new HushlbError('INTERFACE_DOWN', `interface ${name} is down: ip link set ${name} up`);
  if (link.mac === undefined) {
    throw new HushlbError(
      'INTERFACE_UNFIT',
      `interface ${name} has no MAC address: hushlb needs an Ethernet interface`,
    );
  }
  return { ...link, mac: link.mac };
}

/**
 * A backend without a route will never work: that is an error in the configuration or on the host. One that doesn't answer
 * ARP may be down: it is waited for, then the balancer starts without it, unless a service has no other.
 */
async function waitForBackends(config: Config, hops: NextHopTable, addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const way = hops.way(address);
    if (way.kind === 'unreachable') {
      const hint = `check it with: ip route get ${address}`;
      throw new HushlbError('BACKEND_UNREACHABLE', `backend ${address} is unreachable: ${way.why}; ${hint}`);
    }
  }
  const deadline = performance.now() + ARP_PATIENCE_MS;
  while (addresses.some((address) => hops.way(address).kind === 'waiting') && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const service of config.services) {
    if (service.backends.some(({ address }) => hops.way(address).kind === 'hop')) continue;
    const whys = service.backends.map(({ name, address }) => `${name} (${describe(hops.way(address))})`);
    throw new HushlbError(
      'BACKEND_UNREACHABLE',
      `service ${service.name} has no reachable backend: ${whys.join(', ')}; start a backend, or check cables and addresses`,
    );
  }
}

function logWay(logger: Logger, hops: NextHopTable, address: string): void {
  const way = hops.way(address);
  if (way.kind === 'hop') logger.info({ backend: address, nextHop: describe(way) }, 'backend reachable');
  else
    logger.warn({ backend: address, reason: way.why }, 'backend unreachable, its packets are dropped as no-neighbour');
}

function vipBytes(vip: string): Uint8Array {
  return ipv4Bytes(parseIpv4(vip) ?? 0);
}
