/**
 * How packets come to the workers and go out again: `io` made real. Puts up the steering, the workers with their devices
 * and the attachment, in the order that loses least, and takes them down in reverse. Called by lb/daemon.ts.
 *
 * ```
 *   af-xdp      steering, workers, then the XDP program: what it finds no socket for stays with the kernel
 *   af-packet   steering, guard, then the workers: what no socket takes yet is lost, and not answered with RST
 *   auto        af-xdp, or where this kernel, interface or process can't, af-packet
 * ```
 */
import type { Logger } from 'pino';
import { framesOf } from '../io/af-xdp-device.ts';
import { errno } from '../io/ffi.ts';
import { claimInterface } from '../io/interface-claim.ts';
import type { Link } from '../io/links.ts';
import type { ServiceSteering } from '../io/service-map.ts';
import { attachTapGuard } from '../io/tap-guard.ts';
import { createTapSteering } from '../io/tap-steering.ts';
import { attachXdp, type XdpMode } from '../io/xdp.ts';
import { createSteering } from '../io/xdp-steering.ts';
import type { Config } from './config.ts';
import { HushlbError } from './errors.ts';
import type { ForwardingState } from './forwarding-state.ts';
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
  readonly logger: Logger;
}

export type Steered = Pick<ServiceSteering, 'setServices' | 'counters'>;

export interface PacketPath {
  readonly io: 'af-xdp' | 'af-packet';
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
  try {
    const path = await open('af-xdp', input);
    logger.info({ interface: link.name }, `io auto: af-xdp, because it works here, in ${path.xdp} mode`);
    return path;
  } catch (error) {
    if (!isSystemsRefusal(error)) throw error;
    const path = await open('af-packet', input);
    logger.warn(
      { interface: link.name, reason: error.message },
      'io auto: af-packet, because af-xdp does not work here',
    );
    return path;
  }
}

async function open(io: 'af-xdp' | 'af-packet', input: PacketPathInput): Promise<PacketPath> {
  const undo: Undo = [];
  const close = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const path = io === 'af-xdp' ? await openXdpPath(input, undo) : await openTapPath(input, undo);
    return { ...path, close };
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
  const release = await claimInterface(link.index);
  if (release === undefined) {
    throw new HushlbError(
      'INTERFACE_IN_USE',
      `interface ${link.name}: another hushlb forwards its packets: stop it first`,
    );
  }
  undo.push(release);
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
    deviceOf: (_, wakeFd) => ({ io: 'af-packet', options: { ...fixed, wakeFd } }),
  });
  undo.push(() => workers.stop());
  return { io: 'af-packet', steering, workers, xdp: null, guard: guard.kind };
}

/** The kernel said no, and not a setting or a mistake of ours: workers report it by the errno's name. */
function isSystemsRefusal(error: unknown): error is Error {
  const { code } = error as { code?: unknown };
  return error instanceof Error && typeof code === 'string' && Object.hasOwn(errno, code);
}
