/**
 * How packets come to the workers and go out again: `io` made real. Puts up the steering, the workers with their devices
 * and the attachment, in the order that loses least, and takes them down in reverse. Called by lb/watched-path.ts.
 *
 * ```
 *   af-xdp      steering, workers, then the XDP program: what it finds no socket for stays with the kernel
 *   af-packet   steering, guard, then the workers: what no socket takes yet is lost, and not answered with RST
 *   portable    guard, where this process may have one, then libpcap, on the main thread
 *   auto        the first of these three that this kernel, interface and process can
 * ```
 */
import type { Logger } from 'pino';
import { framesOf } from '../io/af-xdp-device.ts';
import { errno } from '../io/ffi.ts';
import { claimInterface } from '../io/interface-claim.ts';
import type { Link } from '../io/links.ts';
import { PortableError } from '../io/portable-packages.ts';
import type { ServiceSteering } from '../io/service-map.ts';
import { attachTapGuard, type TapGuard } from '../io/tap-guard.ts';
import { createTapSteering, type TapSteering } from '../io/tap-steering.ts';
import { attachXdp, type XdpMode } from '../io/xdp.ts';
import { createSteering } from '../io/xdp-steering.ts';
import type { Config, Io } from './config.ts';
import { HushlbError } from './errors.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { startPortableWorker } from './portable-worker.ts';
import type { Prepared } from './prepare.ts';
import { steer } from './running.ts';
import type { WorkerPlan } from './worker-plan.ts';
import { startWorkers, type Workers } from './workers.ts';

export interface PacketPathInput {
  readonly config: Config;
  readonly link: Link;
  readonly queueCount: number;
  readonly plan: readonly WorkerPlan[];
  /** One row a worker, on shared memory, and one a queue or socket. */
  readonly counters: readonly Float64Array[];
  readonly deviceCounters: readonly Float64Array[];
  readonly state: ForwardingState;
  /** What is in force, for the names in answers. */
  prepared(): Prepared;
  readonly logger: Logger;
  /** A worker, from 0, has ended by itself: as in lb/workers.ts. */
  onWorkerEnd(worker: number, reason: Error): void;
}

export type Steered = Pick<ServiceSteering, 'setServices' | 'counters'>;

type Device = Exclude<Io, 'auto'>;

export interface PacketPath {
  readonly io: Device;
  readonly steering: Steered;
  readonly workers: Workers;
  /** How the XDP program is attached; null where none is. */
  readonly xdp: XdpMode | null;
  /** What keeps packets of the services from the kernel: for the log. */
  readonly guard: string;
  close(): Promise<void>;
}

type Undo = (() => void | Promise<void>)[];

/** Packets flow when it resolves. Throws HushlbError or SystemCallError, and leaves nothing behind then. */
export async function openPacketPath(input: PacketPathInput): Promise<PacketPath> {
  const { config, link, logger } = input;
  if (config.io !== 'auto') return open(config.io, input);
  const refused: { io: Device; reason: string }[] = [];
  for (const io of BEST_FIRST) {
    try {
      const path = await open(io, input);
      if (refused.length === 0) {
        logger.info({ interface: link.name }, `io auto: ${io}, because it works here, in ${path.xdp} mode`);
      } else {
        const others = refused.map((other) => other.io);
        const reason = refused.map((other) => (refused.length === 1 ? other.reason : `${other.io}: ${other.reason}`));
        const verb = others.length === 1 ? 'does' : 'do';
        logger.warn(
          { interface: link.name, reason: reason.join('; ') },
          `io auto: ${io}, because ${others.join(' and ')} ${verb} not work here`,
        );
      }
      return path;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      refused.push({ io, reason: error.message });
    }
  }
  const reasons = refused.map(({ io, reason }) => `${io}: ${reason}`);
  throw new HushlbError('IO_UNAVAILABLE', `io auto: no packet device works here: ${reasons.join('; ')}`);
}

const BEST_FIRST: readonly Device[] = ['af-xdp', 'af-packet', 'portable'];

const OPEN = { 'af-xdp': openXdpPath, 'af-packet': openTapPath, portable: openPortablePath };

