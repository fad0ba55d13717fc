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
 * (io/xdp-steering.ts); tagged frames, whose tag lies beside the frame and not in it, and frames for another host are
 * the kernel's too. The main thread creates it, attaches the guard with attachTapGuard, and gives `filterFd` to the
 * workers, whose devices attach it.
 */
import { loadProgram, SKB_LOAD_BYTES, SKB_PACKET_TYPE, SKB_VLAN_PRESENT, TCX_DROP, TCX_NEXT } from './bpf.ts';
import { alu, assemble, type Code, call, exit, jumpIf, label, load } from './bpf-assembler.ts';
import { createBpfCounters } from './bpf-counters.ts';
import { closeDescriptor } from './ffi.ts';
import { createServiceMap, findService, type ServiceSteering, STEERING_COUNTERS } from './service-map.ts';
import { ETHERNET_LENGTH, IPV4_MIN_LENGTH, ipv4HeaderLength } from './xdp-ipv4.ts';

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

/** On the stack, the frame so that its addresses are aligned. */
const FRAME_AT = -46;
const PORTS_AT = -52;
const PORTS_LENGTH = 4;

/** r0 = 0 and `length` bytes of the packet, from r2 on, stand at `at` of the stack; or it has not so many. */
function copyToStack(at: number, length: number): Code {
  return [
    alu('r1', '=', 'r6'),
    alu('r3', '=', 'r10'),
    alu('r3', '+=', at),
    alu('r4', '=', length),
    call(SKB_LOAD_BYTES),
    jumpIf('r0', '!=', 0, 'pass'),
  ];
}

const loadPort: Code = [
  alu('r2', '=', 'r9'),
  alu('r2', '+=', ETHERNET_LENGTH),
  copyToStack(PORTS_AT, PORTS_LENGTH),
  load('u16', 'r1', 'r10', PORTS_AT + 2),
];

interface Variant {
  readonly ofService: number;
  readonly other: number;
  readonly countToSocket: Code;
  readonly countOtherPort: Code;
}

/** In a packet socket's filter as at TC ingress, byte 0 of the packet is the Ethernet header's first. */
function tapProgram(serviceMapFd: number, { ofService, other, countToSocket, countOtherPort }: Variant): Code {
  return [
    alu('r6', '=', 'r1'),
    load('u32', 'r1', 'r6', SKB_PACKET_TYPE),
    jumpIf('r1', '!=', FOR_THIS_HOST, 'pass'),
    load('u32', 'r1', 'r6', SKB_VLAN_PRESENT),
    jumpIf('r1', '!=', 0, 'pass'),
    alu('r2', '=', 0),
    copyToStack(FRAME_AT, ETHERNET_LENGTH + IPV4_MIN_LENGTH),
    alu('r7', '=', 'r10'),
    alu('r7', '+=', FRAME_AT),
    ipv4HeaderLength('pass'),
    findService({ serviceMapFd, loadPort, countOtherPort }),
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
  const filter = tapProgram(services.fd, {
    ofService: WHOLE_PACKET,
    other: NOTHING,
    countToSocket: counters.increment('toSocket'),
    countOtherPort: counters.increment('otherPort'),
  });
  const guard = tapProgram(services.fd, {
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
