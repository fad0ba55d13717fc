/**
 * What the steering programs look packets up in: BPF maps of the services and their VIPs. The programs' half is
 * io/steering-program.ts; io/xdp-steering.ts and io/tap-steering.ts put a program around it.
 *
 * ```
 *   hash    address, version, protocol, port   a service of one port: the common case, one probe
 *           address, version, protocol, 0      a VIP with services of this protocol; its flags say where else to look
 *           address, version, 0, 0             a VIP, for ICMP
 *   trie    address, version, protocol, and a prefix of the port: services of port ranges
 * ```
 */
import { createMap, deleteFromMap, updateMap } from './bpf.ts';
import { closeDescriptor } from './ffi.ts';
import { checkRange, isAllPorts, PORT_BITS, type PortRange, portPrefixes } from './port-prefixes.ts';

export const STEERING_COUNTERS = ['toSocket', 'otherPort', 'noSocket'] as const;

/**
 * `toSocket`: a worker's socket got it. `otherPort`: for a VIP, but none of its services; the kernel's. `noSocket`: for a
 * socket, but its receive queue has none; the kernel's.
 */
export type SteeringCounters = Record<(typeof STEERING_COUNTERS)[number], number>;

/** What goes to the sockets. */
export interface SteeredService {
  /** The VIP: 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The IP protocol's number: 6 or 17. */
  readonly protocol: number;
  /** Destination ports; up from 0 or 1 to 65535 for all of them, port 0 with them. */
  readonly ports: PortRange;
}

export interface SteeringOptions {
  /** Who answers echo requests to a VIP; they go to the sockets unless it is the kernel, as without this option. */
  readonly echo?: 'answer' | 'backend' | 'kernel';
}

/** What the balancer needs of any way to bring packets to its workers. */
export interface ServiceSteering {
  /**
   * Replaces the set of services; those in both sets are steered without a gap. Throws RangeError, and changes nothing then,
   * for too many of them or one that is none.
   */
  setServices(services: readonly SteeredService[], options?: SteeringOptions): void;
  counters(): SteeringCounters;
  /** Gives the descriptors back; an attachment keeps the program and its maps until it is detached. */
  close(): void;
}

export interface ServiceMap {
  readonly hashFd: number;
  readonly trieFd: number;
  setServices(services: readonly SteeredService[], options?: SteeringOptions): void;
  close(): void;
}

/**
 * Struct of the hash's key: address:16 (IPv4 in the first four bytes), version:1 (4 or 6), protocol:1, port:2 in network
 * order. The trie's has the number of bits that count in front of the same.
 */
export const KEY = { address: 0, version: 16, protocol: 17, port: 18, size: 20 } as const;
export const TRIE_BITS_SIZE = 4;
/** Bits of a trie's key that stand for a whole one. */
export const TRIE_KEY_BITS = KEY.size * 8;

/** Values of the hash: a service, or a VIP with what else is to be known of it. */
export const SERVICE = 1;
export const ALL_PORTS = 2;
export const PORT_RANGES = 4;
export const ECHO = 8;

/** Keys in a map at once, old and new services together while they are exchanged. */
const MAX_KEYS = 16384;
const MAX_PREFIXES = 65536;

const VALUE_SIZE = 4;

type Entries = Map<string, { readonly key: Uint8Array; readonly flags: number }>;