async function open(io: Device, input: PacketPathInput): Promise<PacketPath> {
  const undo: Undo = [];
  const close = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    return { ...(await OPEN[io](input, undo)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openXdpPath(input: PacketPathInput, undo: Undo): Promise<Omit<PacketPath, 'close'>> {
  const { config, link, queueCount, logger } = input;
  const steering = createSteering({ queueCount });
  undo.push(() => steering.close());
  steer(steering, config);

  const { ringSize, batchSize, busyPollUs } = config.afXdp;
  // Generic mode runs after the driver, which would keep a zero-copy socket's frames to itself.
  const zeroCopy = config.xdpMode === 'generic' ? 'off' : config.afXdp.zeroCopy;
  const busyPoll = busyPollUs === null ? null : { us: busyPollUs, budget: batchSize };
  const fixed = { interfaceIndex: link.index, socketMapFd: steering.socketMapFd, frameCount: framesOf(ringSize) };
  const workers = await startWorkers({
    ...input,
    onEnd: input.onWorkerEnd,
    deviceOf: ({ queues }, wakeFd) => ({
      io: 'af-xdp',
      options: { ...fixed, queues, batchSize, wakeFd, zeroCopy, busyPoll },
    }),
  });
  undo.push(() => workers.stop());

  // Zero-copy is the driver's: what it requires is no less than native mode.
  const mode = config.afXdp.zeroCopy === 'require' ? 'native' : config.xdpMode;
  const attachment = attachXdp({ programFd: steering.programFd, interfaceIndex: link.index, mode });
  undo.push(() => attachment.detach());
  if (attachment.fallbackReason !== undefined) {
    logger.warn(
      { interface: link.name, reason: attachment.fallbackReason },
      'no native XDP here, fell back to generic',
    );
  }
  return { io: 'af-xdp', steering, workers, xdp: attachment.mode, guard: 'xdp' };
}

async function openTapPath(input: PacketPathInput, undo: Undo): Promise<Omit<PacketPath, 'close'>> {
  const { config, link, plan, logger } = input;
  await claim(link, undo);
  const tap = createTapSteering();
  undo.push(() => tap.close());
  const guard = await attachTapGuard({ programFd: tap.guardFd, interfaceIndex: link.index });
  undo.push(() => guard.detach());
  if (guard.fallbackReason !== undefined) {
    logger.warn({ interface: link.name, reason: guard.fallbackReason }, 'no TCX here, fell back to nftables');
  }
  const steering: Steered = {
    counters: tap.counters,
    setServices(services, options) {
      tap.setServices(services, options);
      guard.setServices(services, options);
    },
  };
  steer(steering, config);

  const fanoutGroup = plan.length > 1 ? 1 + (process.pid % 65_535) : null;
  const fixed = { interfaceIndex: link.index, filterFd: tap.filterFd, fanoutGroup };
  const workers = await startWorkers({
    ...input,
    onEnd: input.onWorkerEnd,
    deviceOf: (_, wakeFd) => ({ io: 'af-packet', options: { ...fixed, wakeFd } }),
  });
  undo.push(() => workers.stop());
  return { io: 'af-packet', steering, workers, xdp: null, guard: guard.kind };
}

async function openPortablePath(input: PacketPathInput, undo: Undo): Promise<Omit<PacketPath, 'close'>> {
  const { config, link, counters, deviceCounters, state, prepared } = input;
  await claim(link, undo);
  const guard = await openPortableGuard(input, undo);
  const { workers, steering: device } = startPortableWorker({
    interfaceIndex: link.index,
    counters: counters[0],
    deviceCounters: deviceCounters[0],
    state,
    prepared,
    onEnd: (reason) => input.onWorkerEnd(0, reason),
  });
  undo.push(() => workers.stop());
  const steering: Steered = {
    counters: device.counters,
    setServices(services, options) {
      guard.setServices(services, options);
      device.setServices(services);
    },
  };
  // The device captures from here on.
  steer(steering, config);
  return { io: 'portable', steering, workers, xdp: null, guard: guard.kind };
}

type PortableGuard = Pick<TapGuard, 'setServices'> & { readonly kind: TapGuard['kind'] | 'none' };

/** TCX where this process may load programs, nftables where it may not. Where it may neither, the log says what that means. */
async function openPortableGuard({ link, logger }: PacketPathInput, undo: Undo): Promise<PortableGuard> {
  const interfaceIndex = link.index;
  const refused: string[] = [];
  let tap: TapSteering | undefined;
  for (const kind of ['auto', 'nftables'] as const) {
    try {
      if (kind === 'auto') tap = createTapSteering();
      const guard = await attachTapGuard({ programFd: tap?.guardFd ?? -1, interfaceIndex, kind });
      undo.push(
        () => tap?.close(),
        () => guard.detach(),
      );
      return {
        kind: guard.kind,
        setServices(services, options) {
          tap?.setServices(services, options);
          guard.setServices(services, options);
        },
      };
    } catch (error) {
      if (!isRefusal(error)) throw error;
      refused.push(error.message);
      tap?.close();
      tap = undefined;
    }
  }
  logger.warn(
    { interface: link.name, reason: refused.join('; ') },
    'no guard: the kernel gets the packets of services too; keep VIPs off this host and have it say nothing of them (ip route add blackhole VIP), or grant CAP_NET_ADMIN',
  );
  return { kind: 'none', setServices() {} };
}

/** Packets that are copied would be forwarded by each who asks for them. */
async function claim(link: Link, undo: Undo): Promise<void> {
  const release = await claimInterface(link.index);
  if (release === undefined) {
    throw new HushlbError(
      'INTERFACE_IN_USE',
      `interface ${link.name}: another hushlb forwards its packets: stop it first`,
    );
  }
  undo.push(release);
}

/** The kernel said no, or there are no packages; not a setting or a mistake of ours. Workers report it by the errno's name. */
function isRefusal(error: unknown): error is Error {
  const { code } = error as { code?: unknown };
  if (!(error instanceof Error) || typeof code !== 'string') return false;
  return Object.hasOwn(errno, code) || error instanceof PortableError;
}
