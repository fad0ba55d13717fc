/**
 * A configuration, made ready for packets: an immutable forwarding state, built beside the running one on the main thread
 * and swapped whole, so that no packet sees half a change. It is plain data (typed arrays on shared memory and numbers),
 * because it travels to every worker by `postMessage`.
 */
import { createNextHops, ENCAP_IPIP, ENCAP_L2, type NextHops, setNextHop } from '../dsr/encap.ts';
import { FIVE_TUPLE, SOURCE_IP, SOURCE_IP_PORT } from '../hashing/flow-hash.ts';
import { buildLookupTable, type LookupTable, NO_BACKEND } from '../hashing/lookup-table.ts';
import { type CounterLayout, createCounterLayout } from '../metrics/counters.ts';
import { ipv4FromBytes, parseIpv4 } from '../wire/address.ts';
import { macHigh, macLow } from '../wire/ethernet.ts';
import { addressWord, PROTOCOL_TCP } from '../wire/ipv4.ts';
import { swapPort } from '../wire/tcp.ts';
import type { Config, Encap, HashInput, ServiceConfig } from './config.ts';
import { EXITS } from './exits.ts';
import type { OnMiss } from './profiles.ts';
import { buildServiceIndex, type ServiceIndex, type ServiceKey } from './service-index.ts';

/** What a packet meets that opens no connection and that the table doesn't know (`onMiss` of the service). */
export const ON_MISS_FORWARD = 0;
export const ON_MISS_RESET = 1;
export const ON_MISS_DROP = 2;

/** Where one backend's packets go, as the kernel's routes and neighbours say. */
export interface Hop {
  readonly mac: Uint8Array;
  /** The host's own address towards the backend: the outer source. */
  readonly source: Uint8Array;
  readonly mtu: number;
}

export interface ServiceState {
  readonly name: string;
  readonly hashKind: number;
  /** As a packet word. */
  readonly vip: number;
  readonly onMiss: number;
  /** `onExpiry: reset`, of a service that has a connection table. */
  readonly resetsOnExpiry: boolean;
  readonly encap: number;
  /** Backend index for each of the M slots, or NO_BACKEND; backend indexes are places in the configuration. */
  readonly lookupTable: Uint16Array;
  /** Round-robin only: the backends in turn, as often as their weights say. Empty for Maglev. */
  readonly rotation: Uint16Array;
  /** Null where the service forwards by hash alone. */
  readonly conntrack: { readonly capacity: number; readonly idleTimeoutMs: number } | null;
  readonly hops: NextHops;
  readonly exitBase: number;
  readonly serviceBase: number;
  readonly backendBase: number;
}

export interface ForwardingState {
  readonly generation: number;
  readonly hashSeed: number;
  readonly ownMacLow: number;
  readonly ownMacHigh: number;
  /** Counter block of packets that belong to no service. */
  readonly strayExitBase: number;
  readonly index: ServiceIndex;
  readonly services: readonly ServiceState[];
}

export interface ForwardingInput {
  readonly config: Config;
  /** One a service, from `buildTable`; states made one after the other share them. */
  readonly tables: readonly ServiceTable[];
  readonly layout: CounterLayout;
  readonly ownMac: Uint8Array;
  /** Undefined where the backend cannot be reached now: its packets are dropped as no-neighbour. */
  hopOf(address: string): Hop | undefined;
  readonly generation: number;
}

export interface ServiceTable extends LookupTable {
  /** As in `ServiceState.lookupTable`, on shared memory. */
  readonly slots: Uint16Array;
}

const ENCAPS: Record<Encap, number> = { l2: ENCAP_L2, ipip: ENCAP_IPIP };

const ON_MISS: Record<OnMiss, number> = { forward: ON_MISS_FORWARD, reset: ON_MISS_RESET, drop: ON_MISS_DROP };

const HASH_KINDS: Record<HashInput, number> = {
  'source-ip': SOURCE_IP,
  'source-ip-port': SOURCE_IP_PORT,
  'five-tuple': FIVE_TUPLE,
};

/** Maglev over a service's active backends: as people look at it, and as packets do. A draining backend gets no slot. */
export function buildTable(service: ServiceConfig): ServiceTable {
  const active = service.backends.filter((backend) => backend.state === 'active');
  const table = buildLookupTable(active, service.tableSize);
  return { ...table, slots: slotsByBackendIndex(service, table) };
}

/** The counters of a configuration: what the forwarder writes and metrics/ exposes. */
export function countersOf(config: Config): CounterLayout {
  return createCounterLayout({ exits: EXITS, services: config.services });
}

export function buildForwardingState(input: ForwardingInput): ForwardingState {
  const { config, layout, ownMac, generation } = input;
  return {
    generation,
    hashSeed: config.hashSeed,
    ownMacLow: macLow(ownMac),
    ownMacHigh: macHigh(ownMac),
    strayExitBase: layout.exitBase[config.services.length],
    index: buildServiceIndex(config.services.map(serviceKey)),
    services: config.services.map((service, i) => ({
      name: service.name,
      hashKind: HASH_KINDS[service.hash],
      vip: addressWord(addressOf(service.vip)),
      onMiss: ON_MISS[service.onMiss],
      resetsOnExpiry: service.onExpiry === 'reset' && service.conntrack.enabled,
      encap: ENCAPS[service.encap],
      lookupTable: input.tables[i].slots,
      rotation: service.scheduler === 'round-robin' ? rotationOf(service) : new Uint16Array(0),
      conntrack: service.conntrack.enabled ? service.conntrack : null,
      hops: nextHopsOf(service, input),
      exitBase: layout.exitBase[i],
      serviceBase: layout.serviceBase[i],
      backendBase: layout.backendBase[i],
    })),
  };
}

function serviceKey(service: ServiceConfig): ServiceKey {
  return { vip: addressWord(addressOf(service.vip)), port: swapPort(service.port), protocol: PROTOCOL_TCP };
}

/** The table names backends by their place in sorted order; packets need their place in the configuration. */
function slotsByBackendIndex(service: ServiceConfig, table: LookupTable): Uint16Array {
  const places = new Map(service.backends.map((backend, i) => [backend.name, i]));
  const indexes = table.backends.map((name) => places.get(name) ?? NO_BACKEND);
  const slots = new Uint16Array(new SharedArrayBuffer(table.tableSize * 2));
  for (let slot = 0; slot < slots.length; slot++) slots[slot] = indexes[table.entries[slot]] ?? NO_BACKEND;
  return slots;
}

/** Rounds over the active backends: in round r stand those whose weight is at least r. */
function rotationOf(service: ServiceConfig): Uint16Array {
  const rotation: number[] = [];
  const heaviest = Math.max(...service.backends.map((backend) => backend.weight));
  for (let round = 1; round <= heaviest; round++) {
    service.backends.forEach((backend, i) => {
      if (backend.state === 'active' && backend.weight >= round) rotation.push(i);
    });
  }
  return Uint16Array.from(rotation);
}

function nextHopsOf(service: ServiceConfig, { hopOf, ownMac }: ForwardingInput): NextHops {
  const hops = createNextHops(service.backends.length);
  const encap = ENCAPS[service.encap];
  for (const [row, { address }] of service.backends.entries()) {
    const hop = hopOf(address);
    if (hop === undefined) continue;
    const source = addressWord(ipv4FromBytes(hop.source));
    setNextHop(hops, row, encap, { ...hop, ownMac, source, destination: addressWord(addressOf(address)) });
  }
  return hops;
}

function addressOf(text: string): number {
  const address = parseIpv4(text);
  if (address === undefined) throw new TypeError(`not an IPv4 address: ${text}`);
  return address;
}
