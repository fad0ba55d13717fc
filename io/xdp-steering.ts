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
import { createMap, loadProgram, REDIRECT_MAP, XDP_MD_RX_QUEUE_INDEX, XDP_PASS, XDP_REDIRECT } from './bpf.ts';
import { alu, assemble, type Code, call, exit, jumpIf, label, load, loadMap } from './bpf-assembler.ts';
import { type BpfCounters, createBpfCounters } from './bpf-counters.ts';
import { closeDescriptor } from './ffi.ts';
import {
  createServiceMap,
  findService,
  type ServiceSteering,
  STEERING_COUNTERS,
  type SteeringCounters,
} from './service-map.ts';
import { ETHERNET_LENGTH, ipv4Prologue } from './xdp-ipv4.ts';

export interface Steering extends ServiceSteering {
  readonly programFd: number;
  /** XSKMAP: receive queue to AF_XDP socket. */
  readonly socketMapFd: number;
}

/** From the start of the layer 4 header; TCP and UDP alike. */
const DESTINATION_PORT_AT = 2;
const PORTS_LENGTH = 4;

/** The registers are the prologue's. */
const loadPort: Code = [
  alu('r7', '+=', 'r9'),
  alu('r1', '=', 'r7'),
  alu('r1', '+=', ETHERNET_LENGTH + PORTS_LENGTH),
  jumpIf('r1', '>', 'r8', 'pass'),
  load('u16', 'r1', 'r7', ETHERNET_LENGTH + DESTINATION_PORT_AT),
];

/**
 * IPv6 is a second parser at `pass` for ethertype 0x86dd, with a map of 20-byte keys, that jumps to `service` too.
 */
function steeringProgram(
  serviceMapFd: number,
  socketMapFd: number,
  counters: BpfCounters<keyof SteeringCounters>,
): Code {
  return [
    ipv4Prologue('pass'),
    findService({ serviceMapFd, loadPort, countOtherPort: counters.increment('otherPort') }),
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

/** Loads the program with no service yet. Throws SystemCallError (EPERM: run as root …). */
export function createSteering({ queueCount }: { queueCount: number }): Steering {
  const services = createServiceMap();
  const socketMapFd = createMap({
    name: 'hushlb_sockets',
    type: 'xskmap',
    keySize: 4,
    valueSize: 4,
    entries: queueCount,
  });
  const counters = createBpfCounters('hushlb_steering', STEERING_COUNTERS);
  const programFd = loadProgram('hushlb_steering', assemble(steeringProgram(services.fd, socketMapFd, counters)));

  return {
    programFd,
    socketMapFd,
    setServices: services.setServices,
    counters: counters.read,
    close() {
      for (const fd of [programFd, socketMapFd]) closeDescriptor(fd);
      services.close();
      counters.close();
    },
  };
}
