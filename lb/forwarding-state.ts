/**
 * A configuration, made ready for packets: an immutable forwarding state, built beside the running one on the main thread
 * and swapped whole, so that no packet sees half a change. It is plain data (typed arrays on shared memory and numbers),
 * because it travels to every worker by `postMessage`.
 */
import { isDeepStrictEqual } from 'node:util';
import { createNextHops, ENCAP_L2, type NextHops, openRow, setNextHop } from '../dsr/encap.ts';
import { COPY_TTL, ENCAP_GRE, ENCAP_GUE, ENCAP_IPIP, type Encapsulation } from '../dsr/tunnel.ts';
import { FIVE_TUPLE, SOURCE_IP, SOURCE_IP_PORT } from '../hashing/flow-hash.ts';
import { SERVICE_DATAGRAM_MISSES, SERVICE_NON_SYN_MISSES } from '../metrics/counters.ts';
import { addressBytes } from '../wire/address.ts';
import { macHigh, macLow } from '../wire/ethernet.ts';
import { GUE_PORT } from '../wire/gue.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { PROTOCOL_UDP } from '../wire/udp.ts';
import type { Echo, Encap, HashInput, Protocol, ServiceConfig } from './config.ts';
import { rowCount } from './places.ts';
import { isForsaken, type Prepared } from './prepare.ts';
import type { OnMiss } from './profiles.ts';
import { createQuicRoutes, type QuicRoutes } from './quic-lb.ts';
import { buildServiceIndex, type ServiceIndex, type ServiceKey } from './service-index.ts';
import { rotationOf } from './service-table.ts';

/** What a packet meets that opens no connection and that the table doesn't know (`onMiss` of the service). */
export const ON_MISS_FORWARD = 0;
export const ON_MISS_RESET = 1;
export const ON_MISS_DROP = 2;

/** Who answers an echo request to a VIP. */
export const ECHO_KERNEL = 0;
export const ECHO_ANSWER = 1;
export const ECHO_BACKEND = 2;

/** `mssClamp: auto`: what fits the path to the backend. */
export const MSS_THAT_FITS = -1;

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
  /** As packet words: one of IPv4, four of IPv6. */
  readonly vip: readonly number[];
  readonly isIpv6: boolean;
  /** TCP's or UDP's number. */
  readonly protocol: number;
  readonly acceptsIpOptions: boolean;
  /** Largest MSS that a SYN may announce; MSS_THAT_FITS, or 0 where none is changed. */
  readonly mssClamp: number;
  /** `tooBig: fragment`. */
  readonly fragments: boolean;
  /** Backends by QUIC connection id (lb/quic-ways.ts); null for services without `quic`. */
  readonly quic: QuicRoutes | null;
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
  /** By backend index; rows of removed backends are no backend's, nor are those of backends that connections leave. */
  readonly hops: NextHops;
  readonly exitBase: number;
  readonly serviceBase: number;
  /** Counts a packet that opens nothing and is not in the table: TCP has lost an entry there, of UDP nobody knows. */
  readonly missSlot: number;
}

export interface ForwardingState {
  readonly generation: number;
  readonly hashSeed: number;
  readonly ownMacLow: number;
  readonly ownMacHigh: number;
  /** Counter block of packets that belong to no service. */
  readonly strayExitBase: number;
  readonly echo: number;
  readonly index: ServiceIndex;
  readonly services: readonly ServiceState[];
  /** Of any of the services. */
  readonly resetsOnExpiry: boolean;
  readonly routesQuic: boolean;
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

const ENCAPS: Record<Encap, number> = { l2: ENCAP_L2, ipip: ENCAP_IPIP, gue: ENCAP_GUE, gre: ENCAP_GRE };

const ON_MISS: Record<OnMiss, number> = { forward: ON_MISS_FORWARD, reset: ON_MISS_RESET, drop: ON_MISS_DROP };

const ECHOES: Record<Echo, number> = { kernel: ECHO_KERNEL, answer: ECHO_ANSWER, backend: ECHO_BACKEND };

const PROTOCOLS: Record<Protocol, number> = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP };

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
    echo: ECHOES[config.echo],
    index: buildServiceIndex(config.services.map(serviceKey)),
    services,
    resetsOnExpiry: services.some(({ resetsOnExpiry }) => resetsOnExpiry),
    routesQuic: services.some(({ quic }) => quic !== null),
  };
}

