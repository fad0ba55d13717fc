/**
 * A balancer without a network: the real forwarder for a configuration on any device, its next hops given instead of asked
 * from the kernel, the clock in the caller's hand. For tests, benchmarks, and whatever runs packets through hushlb on a host
 * that doesn't carry them.
 */
import type { PacketDevice } from '../io/device.ts';
import { allocateCounters, type CounterLayout } from '../metrics/counters.ts';
import { createForwarder } from './adopt.ts';
import type { Config } from './config.ts';
import type { Forwarder } from './forwarder.ts';
import { buildForwardingState, buildTable, countersOf, type Hop } from './forwarding-state.ts';

export interface OfflineBalancer {
  readonly forwarder: Forwarder;
  readonly layout: CounterLayout;
}

export interface OfflineOptions {
  readonly config: Config;
  readonly device: Pick<PacketDevice, 'view' | 'batch'>;
  readonly ownMac: Uint8Array;
  /** Undefined: the backend has no neighbour. */
  hopOf(address: string): Hop | undefined;
}

export function createOfflineBalancer({ config, device, ownMac, hopOf }: OfflineOptions): OfflineBalancer {
  const layout = countersOf(config);
  const tables = config.services.map(buildTable);
  const state = buildForwardingState({ config, tables, layout, ownMac, hopOf, generation: 1 });
  return { forwarder: createForwarder(device, allocateCounters(layout), state), layout };
}
