/**
 * What the steering programs look packets up in: a BPF map of the services and their VIPs, and the instructions that all of
 * them share. io/xdp-steering.ts and io/tap-steering.ts put a program around it.
 */
import { createMap, deleteFromMap, MAP_LOOKUP_ELEM, updateMap } from './bpf.ts';
import { alu, type Code, call, jump, jumpIf, label, load, loadMap, networkOrder16, store } from './bpf-assembler.ts';
import { closeDescriptor } from './ffi.ts';
import { DESTINATION_AT, FRAGMENT_AT, PROTOCOL_AT } from './xdp-ipv4.ts';

export const STEERING_COUNTERS = ['toSocket', 'otherPort', 'noSocket'] as const;

/**
 * `toSocket`: a worker's socket got it. `otherPort`: for a VIP, but none of its services; the kernel's. `noSocket`: of a
 * service, but its receive queue has no socket; the kernel's.
 */
export type SteeringCounters = Record<(typeof STEERING_COUNTERS)[number], number>;

/** What goes to the sockets: 4 bytes of address, the IP protocol's number, the destination port. */
export interface SteeredService {
  readonly address: Uint8Array;
  readonly protocol: number;
  readonly port: number;
}

/** What the balancer needs of any way to bring packets to its workers. */
export interface ServiceSteering {
  /** Replaces the set of services; those in both sets are steered without a gap. */
  setServices(services: readonly SteeredService[]): void;
  counters(): SteeringCounters;
  /** Gives the descriptors back; an attachment keeps the program and its maps until it is detached. */
  close(): void;
}

export interface ServiceMap {
  readonly fd: number;
  setServices(services: readonly SteeredService[]): void;
  close(): void;
}

/** Struct of the map's key: address:4, port:2 in network order, protocol:1, zero:1. Port 0 marks a VIP. */
const KEY_SIZE = 8;
export const KEY_AT = -8;
const KEY_PORT_AT = -4;
const KEY_PROTOCOL_AT = -2;

/** Keys in the map at once, old and new services together while they are exchanged. */
const MAX_KEYS = 16384;

export function createServiceMap(): ServiceMap {
  const fd = createMap({ name: 'hushlb_services', type: 'hash', keySize: KEY_SIZE, valueSize: 4, entries: MAX_KEYS });
  const present = Buffer.alloc(4);
  let steered = new Map<string, Buffer>();
  return {
    fd,
    setServices(services) {
      const wanted = serviceKeys(services);
      if (wanted.size > MAX_KEYS / 2) {
        throw new RangeError(`steering: at most ${MAX_KEYS / 2} VIPs and services together, got ${wanted.size}`);
      }
      for (const [name, key] of wanted) if (!steered.has(name)) updateMap(fd, key, present);
      for (const [name, key] of steered) if (!wanted.has(name)) deleteFromMap(fd, key);
      steered = wanted;
    },
    close: () => closeDescriptor(fd),
  };
}

/** r0 = the service map's value for the key on the stack, 0 when there is none. */
function lookUpKey(serviceMapFd: number): Code {
  return [loadMap('r1', serviceMapFd), alu('r2', '=', 'r10'), alu('r2', '+=', KEY_AT), call(MAP_LOOKUP_ELEM)];
}

export interface ServiceLookup {
  readonly serviceMapFd: number;
  /** Brings the destination port, in network order, into r1; may change r1 to r5. Jumps to `pass` where there is none. */
  readonly loadPort: Code;
  /** Counts a packet for a VIP that is for none of its services. */
  readonly countOtherPort: Code;
}

/**
 * With r7 the start of the frame and r9 the bytes of the IPv4 header (io/xdp-ipv4.ts): goes on behind it for a packet of a
 * service, and for a fragment without ports to a VIP; jumps to `pass` for all else. The key stands on the stack.
 */
export function findService({ serviceMapFd, loadPort, countOtherPort }: ServiceLookup): Code {
  return [
    load('u32', 'r1', 'r7', DESTINATION_AT),
    store('u32', 'r10', KEY_AT, 'r1'),
    store('u32', 'r10', KEY_PORT_AT, 0),
    load('u8', 'r1', 'r7', PROTOCOL_AT),
    store('u8', 'r10', KEY_PROTOCOL_AT, 'r1'),

    load('u16', 'r1', 'r7', FRAGMENT_AT),
    jumpIf('r1', '&', networkOrder16(0x1fff), 'fragment'),

    loadPort,
    // A packet to port 0 must not match the key that marks a VIP.
    jumpIf('r1', '==', 0, 'other-port'),
    store('u16', 'r10', KEY_PORT_AT, 'r1'),
    lookUpKey(serviceMapFd),
    jumpIf('r0', '!=', 0, 'service'),

    store('u16', 'r10', KEY_PORT_AT, 0),
    label('other-port'),
    lookUpKey(serviceMapFd),
    jumpIf('r0', '==', 0, 'pass'),
    countOtherPort,
    jump('pass'),

    label('fragment'),
    lookUpKey(serviceMapFd),
    jumpIf('r0', '==', 0, 'pass'),
    label('service'),
  ];
}

function serviceKey(address: Uint8Array, protocol: number, port: number): Buffer {
  const key = Buffer.alloc(KEY_SIZE);
  key.set(address);
  key.writeUInt16BE(port, 4);
  key.writeUInt8(protocol, 6);
  return key;
}

/** The keys of the services and of the VIPs that they stand on, without repetition. */
function serviceKeys(services: readonly SteeredService[]): Map<string, Buffer> {
  const keys = services.flatMap(({ address, protocol, port }) => [
    serviceKey(address, protocol, port),
    serviceKey(address, protocol, 0),
  ]);
  return new Map(keys.map((key) => [key.toString('hex'), key]));
}
