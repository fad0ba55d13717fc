/**
 * Whether the backends of a configuration can be reached, at a start and at a reload (lb/daemon.ts, lb/reload.ts). A backend
 * without a route will never work: that is an error in the configuration or on the host. One that doesn't answer ARP, or
 * IPv6's neighbour solicitations, may be down for an hour: it is waited for, and then gone on without
 * (docs/decisions/0004-unreachable-backends.md).
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { HushlbError } from './errors.ts';
import { describe, type NextHopTable } from './next-hops.ts';

const PATIENCE_MS = 3000;
const LOOK_EVERY_MS = 20;

/** Each once, though several services may share it. */
export function backendAddresses({ services }: Config): string[] {
  return [...new Set(services.flatMap(({ backends }) => backends.map(({ address }) => address)))];
}

/** One line for each backend that no route leads to. */
export function withoutRoute(hops: NextHopTable, addresses: readonly string[]): string[] {
  return addresses.flatMap((address) => {
    const way = hops.way(address);
    if (way.kind !== 'unreachable') return [];
    return `backend ${address} is unreachable: ${way.why}; check it with: ip route get ${address}`;
  });
}

/** Returns when all have answered ARP or neighbour solicitations, or after 3 seconds. Rejects with the signal's reason. */
export async function waitForAnswers(
  hops: NextHopTable,
  addresses: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (addresses.some((address) => hops.way(address).kind === 'waiting') && performance.now() < deadline) {
    await pause(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** Throws HushlbError where no backend of a service can be reached. */
export function refuseDeadServices(config: Config, hops: NextHopTable): void {
  for (const { name: service, backends } of config.services) {
    if (backends.some(({ address }) => hops.way(address).kind === 'hop')) continue;
    const whys = backends.map(({ name, address }) => `${name} (${describe(hops.way(address))})`);
    throw new HushlbError(
      'BACKEND_UNREACHABLE',
      `service ${service} has no reachable backend: ${whys.join(', ')}; start a backend, or check cables and addresses`,
    );
  }
}

/** More of them than that at once nobody reads. */
const MOST_LINES = 100;

/** At a start and at a reload: a line for each, or of so many one for all that are reachable. */
export function logWays(logger: Logger, hops: NextHopTable, addresses: readonly string[]): void {
  if (addresses.length <= MOST_LINES) {
    for (const address of addresses) logWay(logger, hops, address);
    return;
  }
  const unreachable = addresses.filter((address) => hops.way(address).kind !== 'hop');
  logger.info({ backends: addresses.length - unreachable.length }, 'backends reachable');
  for (const address of unreachable.slice(0, MOST_LINES)) logWay(logger, hops, address);
  if (unreachable.length <= MOST_LINES) return;
  logger.warn({ backends: unreachable.length - MOST_LINES }, 'more backends unreachable, their packets are dropped');
}

/** A change of one way, whenever it happens. */
export function logWay(logger: Logger, hops: NextHopTable, address: string): void {
  const way = hops.way(address);
  if (way.kind === 'hop') logger.info({ address, nextHop: describe(way) }, 'backend reachable');
  else logger.warn({ address, reason: way.why }, 'backend unreachable, its packets are dropped as no-neighbour');
}
