/**
 * Steering for packet sockets, which get copies: a socket filter that lets the packets of configured services into the
 * workers' rings and nothing else, and its twin, a TCX program that drops the copy that the kernel keeps. Without it the
 * kernel answers for a VIP that is local and has no listener: RST, on connections that are a backend's.
 *
 * ```
 *   wire ─► packet sockets: filter ──service──► worker's ring
 *              │ every frame, always             other port of a VIP: counted
 *              ▼
 *           guard (TCX, or a rule of nftables) ──service──► dropped
 *              │ all else
 *              ▼
 *           the kernel's stack
 * ```
 *
 * Both look into one map, so what one takes the other drops. They say the same of a packet as the XDP program
 * (io/xdp-steering.ts), but that frames for another host are the kernel's. The first VLAN tag lies beside the frame here,
 * not in it. The main thread creates it, attaches the guard with attachTapGuard, and gives `filterFd` to the
 * workers, whose devices attach it.
 */
import { loadProgram, SKB_LOAD_BYTES, SKB_PACKET_TYPE, SKB_VLAN_PRESENT, TCX_DROP, TCX_NEXT } from './bpf.ts';
import { alu, assemble, type Code, call, exit, jumpIf, label, load } from './bpf-assembler.ts';
import { createBpfCounters } from './bpf-counters.ts';
import { closeDescriptor } from './ffi.ts';
import { createServiceMap, type ServiceMap, type ServiceSteering, STEERING_COUNTERS } from './service-map.ts';
import { STEERING_STACK_AT, steeringProgram } from './steering-program.ts';

export interface TapSteering extends ServiceSteering {
  /** A socket filter (SO_ATTACH_BPF). */
  readonly filterFd: number;
  /** A TCX program. */
  readonly guardFd: number;
}

/** PACKET_HOST of linux/if_packet.h: the frame has the interface's own address. */
const FOR_THIS_HOST = 0;

/** What a socket filter returns: how many bytes of the packet the socket gets. */
const WHOLE_PACKET = -1;
const NOTHING = 0;

/** On the stack: the longest header that is looked at. */
const HEADER_AT = STEERING_STACK_AT - 40;

/** Copies the bytes to the stack: they may lie anywhere in the kernel's buffer. */
function reach(length: number): Code {
  return [
    alu('r1', '=', 'r6'),
    alu('r2', '=', 'r9'),
    alu('r3', '=', 'r10'),
    alu('r3', '+=', HEADER_AT),
    alu('r4', '=', length),
    call(SKB_LOAD_BYTES),
    jumpIf('r0', '!=', 0, 'pass'),
    alu('r1', '=', 'r10'),
    alu('r1', '+=', HEADER_AT),
  ];
}

const passTakenTag: Code = [load('u32', 'r2', 'r6', SKB_VLAN_PRESENT), jumpIf('r2', '!=', 0, 'second-tag')];

interface Variant {
  readonly ofService: number;
  readonly other: number;
  readonly countToSocket: Code;
  readonly countOtherPort: Code;
}

/** In a packet socket's filter as at TC ingress, byte 0 of the packet is the Ethernet header's first. */
function tapProgram({ hashFd, trieFd }: ServiceMap, variant: Variant): Code {
  const { ofService, other, countToSocket, countOtherPort } = variant;
  return [
    alu('r6', '=', 'r1'),
    load('u32', 'r1', 'r6', SKB_PACKET_TYPE),
    jumpIf('r1', '!=', FOR_THIS_HOST, 'pass'),
    steeringProgram({ hashFd, trieFd, reach, passTakenTag, countOtherPort }),
    countToSocket,
    alu('r0', '=', ofService),
    exit(),

    label('pass'),
    alu('r0', '=', other),
    exit(),
  ];
}

/** Loads both programs with no service yet. Throws SystemCallError (EPERM: run as root …). */
export function createTapSteering(): TapSteering {
  const services = createServiceMap();
  const counters = createBpfCounters('hushlb_steering', STEERING_COUNTERS);
  const filter = tapProgram(services, {
    ofService: WHOLE_PACKET,
    other: NOTHING,
    countToSocket: counters.increment('toSocket'),
    countOtherPort: counters.increment('otherPort'),
  });
  const guard = tapProgram(services, {
    ofService: TCX_DROP,
    other: TCX_NEXT,
    countToSocket: [],
    countOtherPort: [],
  });
  const filterFd = loadProgram('hushlb_filter', assemble(filter), 'socket-filter');
  const guardFd = loadProgram('hushlb_guard', assemble(guard), 'tcx');

  return {
    filterFd,
    guardFd,
    setServices: services.setServices,
    counters: counters.read,
    close() {
      for (const fd of [filterFd, guardFd]) closeDescriptor(fd);
      services.close();
      counters.close();
    },
  };
}