export function createServiceMap(): ServiceMap {
  const keySize = KEY.size;
  const hashFd = createMap({
    name: 'hushlb_services',
    type: 'hash',
    keySize,
    valueSize: VALUE_SIZE,
    entries: MAX_KEYS,
  });
  const trieFd = createMap({
    name: 'hushlb_ranges',
    type: 'lpm-trie',
    keySize: TRIE_BITS_SIZE + KEY.size,
    valueSize: VALUE_SIZE,
    entries: MAX_PREFIXES,
  });
  let ports: Entries = new Map();
  let prefixes: Entries = new Map();
  let vips: Entries = new Map();
  return {
    hashFd,
    trieFd,
    setServices(services, { echo = 'kernel' } = {}) {
      for (const service of services) check(service);
      const wantedPorts = portEntries(services);
      const wantedPrefixes = prefixEntries(services);
      const wantedVips = vipEntries(services, echo !== 'kernel');
      refuseMore('VIPs and services', wantedPorts.size + wantedVips.size, MAX_KEYS / 2);
      refuseMore('prefixes of port ranges', wantedPrefixes.size, MAX_PREFIXES / 2);
      // A VIP's flags lead to its ranges, so those come first and go last.
      add(hashFd, ports, wantedPorts);
      add(trieFd, prefixes, wantedPrefixes);
      add(hashFd, vips, wantedVips);
      remove(hashFd, vips, wantedVips);
      remove(trieFd, prefixes, wantedPrefixes);
      remove(hashFd, ports, wantedPorts);
      [ports, prefixes, vips] = [wantedPorts, wantedPrefixes, wantedVips];
    },
    close() {
      closeDescriptor(hashFd);
      closeDescriptor(trieFd);
    },
  };
}

function check({ address, ports }: SteeredService): void {
  if (address.length !== 4 && address.length !== 16) {
    throw new RangeError(`steering: expected an address of 4 or 16 bytes, got ${address.length}`);
  }
  checkRange(ports);
}

function refuseMore(what: string, count: number, limit: number): void {
  if (count > limit) throw new RangeError(`steering: at most ${limit} ${what} together, got ${count}`);
}

function add(mapFd: number, before: Entries, wanted: Entries): void {
  for (const [name, { key, flags }] of wanted) {
    if (before.get(name)?.flags !== flags) updateMap(mapFd, key, new Uint8Array(Uint32Array.of(flags).buffer));
  }
}

function remove(mapFd: number, before: Entries, wanted: Entries): void {
  for (const [name, { key }] of before) if (!wanted.has(name)) deleteFromMap(mapFd, key);
}

/** Entries without repetition: the flags of equal keys are added up. */
function entriesOf(list: readonly (readonly [key: Buffer, flags: number])[]): Entries {
  const entries: Entries = new Map();
  for (const [key, flags] of list) {
    const name = key.toString('hex');
    entries.set(name, { key, flags: flags | (entries.get(name)?.flags ?? 0) });
  }
  return entries;
}

const isOnePort = ({ ports }: SteeredService) => ports.first === ports.last;
/** Port 0 as well: in the hash it marks a VIP. */
const isInTrie = (service: SteeredService) =>
  !isAllPorts(service.ports) && (!isOnePort(service) || service.ports.first === 0);

function portEntries(services: readonly SteeredService[]): Entries {
  const inHash = services.filter((service) => isOnePort(service) && !isInTrie(service));
  return entriesOf(inHash.map((service) => [keyOf(service, service.protocol, service.ports.first), SERVICE]));
}

function prefixEntries(services: readonly SteeredService[]): Entries {
  return entriesOf(
    services.filter(isInTrie).flatMap((service) =>
      portPrefixes(service.ports).map(({ port, bits }) => {
        const bitsField = Buffer.alloc(TRIE_BITS_SIZE);
        bitsField.writeUInt32LE(TRIE_KEY_BITS - PORT_BITS + bits);
        return [Buffer.concat([bitsField, keyOf(service, service.protocol, port)]), SERVICE] as const;
      }),
    ),
  );
}

function vipEntries(services: readonly SteeredService[], echo: boolean): Entries {
  return entriesOf(
    services.flatMap((service) => {
      const where = (isAllPorts(service.ports) ? ALL_PORTS : 0) | (isInTrie(service) ? PORT_RANGES : 0);
      return [
        [keyOf(service, service.protocol, 0), SERVICE | where],
        [keyOf(service, 0, 0), SERVICE | (echo ? ECHO : 0)],
      ] as const;
    }),
  );
}

function keyOf({ address }: SteeredService, protocol: number, port: number): Buffer {
  const key = Buffer.alloc(KEY.size);
  key.set(address, KEY.address);
  key.writeUInt8(address.length === 4 ? 4 : 6, KEY.version);
  key.writeUInt8(protocol, KEY.protocol);
  key.writeUInt16BE(port, KEY.port);
  return key;
}
