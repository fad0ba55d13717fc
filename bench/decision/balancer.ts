/**
 * The forwarder that decision-cost measures, made as lb/worker.ts makes it: tables on huge pages, frames on pages of their
 * own. The case's subject walks it, the test of the yardstick too.
 */
import { createFrameBatch, type FrameBatch } from '../../io/device.ts';
import { mapAnonymous, mapHuge } from '../../io/ffi.ts';
import type { Config } from '../../lb/config.ts';
import { createWalk, type Forwarder, type Walk } from '../../lb/forwarder.ts';
import { buildForwardingState, type ForwardingState, type Hop } from '../../lb/forwarding-state.ts';
import { createOfflineBalancer } from '../../lb/offline.ts';
import { prepare } from '../../lb/prepare.ts';
import { addressBytes } from '../../wire/address.ts';
import { BATCH, FRAME_SIZE, FRAMES } from './modes.ts';

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);

export interface DecisionBalancer {
  readonly memory: Uint8Array;
  readonly view: DataView;
  readonly batch: FrameBatch;
  readonly forwarder: Forwarder;
  readonly walk: Walk;
}

/** The forwarding state of `config` with made-up next hops. */
export function decisionState(config: Config): ForwardingState {
  return buildForwardingState({ prepared: prepare(config), ownMac: MAC, hopOf, generation: 1 });
}

export function createDecisionBalancer(config: Config): DecisionBalancer {
  const { buffer } = mapAnonymous(FRAMES * FRAME_SIZE);
  const view = new DataView(buffer);
  const batch = createFrameBatch(BATCH);
  const { forwarder } = createOfflineBalancer({
    config,
    device: { view, batch, append: () => -1 },
    ownMac: MAC,
    allocate: (bytes) => mapHuge(bytes).buffer,
    hopOf,
  });
  return { memory: new Uint8Array(buffer), view, batch, forwarder, walk: createWalk(forwarder) };
}

/** One MAC for each backend. */
function hopOf(address: string): Hop {
  return {
    mac: Uint8Array.of(2, 0, 0, 0, 2, addressBytes(address).at(-1) ?? 0),
    source: addressBytes(address.includes(':') ? '2001:db8:2::fe' : '198.18.2.254'),
    mtu: 1500,
  };
}
