/**
 * What runs, on the main thread: the configuration in force and the parts that it drives. lb/daemon.ts puts them up; a new
 * next hop (lb/daemon.ts) or a new configuration (lb/reload.ts) becomes the next generation here.
 */
import type { Steering } from '../io/xdp-steering.ts';
import { ipv4Bytes, parseIpv4 } from '../wire/address.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { ServiceConfig } from './config.ts';
import { buildForwardingState, type ForwardingState } from './forwarding-state.ts';
import type { NextHopTable } from './next-hops.ts';
import type { Prepared } from './prepare.ts';
import type { Workers } from './workers.ts';

export interface Running {
  prepared: Prepared;
  /** Of the last state that was built. */
  generation: number;
  readonly ownMac: Uint8Array;
  readonly hops: NextHopTable;
  readonly steering: Steering;
  readonly workers: Workers;
  /** One array a worker. */
  readonly counters: readonly Float64Array[];
}

/** The state of a new generation, from the configuration in force and the next hops of the moment. */
export function nextState(running: Omit<Running, 'steering' | 'workers' | 'counters'>): ForwardingState {
  const { prepared, ownMac, hops } = running;
  running.generation++;
  return buildForwardingState({ prepared, ownMac, hopOf: hops.hopOf, generation: running.generation });
}

/** The workers take it over between two batches each, within 100 ms. */
export function publishNext(running: Running): void {
  running.workers.publish(nextState(running));
}

export function steer(steering: Steering, services: readonly ServiceConfig[]): void {
  steering.setServices(
    services.map(({ vip, port }) => ({ address: ipv4Bytes(parseIpv4(vip) ?? 0), protocol: PROTOCOL_TCP, port })),
  );
}
