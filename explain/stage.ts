/**
 * One packet through the real forwarder, on a balancer without a network: explain/explain.ts asks what becomes of it. The
 * connection's entry is put into the table first, if it has one, and a change is taken over as a reload does, so that the
 * walk meets what it would meet. Nothing of the choice is made here.
 */
import { clear, insert, lastSlot } from '../conntrack/table.ts';
import { largestPacket } from '../dsr/encap.ts';
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import { createMemoryDevice } from '../io/memory-device.ts';
import type { Config } from '../lb/config.ts';
import { FORWARDED } from '../lb/exits.ts';
import { createWalk } from '../lb/forwarder.ts';
import type { Hop } from '../lb/forwarding-state.ts';
import { createOfflineBalancer } from '../lb/offline.ts';
import type { ServicePlaces } from '../lb/places.ts';
import type { Prepared } from '../lb/prepare.ts';
import type { Down } from '../lb/service-table.ts';
import { createWitness, type Decision } from '../replay/witness.ts';
import { type Flow, packetOf } from './flow.ts';

/** A balancer as it stands: a file's, or the one that runs. */
export interface Scene {
  readonly prepared: Prepared;
  readonly ownMac: Uint8Array;
  hopOf(address: string): Hop | undefined;
}

/** What the scene becomes before the packet comes. */
export interface Change {
  readonly config: Config;
  readonly down: Down;
}

/**
 * The connection's entry: `opened`, as its first packet leaves it in the scene; none; or one that names a backend of the
 * flow's service.
 */
export type KnownEntry = 'opened' | 'none' | { readonly backend: string };

export interface Trial {
  /** Of lb/exits.ts. */
  readonly exit: number;
  /** Undefined for a packet of no service. */
  readonly decision: Decision | undefined;
  /** In force when the packet came. */
  readonly prepared: Prepared;
  /** Whom the entry named that the connection's first packet left in the scene; undefined where it left none. */
  readonly opened: string | undefined;
  /** The backend that it was sent to, or would be if there were a way, by name; undefined where none was chosen. */
  readonly backend: string | undefined;
  /** Whom the slot names; undefined where there is no slot, or nobody serves. */
  readonly ofSlot: string | undefined;
  /** Backends of the rotation, once each; empty but for round-robin. */
  readonly turns: readonly string[];
  /** The frame that went out, and the length of the one that came in. */
  readonly sent: Uint8Array | undefined;
  readonly length: number;
  /** Bytes of the largest packet that fits the way to the backend; 0 where it has none. */
  readonly largest: number;
}

/** In the column of backends: none was chosen. */
const NOBODY = -1;
/** Any moment: ages count, times don't. */
const OPENED_MS = 1_000;
const NOW_MS = 1_001;

/** Walks a packet of `flow`: its first where `opens`, else one of a connection that is under way. */
export function tryPacket(scene: Scene, flow: Flow, opens: boolean, entry: KnownEntry, change?: Change): Trial {
  const device = createMemoryDevice({ frameCount: 2, batchSize: 2 });
  const prepared = { ...scene.prepared, config: withSmallTables(scene.prepared.config) };
  const { config, room } = prepared;
  const balancer = createOfflineBalancer({ ...scene, config, prepared, room, device });
  const { forwarder } = balancer;
  const walk = createWalk(forwarder);

  const receive = (isFirst: boolean): void => {
    device.inject(packetOf(flow, isFirst));
    device.receive(0);
  };

  // The first packet fills the columns by which the table knows the connection, and notes it there.
  forwarder.backend.fill(NOBODY);
  receive(true);
  walk(OPENED_MS);
  device.send();
  const service = forwarder.service[0];
  const table = service < 0 ? null : forwarder.tables[service];
  const opened =
    table === null || lastSlot(table) < 0
      ? undefined
      : backendName(prepared.places.services[service], forwarder.backend[0]);
  if (table !== null && entry !== 'opened') {
    clear(table);
    const index = entry === 'none' ? undefined : indexOf(prepared.places.services[service], entry.backend);
    const { hash, flows } = forwarder;
    if (index !== undefined) insert(table, hash[0], flows.source[0], flows.ports[0], index, OPENED_MS);
  }
  if (change !== undefined) balancer.takeOver(withSmallTables(change.config), OPENED_MS, change.down);

  const witness = createWitness(forwarder);
  forwarder.backend.fill(NOBODY);
  device.sent.length = 0;
  receive(opens);
  witness.before();
  walk(NOW_MS);
  const decision = witness.after(NOW_MS);
  const exit = forwarder.exit[0];
  device.send();

  const after = balancer.prepared();
  const common = { exit, decision, opened, prepared: after, length: packetOf(flow, opens).length };
  if (decision === undefined) return { ...common, ...NOTHING };
  const { hops, lookupTable, rotation } = forwarder.state.services[decision.service];
  const nameOf = (index: number) => backendName(after.places.services[decision.service], index);
  const chosen = decision.backend;
  const ofSlot = decision.slot < 0 ? NO_BACKEND : lookupTable[decision.slot];
  return {
    ...common,
    backend: chosen === NOBODY ? undefined : nameOf(chosen),
    ofSlot: ofSlot === NO_BACKEND ? undefined : nameOf(ofSlot),
    turns: [...new Set(rotation)].flatMap((index) => nameOf(index) ?? []),
    sent: exit === FORWARDED ? device.sent[0] : undefined,
    largest: chosen === NOBODY ? 0 : Math.max(0, largestPacket(hops, chosen)),
  };
}

const NOTHING = { backend: undefined, ofSlot: undefined, turns: [], sent: undefined, largest: 0 };

/** Room for one connection is enough, and a thousand services have little memory then. */
function withSmallTables(config: Config): Config {
  return {
    ...config,
    services: config.services.map((service) => ({ ...service, conntrack: { ...service.conntrack, capacity: 4 } })),
  };
}

function indexOf({ backends, retired }: ServicePlaces, name: string): number | undefined {
  return [...backends, ...retired].find((place) => place.name === name)?.index;
}

function backendName({ backends }: ServicePlaces, index: number): string | undefined {
  return backends.find((place) => place.index === index)?.name;
}
