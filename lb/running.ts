/**
 * What runs, on the main thread: the configuration in force and the parts that it drives. lb/daemon.ts puts them up; a new
 * next hop (lb/daemon.ts) or a new configuration (lb/reload.ts) becomes the next generation here.
 */
import type { ServiceSteering } from '../io/service-map.ts';
import { addressBytes } from '../wire/address.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { PROTOCOL_UDP } from '../wire/udp.ts';
import type { Config } from './config.ts';
import { buildForwardingState, type ForwardingState } from './forwarding-state.ts';
import type { NextHopTable } from './next-hops.ts';
import type { Prepared } from './prepare.ts';
import type { Workers } from './workers.ts';

/** What the daemon found and chose at its start, and what the devices count. */
export interface DeviceFacts {
  readonly interface: string;
  readonly io: string;
  /** How the XDP program is attached; `off` where none is. */
  readonly xdp: string;
  readonly zeroCopy: boolean;
  /** The queues, or sockets, of each worker. */
  readonly queues: readonly (readonly number[])[];
  /** A row of `DEVICE_COUNTERS` (lb/worker-device.ts) for each queue. */
  readonly counters: readonly Float64Array[];
  readonly startedAt: Date;
}

export interface Running {
  prepared: Prepared;
  /** The last that was built. */
  state: ForwardingState;
  /** The interface's; another when it was made anew. */
  ownMac: Uint8Array;
  readonly hops: NextHopTable;
  readonly steering: Pick<ServiceSteering, 'setServices' | 'counters'>;
  readonly workers: Workers;
  /** One array a worker. */
  readonly counters: readonly Float64Array[];
}

/** The next generation, from the configuration in force and the next hops of the moment: taken over between two batches. */
export function publishNext(running: Running): void {
  const { prepared, ownMac, hops, state: before } = running;
  const generation = before.generation + 1;
  running.state = buildForwardingState({ prepared, ownMac, hopOf: hops.hopOf, generation, before });
  running.workers.publish(running.state);
}

/** Has the packets of these services, and no others, sent to the sockets from now on. */
export function steer(
  steering: Pick<ServiceSteering, 'setServices'>,
  { services, echo }: Pick<Config, 'services' | 'echo'>,
): void {
  const steered = services.map(({ vip, protocol, ports }) => ({
    address: addressBytes(vip),
    protocol: protocol === 'udp' ? PROTOCOL_UDP : PROTOCOL_TCP,
    ports,
  }));
  steering.setServices(steered, { echo });
}
