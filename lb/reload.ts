/**
 * A running balancer takes over another configuration. All that can be refused is refused before anything changes; then
 * the new state is swapped whole, and the reload is over when every worker walks its packets by it.
 *
 * ```
 *   what cannot change ─► places, tables ─► routes, ARP ─┬─► steering: gone services to the kernel
 *                    refused, nothing changed ◄──────────┘   state to the workers, wait for all of them
 *                                                            steering: new services to the sockets
 * ```
 *
 * A packet for a service that its worker doesn't know would be lost, since an AF_XDP socket gives none back to the kernel:
 * that is the reason for the order. Called by lb/control-plane.ts, one at a time.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { clearNewCounters } from '../metrics/counters.ts';
import { type Changes, changesBetween } from './changes.ts';
import type { Config } from './config.ts';
import { socketOfInterface } from './config-admin.ts';
import { socketOf } from './places.ts';
import { type Prepared, prepareNext, tablesWanted } from './prepare.ts';
import { backendAddresses, logWays, waitForAnswers, withoutRoute } from './reachability.ts';
import { publishNext, type Running, steer } from './running.ts';
import type { Down } from './service-table.ts';
import { buildTables } from './table-threads.ts';

/** The configuration is right by itself, but not for the process that runs. */
export class ReloadRefused extends Error {
  override readonly name = 'ReloadRefused';
  readonly code = 'RELOAD_REFUSED';
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.lines = lines;
  }
}

export interface ReloadReport extends Changes {
  readonly generation: number;
}

export interface ReloadOptions {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Who is down; as before, where it is left out. */
  readonly down?: Down;
}

/**
 * Throws ReloadRefused, HushlbError or SystemCallError, and nothing has changed then; or the signal's reason, when the
 * process is about to end.
 */
export async function reload(
  running: Running,
  config: Config,
  { logger, signal, down }: ReloadOptions,
): Promise<ReloadReport> {
  const before = running.prepared;
  refuseFixed(before.config, config);
  const tables = await buildTables(tablesWanted(config, before, down), signal);
  const after = prepareNext(config, before, performance.now(), down, tables);
  const added = await reachNewBackends(running, config, signal);

  // Whoever counted there before is gone from every worker since the reload before this one.
  clearNewCounters(before.layout, after.layout, running.counters);
  const sockets = new Set(after.config.services.map(socketOf));
  const staying = before.config.services.filter((service) => sockets.has(socketOf(service)));
  steer(running.steering, { ...before.config, services: staying });
  running.prepared = after;
  publishNext(running);
  const { generation } = running.state;
  await waitForWorkers(running, generation, logger, signal);
  steer(running.steering, after.config);
  running.hops.follow(backendAddresses(config));

  logWays(logger, running.hops, added);
  for (const line of keptCapacities(before, after)) logger.warn(line);
  return { generation, ...changesBetween(before, after) };
}

/** What is opened or attached once, and what all entries and all balancers must agree on. */
const FIXED: readonly (readonly [key: string, value: (config: Config) => string])[] = [
  ['interface', (config) => config.interface],
  ['io', (config) => config.io],
  ['xdpMode', (config) => config.xdpMode],
  ['workers', (config) => `${config.workers}`],
  ['cpus', ({ cpus }) => (cpus === null ? 'none' : `[${cpus.join(', ')}]`)],
  ['afXdp.ringSize', ({ afXdp }) => `${afXdp.ringSize}`],
  ['afXdp.batchSize', ({ afXdp }) => `${afXdp.batchSize}`],
  ['afXdp.zeroCopy', ({ afXdp }) => afXdp.zeroCopy],
  ['afXdp.busyPoll', ({ afXdp }) => (afXdp.busyPollUs === null ? 'false' : `${afXdp.busyPollUs}us`)],
  ['hashSeed', (config) => String(config.hashSeed)],
  ['admin', adminText],
  ['metrics.listen', ({ metrics }) => (metrics === null ? 'off' : `${metrics.listen.host}:${metrics.listen.port}`)],
];

export interface FixedDifference {
  readonly key: string;
  readonly before: string;
  readonly after: string;
}

/** What a running balancer cannot take over: a restart would, and its connection tables would begin empty. */
export function fixedDifferences(before: Config, after: Config): FixedDifference[] {
  return FIXED.map(([key, value]) => ({ key, before: value(before), after: value(after) })).filter(
    (each) => each.before !== each.after,
  );
}

/** A socket that follows from the interface is the interface's matter. */
function adminText({ admin, interface: name }: Config): string {
  if (admin === null) return 'off';
  const { socket, group, tcp } = admin;
  const parts = [
    socket === socketOfInterface(name) ? 'the default socket' : socket,
    group !== null && `group ${group}`,
    tcp !== null && `${tcp.listen.host}:${tcp.listen.port} by the token in ${tcp.tokenFile}`,
  ];
  return parts.filter(Boolean).join(', ');
}

function refuseFixed(before: Config, after: Config): void {
  const lines = fixedDifferences(before, after).map(
    (each) => `${each.key}: ${each.before} runs, the file says ${each.after}: restart hushlb to change it`,
  );
  if (lines.length > 0) throw new ReloadRefused(lines);
}

/** Returns the addresses that were not followed before. A route that got lost since is no reason to refuse a reload. */
async function reachNewBackends({ hops, prepared }: Running, config: Config, signal: AbortSignal): Promise<string[]> {
  const before = backendAddresses(prepared.config);
  const known = new Set(before);
  const added = backendAddresses(config).filter((address) => !known.has(address));
  try {
    hops.follow([...before, ...added]);
    const lines = withoutRoute(hops, added);
    if (lines.length > 0) throw new ReloadRefused(lines);
    await waitForAnswers(hops, added, signal);
    return added;
  } catch (error) {
    hops.follow(before);
    throw error;
  }
}

const LOOK_EVERY_MS = 1;
/** A worker that is woken takes a millisecond; this is for one that does not run. */
const PATIENCE_MS = 5_000;

async function waitForWorkers(
  { workers }: Running,
  generation: number,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  let warnAt = performance.now() + PATIENCE_MS;
  for (let behind = workers.behind(generation); behind.length > 0; behind = workers.behind(generation)) {
    if (performance.now() > warnAt) {
      logger.warn({ generation, workers: behind }, 'reload: workers have not taken the new state over yet');
      warnAt = Number.POSITIVE_INFINITY;
    }
    await pause(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** Connection tables that stay as large as they are: moving the entries of a large one would keep packets waiting. */
function keptCapacities(before: Prepared, after: Prepared): string[] {
  const olds = new Map(before.places.services.map(({ connections }, i) => [connections, before.config.services[i]]));
  return after.config.services.flatMap((service, i) => {
    const old = olds.get(after.places.services[i].connections);
    const isKept = old?.conntrack.enabled === true && service.conntrack.enabled;
    if (!isKept || old.conntrack.capacity === service.conntrack.capacity) return [];
    return `service ${service.name}: conntrack.capacity changes at the next start of hushlb, the table stays as it is`;
  });
}
