/**
 * What runs, on the main thread: the configuration in force and the parts that it drives. lb/daemon.ts puts them up; a new
 * next hop (lb/daemon.ts) or a new configuration (lb/reload.ts) becomes the next generation here.
 */
import type { ServiceSteering } from '../io/service-map.ts';
import { ipv4Bytes, parseIpv4 } from '../wire/address.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { ServiceConfig } from './config.ts';
import { buildForwardingState, type ForwardingState } from './forwarding-state.ts';
import type { NextHopTable } from './next-hops.ts';
import type { Prepared } from './prepare.ts';
import type { Workers } from './workers.ts';

export interface Running {
  prepared: Prepared;
  /** The last that was built. */
  state: ForwardingState;
  readonly ownMac: Uint8Array;
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

export function steer(steering: Pick<ServiceSteering, 'setServices'>, services: readonly ServiceConfig[]): void {
  steering.setServices(
    services.map(({ vip, port }) => ({
      address: ipv4Bytes(parseIpv4(vip) ?? 0),
      protocol: PROTOCOL_TCP,
      ports: { first: port, last: port },
    })),
  );
}
