/**
 * The steering program: an XDP program that hands packets for the configured services to AF_XDP sockets and leaves
 * everything else (ssh, ARP, other ports, health checks) to the kernel. What it says of which packet is in
 * io/steering-program.ts; it sees VLAN tags where the sender put them, unless the card takes them off.
 *
 * The main thread creates it, attaches `programFd` with attachXdp and gives `socketMapFd` to the workers, whose devices
 * enter themselves. A queue without a socket passes its packets to the kernel and counts them: for a VIP that is local
 * the kernel answers those with RST, so attach after the workers are ready.
 */
import {
  createMap,
  loadProgram,
  REDIRECT_MAP,
  XDP_MD_DATA,
  XDP_MD_DATA_END,
  XDP_MD_RX_QUEUE_INDEX,
  XDP_PASS,
  XDP_REDIRECT,
} from './bpf.ts';
import { alu, assemble, type Code, call, exit, jumpIf, label, load, loadMap } from './bpf-assembler.ts';
import { type BpfCounters, createBpfCounters } from './bpf-counters.ts';
import { closeDescriptor } from './ffi.ts';
import {
  createServiceMap,
  type ServiceMap,
  type ServiceSteering,
  STEERING_COUNTERS,
  type SteeringCounters,
} from './service-map.ts';
import { steeringProgram } from './steering-program.ts';

export interface Steering extends ServiceSteering {
  readonly programFd: number;
  /** XSKMAP: receive queue to AF_XDP socket. */
  readonly socketMapFd: number;
}

/** r7 is the start of the frame, r8 its end. */
function reach(length: number): Code {
  return [
    alu('r1', '=', 'r7'),
    alu('r1', '+=', 'r9'),
    alu('r2', '=', 'r1'),
    alu('r2', '+=', length),
    jumpIf('r2', '>', 'r8', 'pass'),
  ];
}

function xdpProgram(
  { hashFd, trieFd }: ServiceMap,
  socketMapFd: number,
  counters: BpfCounters<keyof SteeringCounters>,
): Code {
  return [
    alu('r6', '=', 'r1'),
    load('u32', 'r7', 'r6', XDP_MD_DATA),
    load('u32', 'r8', 'r6', XDP_MD_DATA_END),
    steeringProgram({ hashFd, trieFd, reach, passTakenTag: [], countOtherPort: counters.increment('otherPort') }),
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
  const programFd = loadProgram('hushlb_steering', assemble(xdpProgram(services, socketMapFd, counters)));

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
