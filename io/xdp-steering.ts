/**
 * The steering program: an XDP program that hands the packets of configured services to AF_XDP sockets and leaves
 * everything else (ssh, ARP, ICMP, other ports, health checks) to the kernel.
 *
 *     not IPv4, or header damaged                       -> kernel
 *     (destination, protocol, port) is a service        -> socket of the receive queue
 *     fragment without ports, destination is a VIP      -> socket of the receive queue: it gets its verdict there
 *     other port of a VIP                               -> kernel, counted
 *
 * The main thread creates it, attaches `programFd` with attachXdp and gives `socketMapFd` to the workers, whose devices
 * enter themselves. A queue without a socket passes its packets to the kernel and counts them: for a VIP that is local
 * the kernel answers those with RST, so attach after the workers are ready.
 */
import {
  createMap,
  deleteFromMap,
  loadProgram,
  MAP_LOOKUP_ELEM,
  REDIRECT_MAP,
  updateMap,
  XDP_MD_RX_QUEUE_INDEX,
  XDP_PASS,
  XDP_REDIRECT,
} from './bpf.ts';
import {
  alu,
  assemble,
  type Code,
  call,
  exit,
  jump,
  jumpIf,
  label,
  load,
  loadMap,
  networkOrder16,
  store,
} from './bpf-assembler.ts';
import { type BpfCounters, createBpfCounters } from './bpf-counters.ts';
import { closeDescriptor } from './ffi.ts';
import { DESTINATION_AT, ETHERNET_LENGTH, FRAGMENT_AT, ipv4Prologue, PROTOCOL_AT } from './xdp-ipv4.ts';

const COUNTERS = ['toSocket', 'otherPort', 'noSocket'] as const;

/**
 * `toSocket`: redirected. `otherPort`: for a VIP, but none of its services; passed. `noSocket`: of a service, but its
 * receive queue has no socket; passed.
 */
export type SteeringCounters = Record<(typeof COUNTERS)[number], number>;

/** What goes to the sockets: 4 bytes of address, the IP protocol's number, the destination port. */
export interface SteeredService {
  readonly address: Uint8Array;
  readonly protocol: number;
  readonly port: number;
}

export interface Steering {
  readonly programFd: number;
  /** XSKMAP: receive queue to AF_XDP socket. */
  readonly socketMapFd: number;
  /** Replaces the set of services; those in both sets are steered without a gap. */
  setServices(services: readonly SteeredService[]): void;
  counters(): SteeringCounters;
  /** Gives the descriptors back; an attachment keeps the program and its maps until it is detached. */
  close(): void;
}

/** Struct of the service map's key: address:4, port:2 in network order, protocol:1, zero:1. Port 0 marks a VIP. */
const KEY_SIZE = 8;
const KEY_AT = -8;
const KEY_PORT_AT = -4;
const KEY_PROTOCOL_AT = -2;

/** Keys in the map at once, old and new services together while they are exchanged. */
const MAX_KEYS = 16384;

/** From the start of the layer 4 header; TCP and UDP alike. */
const DESTINATION_PORT_AT = 2;
const PORTS_LENGTH = 4;

/** r0 = the service map's value for the key on the stack, 0 when there is none. */
function lookUpKey(serviceMapFd: number): Code {
  return [loadMap('r1', serviceMapFd), alu('r2', '=', 'r10'), alu('r2', '+=', KEY_AT), call(MAP_LOOKUP_ELEM)];
}

/**
 * The registers are the prologue's; the key stands on the stack.
 *
 * IPv6 is a second parser at `pass` for ethertype 0x86dd, with a map of 20-byte keys, that jumps to `socket` too.
 */
function steeringProgram(
  serviceMapFd: number,
  socketMapFd: number,
  counters: BpfCounters<keyof SteeringCounters>,
): Code {
  return [
    ipv4Prologue('pass'),

    load('u32', 'r1', 'r7', DESTINATION_AT),
    store('u32', 'r10', KEY_AT, 'r1'),
    store('u32', 'r10', KEY_PORT_AT, 0),
    load('u8', 'r1', 'r7', PROTOCOL_AT),
    store('u8', 'r10', KEY_PROTOCOL_AT, 'r1'),

    load('u16', 'r1', 'r7', FRAGMENT_AT),
    jumpIf('r1', '&', networkOrder16(0x1fff), 'fragment'),

    alu('r7', '+=', 'r9'),
    alu('r1', '=', 'r7'),
    alu('r1', '+=', ETHERNET_LENGTH + PORTS_LENGTH),
    jumpIf('r1', '>', 'r8', 'pass'),
    load('u16', 'r1', 'r7', ETHERNET_LENGTH + DESTINATION_PORT_AT),
    // A packet to port 0 must not match the key that marks a VIP.
    jumpIf('r1', '==', 0, 'other-port'),
    store('u16', 'r10', KEY_PORT_AT, 'r1'),
    lookUpKey(serviceMapFd),
    jumpIf('r0', '!=', 0, 'socket'),

    store('u16', 'r10', KEY_PORT_AT, 0),
    label('other-port'),
    lookUpKey(serviceMapFd),
    jumpIf('r0', '==', 0, 'pass'),
    counters.increment('otherPort'),
    jump('pass'),

    label('fragment'),
    lookUpKey(serviceMapFd),
    jumpIf('r0', '==', 0, 'pass'),

    label('socket'),
    loadMap('r1', socketMapFd),
    load('u32', 'r2', 'r6', XDP_MD_RX_QUEUE_INDEX),
    // What the helper returns when the queue has no socket.
    alu('r3', '=', XDP_PASS),
    call(REDIRECT_MAP),
    jumpIf('r0', '!=', XDP_REDIRECT, 'no-socket'),
    counters.increment('toSocket'),
    exit(),

    label('no-socket'),
    counters.increment('noSocket'),
    label('pass'),
    alu('r0', '=', XDP_PASS),
    exit(),
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

/** Loads the program with no service yet. Throws SystemCallError (EPERM: run as root …). */
export function createSteering({ queueCount }: { queueCount: number }): Steering {
  const serviceMapFd = createMap({
    name: 'hushlb_services',
    type: 'hash',
    keySize: KEY_SIZE,
    valueSize: 4,
    entries: MAX_KEYS,
  });
  const socketMapFd = createMap({
    name: 'hushlb_sockets',
    type: 'xskmap',
    keySize: 4,
    valueSize: 4,
    entries: queueCount,
  });
  const counters = createBpfCounters('hushlb_steering', COUNTERS);
  const programFd = loadProgram('hushlb_steering', assemble(steeringProgram(serviceMapFd, socketMapFd, counters)));
  const present = Buffer.alloc(4);
  let steered = new Map<string, Buffer>();

  return {
    programFd,
    socketMapFd,
    setServices(services) {
      const wanted = serviceKeys(services);
      if (wanted.size > MAX_KEYS / 2) {
        throw new RangeError(`steering: at most ${MAX_KEYS / 2} VIPs and services together, got ${wanted.size}`);
      }
      for (const [name, key] of wanted) if (!steered.has(name)) updateMap(serviceMapFd, key, present);
      for (const [name, key] of steered) if (!wanted.has(name)) deleteFromMap(serviceMapFd, key);
      steered = wanted;
    },
    counters: counters.read,
    close() {
      for (const fd of [programFd, socketMapFd, serviceMapFd]) closeDescriptor(fd);
      counters.close();
    },
  };
}