function serviceState(service: ServiceConfig, i: number, input: ForwardingInput): ServiceState {
  const { layout, places, tables } = input.prepared;
  const vip = addressWords(service.vip);
  const serviceBase = layout.serviceBase[i];
  return {
    name: service.name,
    connections: places.services[i].connections,
    hashKind: HASH_KINDS[service.hash],
    vip,
    isIpv6: vip.length > 1,
    protocol: PROTOCOLS[service.protocol],
    acceptsIpOptions: service.ipOptions === 'accept',
    mssClamp: clampOf(service),
    fragments: service.tooBig === 'fragment',
    quic: quicRoutesOf(service, i, input.prepared),
    onMiss: ON_MISS[service.onMiss],
    resetsOnExpiry: service.onExpiry === 'reset' && service.conntrack.enabled,
    encap: ENCAPS[service.encap],
    lookupTable: tables[i].slots,
    rotation: rotationOf(service, tables[i].serving, places.services[i].backends),
    conntrack: service.conntrack.enabled ? service.conntrack : null,
    hops: nextHopsOf(service, i, input),
    exitBase: layout.exitBase[i],
    serviceBase,
    missSlot: serviceBase + (service.protocol === 'udp' ? SERVICE_DATAGRAM_MISSES : SERVICE_NON_SYN_MISSES),
  };
}

function quicRoutesOf({ quic, backends }: ServiceConfig, i: number, prepared: Prepared): QuicRoutes | null {
  if (quic === null) return null;
  const places = prepared.places.services[i];
  const servers = backends.flatMap(({ name, serverId }, place) =>
    serverId === undefined || isForsaken(prepared, i, name)
      ? []
      : [{ serverId: Uint8Array.from(Buffer.from(serverId, 'hex')), backend: places.backends[place].index }],
  );
  return createQuicRoutes([{ ...quic, servers }], prepared.config.hashSeed | 0);
}

function clampOf({ mssClamp, encap }: ServiceConfig): number {
  // L2 takes nothing from a packet's room.
  if (mssClamp === 'auto') return encap === 'l2' ? 0 : MSS_THAT_FITS;
  return mssClamp === 'off' ? 0 : mssClamp;
}

function isSame(a: ServiceState, b: ServiceState): boolean {
  const { lookupTable: tableA, ...restA } = a;
  const { lookupTable: tableB, ...restB } = b;
  return tableA === tableB && isDeepStrictEqual(restA, restB);
}

function serviceKey(service: ServiceConfig): ServiceKey {
  return {
    vip: addressWords(service.vip),
    firstPort: service.ports.first,
    lastPort: service.ports.last,
    protocol: PROTOCOLS[service.protocol],
  };
}

function nextHopsOf(service: ServiceConfig, index: number, { prepared, hopOf, ownMac }: ForwardingInput): NextHops {
  const places = prepared.places.services[index];
  const counters = prepared.layout.backendBase[index];
  const hops = createNextHops(rowCount(places));
  const encapsulation = encapsulationOf(service);
  for (const [i, { name, address }] of service.backends.entries()) {
    if (isForsaken(prepared, index, name)) continue;
    const row = places.backends[i].index;
    openRow(hops, row, counters[i]);
    const hop = hopOf(address);
    if (hop === undefined) continue;
    setNextHop(hops, row, encapsulation, { ...hop, ownMac, destination: addressBytes(address) });
  }
  return hops;
}

/** How a service's packets travel. Also for what looks at the way beside the packets (doctor/). */
export function encapsulationOf({ vip, encap, gue, varySource, outerTtl }: ServiceConfig): Encapsulation {
  return {
    encap: ENCAPS[encap],
    family: vip.includes(':') ? 6 : 4,
    ttl: outerTtl === 'copy' ? COPY_TTL : outerTtl,
    varySource,
    gue: gue ?? { port: GUE_PORT, variant: 0 },
  };
}

/** An address as packets have it, in words loaded little-endian. */
function addressWords(text: string): number[] {
  const bytes = addressBytes(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getInt32(4 * i, true));
}
