/**
 * A configuration, made ready for packets: an immutable forwarding state, built beside the running one on the main thread
 * and swapped whole, so that no packet sees half a change. It is plain data (typed arrays on shared memory and numbers),
 * because it travels to every worker by `postMessage`.
 */
import { isDeepStrictEqual } from 'node:util';
import { createNextHops, ENCAP_L2, type NextHops, openRow, setNextHop } from '../dsr/encap.ts';
import { ENCAP_IPIP } from '../dsr/tunnel.ts';
import { FIVE_TUPLE, SOURCE_IP, SOURCE_IP_PORT } from '../hashing/flow-hash.ts';
import { ipv4Bytes, parseIpv4 } from '../wire/address.ts';
import { macHigh, macLow } from '../wire/ethernet.ts';
import { GUE_PORT } from '../wire/gue.ts';
import { addressWord, DEFAULT_TTL, PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { Encap, HashInput, ServiceConfig } from './config.ts';
import { rowCount, type ServicePlaces } from './places.ts';
import type { Prepared } from './prepare.ts';
import type { OnMiss } from './profiles.ts';
import { buildServiceIndex, type ServiceIndex, type ServiceKey } from './service-index.ts';
import { rotationOf } from './service-table.ts';

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
  /** The number of its connection table: a service with the same number in the state before has its entries. */
  readonly connections: number;
  readonly hashKind: number;
  /** As a packet word. */
  readonly vip: number;
  readonly onMiss: number;
  /** `onExpiry: reset`, of a service that has a connection table. */
  readonly resetsOnExpiry: boolean;
  readonly encap: number;
  /** Backend index for each of the M slots, or NO_BACKEND; backend indexes are those of lb/places.ts. */
  readonly lookupTable: Uint16Array;
  /** Round-robin only: the backends in turn, as often as their weights say. Empty for Maglev. */
  readonly rotation: Uint16Array;
  /** Null where the service forwards by hash alone. */
  readonly conntrack: { readonly capacity: number; readonly idleTimeoutMs: number } | null;
  /** By backend index; rows of removed backends are no backend's. */
  readonly hops: NextHops;
  readonly exitBase: number;
  readonly serviceBase: number;
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
  /** Of any of the services. */
  readonly resetsOnExpiry: boolean;
}

export interface ForwardingInput {
  /** States made one after the other share its tables. */
  readonly prepared: Prepared;
  readonly ownMac: Uint8Array;
  /** Undefined where the backend cannot be reached now: its packets are dropped as no-neighbour. */
  hopOf(address: string): Hop | undefined;
  /** The state that this one follows: services that are the same in both are the same objects. */
  readonly before?: ForwardingState | undefined;
  readonly generation: number;
}

const ENCAPS: Record<Encap, number> = { l2: ENCAP_L2, ipip: ENCAP_IPIP };

const ON_MISS: Record<OnMiss, number> = { forward: ON_MISS_FORWARD, reset: ON_MISS_RESET, drop: ON_MISS_DROP };

const HASH_KINDS: Record<HashInput, number> = {
  'source-ip': SOURCE_IP,
  'source-ip-port': SOURCE_IP_PORT,
  'five-tuple': FIVE_TUPLE,
};

export function buildForwardingState(input: ForwardingInput): ForwardingState {
  const { prepared, ownMac, generation, before } = input;
  const { config, layout, places } = prepared;
  const known = new Map(before?.services.map((service) => [service.connections, service]));
  const services = config.services.map((service, i) => {
    const old = known.get(places.services[i].connections);
    const state = serviceState(service, i, input);
    return old !== undefined && isSame(old, state) ? old : state;
  });
  return {
    generation,
    hashSeed: config.hashSeed,
    ownMacLow: macLow(ownMac),
    ownMacHigh: macHigh(ownMac),
    strayExitBase: layout.exitBase[config.services.length],
    index: buildServiceIndex(config.services.map(serviceKey)),
    services,
    resetsOnExpiry: services.some(({ resetsOnExpiry }) => resetsOnExpiry),
  };
}

function serviceState(service: ServiceConfig, i: number, input: ForwardingInput): ServiceState {
  const { layout, places, tables } = input.prepared;
  return {
    name: service.name,
    connections: places.services[i].connections,
    hashKind: HASH_KINDS[service.hash],
    vip: addressWord(addressOf(service.vip)),
    onMiss: ON_MISS[service.onMiss],
    resetsOnExpiry: service.onExpiry === 'reset' && service.conntrack.enabled,
    encap: ENCAPS[service.encap],
    lookupTable: tables[i].slots,
    rotation: rotationOf(service, places.services[i].backends),
    conntrack: service.conntrack.enabled ? service.conntrack : null,
    hops: nextHopsOf(service, places.services[i], layout.backendBase[i], input),
    exitBase: layout.exitBase[i],
    serviceBase: layout.serviceBase[i],
  };
}

function isSame(a: ServiceState, b: ServiceState): boolean {
  const { lookupTable: tableA, ...restA } = a;
  const { lookupTable: tableB, ...restB } = b;
  return tableA === tableB && isDeepStrictEqual(restA, restB);
}

function serviceKey(service: ServiceConfig): ServiceKey {
  return {
    vip: [addressWord(addressOf(service.vip))],
    firstPort: service.port,
    lastPort: service.port,
    protocol: PROTOCOL_TCP,
  };
}

function nextHopsOf(
  service: ServiceConfig,
  places: ServicePlaces,
  counters: readonly number[],
  { hopOf, ownMac }: ForwardingInput,
): NextHops {
  const hops = createNextHops(rowCount(places));
  const encapsulation = {
    encap: ENCAPS[service.encap],
    family: 4,
    ttl: DEFAULT_TTL,
    varySource: false,
    gue: { port: GUE_PORT, variant: 0 },
  } as const;
  for (const [i, { address }] of service.backends.entries()) {
    const row = places.backends[i].index;
    openRow(hops, row, counters[i]);
    const hop = hopOf(address);
    if (hop === undefined) continue;
    setNextHop(hops, row, encapsulation, { ...hop, ownMac, destination: ipv4Bytes(addressOf(address)) });
  }
  return hops;
}

function addressOf(text: string): number {
  const address = parseIpv4(text);
  if (address === undefined) throw new TypeError(`not an IPv4 address: ${text}`);
  return address;
}
