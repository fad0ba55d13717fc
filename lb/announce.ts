/**
 * What a start says of itself in the log: what limits the throughput here, and the line `ready` with what runs, in which every
 * setting stands that was decided by itself. Called by lb/daemon.ts; tests, the lab and service managers wait for `ready`.
 */
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import { readDriver, readOffloads } from '../io/ethtool.ts';
import { SystemCallError } from '../io/ffi.ts';
import type { Link } from '../io/links.ts';
import { limitsOf, limitsOfSockets } from './limits.ts';
import type { PacketPath } from './packet-path.ts';
import { socketText } from './ports.ts';
import type { Prepared } from './prepare.ts';

export interface Announced {
  readonly link: Link;
  readonly queueCount: number;
  readonly workerCount: number;
  readonly path: PacketPath;
  readonly prepared: Prepared;
  /** Where metrics are read and where the balancer is asked; `off` for nowhere. */
  readonly metrics: string;
  readonly admin: readonly string[] | 'off';
}

export function announce(logger: Logger, announced: Announced): void {
  const { link, queueCount, workerCount, path, prepared, metrics, admin } = announced;
  const { config, tables } = prepared;
  const device = {
    interface: link.name,
    driver: readDriver(link.name),
    io: path.io,
    queues: queueCount,
    workers: path.io === 'portable' ? 1 : workerCount,
    xdp: path.xdp ?? 'off',
    guard: path.guard,
    zeroCopy: path.workers.zeroCopy,
  };
  const cpus = availableParallelism();
  const limits =
    path.xdp === null
      ? limitsOfSockets({ ...device, io: path.io, cpus, gro: mergesSegments(link) })
      : limitsOf({ ...device, xdp: path.xdp, cpus, zeroCopyWanted: config.afXdp.zeroCopy });
  for (const limit of limits) logger.info(`limit: ${limit}`);

  logger.info(
    {
      ...device,
      cpus: config.cpus ?? 'any',
      busyPoll: config.afXdp.busyPollUs === null ? 'off' : `${config.afXdp.busyPollUs}us`,
      mode: config.mode,
      metrics,
      admin,
      services: config.services.map(({ name, vip, ports }, i) => ({
        name,
        address: socketText(vip, ports),
        fingerprint: tables[i].fingerprint,
      })),
    },
    'ready',
  );
}

/** Whether GRO is on; where nobody can tell, nothing is said of it. */
function mergesSegments({ name }: Link): boolean {
  try {
    return readOffloads(name).gro;
  } catch (error) {
    if (error instanceof SystemCallError) return false;
    throw error;
  }
}
