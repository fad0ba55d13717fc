/**
 * A balancer without a network: the real forwarder for a configuration on any device, its next hops given instead of asked
 * from the kernel, the clock in the caller's hand. For tests, benchmarks, and whatever runs packets through hushlb on a host
 * that doesn't carry them.
 */
import type { Allocate } from '../conntrack/table.ts';
import { allocateCounters, type CounterLayout, type CounterRoom, clearNewCounters } from '../metrics/counters.ts';
import { adoptState, createForwarder, type ForwarderDevice } from './adopt.ts';
import type { Config } from './config.ts';
import type { Forwarder } from './forwarder.ts';
import { buildForwardingState, type Hop } from './forwarding-state.ts';
import { type Prepared, prepare, prepareNext } from './prepare.ts';
import type { Down } from './service-table.ts';

export interface OfflineBalancer {
  readonly forwarder: Forwarder;
  /** Of the configuration in force. */
  layout(): CounterLayout;
  /** What is in force: who has which index, which tables. */
  prepared(): Prepared;
  /**
   * Takes over another configuration, between two batches, and who is down, as before where that is left out. Throws
   * HushlbError where there is no room for it.
   */
  takeOver(config: Config, nowMs: number, down?: Down): void;
}

export interface OfflineOptions {
  readonly config: Config;
  /** What was made of `config` already, with its room. */
  readonly prepared?: Prepared;
  readonly device: ForwarderDevice;
  readonly ownMac: Uint8Array;
  /** For configurations to come; exactly enough for `config` by default. */
  readonly room?: CounterRoom;
  /** The memory of the connection tables; JavaScript's own by default. */
  readonly allocate?: Allocate;
  /** Undefined: the backend has no neighbour. */
  hopOf(address: string): Hop | undefined;
}

/** Throws HushlbError where the services have more backends than there is room for. */
export function createOfflineBalancer(options: OfflineOptions): OfflineBalancer {
  const { config, device, ownMac, room, allocate, hopOf } = options;
  let prepared = options.prepared ?? prepare(config, room);
  const counters = allocateCounters(prepared.layout);
  const state = buildForwardingState({ prepared, ownMac, hopOf, generation: 1 });
  const forwarder = createForwarder(device, counters, state, allocate);
  return {
    forwarder,
    layout: () => prepared.layout,
    prepared: () => prepared,
    takeOver(next, nowMs, down) {
      const before = prepared;
      prepared = prepareNext(next, before, nowMs, down);
      clearNewCounters(before.layout, prepared.layout, [counters]);
      const generation = forwarder.state.generation + 1;
      adoptState(forwarder, buildForwardingState({ prepared, ownMac, hopOf, before: forwarder.state, generation }));
    },
  };
}
