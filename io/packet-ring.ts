/**
 * Opening a packet socket (AF_PACKET) for af-packet-device.ts: memory, receive ring, filter, fanout. All of it is cold but `touchSlots`.
 * Everything ends with `close` or with the process.
 *
 * ```
 *   memory  | slot 0 | slot 1 | …  shared with the kernel  | frames of the device's own |
 *   slot    | status, lengths, tag | free for outer headers, and for the tag; offloads | frame | unused |
 * ```
 *
 * The ring is TPACKET_V2's (linux/if_packet.h), which hands over each packet as it comes, and what is to be sent goes by
 * sendmmsg(2): both measured beside their alternatives (docs/decisions/0007-packet-sockets.md). A socket of its own sends:
 * in front of what goes through the first the kernel would want the header of offloads, too.
 */
import { PRIVILEGE_ADVICE } from './bpf.ts';
import { explainedBy } from './explained.ts';
import {
  bindSocket,
  closeDescriptor,
  errno,
  getSocketOption,
  type Mapping,
  mapAnonymous,
  mapSharedInto,
  openSocket,
  setSocketOption,
} from './ffi.ts';
import { OFFLOADS_LENGTH } from './offloads.ts';
import {
  AF_PACKET,
  BLOCK_SIZE,
  interfaceAddress,
  PACKET_RX_RING,
  PACKET_STATISTICS,
  PACKET_VERSION,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_PACKET,
  TP_STATUS,
  TP_STATUS_USER,
  TPACKET_V2,
  words,
} from './packet-socket.ts';
import { requireLink } from './xdp.ts';

/** asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_ATTACH_FILTER = 26;
const SO_ATTACH_BPF = 50;

const PACKET_COPY_THRESH = 7;
const PACKET_RESERVE = 12;
const PACKET_VNET_HDR = 15;
const PACKET_FANOUT = 18;
const PACKET_QDISC_BYPASS = 20;
const PACKET_IGNORE_OUTGOING = 23;

/** struct tpacket2_hdr and the struct sockaddr_ll behind it. */
export const SLOT_HEADER = 52;

/** Bytes that the kernel is told to leave in front of header and frame; 14 more come from how it aligns the packet. */
const RESERVED = 104;
/** Where frames begin in a slot, right behind the header that tells of offloads. */
export const FRAME_AT = SLOT_HEADER + RESERVED + OFFLOADS_LENGTH + 14;
/** A VLAN tag, which the kernel takes off and the device puts back in front of the rest. */
export const TAG_LENGTH = 4;
export const HEADROOM = FRAME_AT - SLOT_HEADER - TAG_LENGTH;
export const SLOT_SIZE = 2048;
/** Of a frame, in a slot: an Ethernet header ends where the packet is aligned to 16 bytes. */
export const MAX_FRAME = SLOT_SIZE - FRAME_AT;

/** Words of a slot, in the two cache lines that hold offloads and packet headers: 60 bytes are the smallest frame's. */
const OFFLOADS_WORD = (FRAME_AT - OFFLOADS_LENGTH) >> 2;
const HEADERS_WORD = (FRAME_AT + 56) >> 2;

const SLOTS_PER_BLOCK = BLOCK_SIZE / SLOT_SIZE;

/** What may be on its way at a time; a full transmit queue drops before that. */
const SEND_BUFFER = 8 * 1024 * 1024;
/** For packets that are longer than a slot, 64 KiB at most each. */
const RECEIVE_BUFFER = 16 * 1024 * 1024;

// Hot path: no allocation, no throw, no closure, no await.

/**
 * Loads what a batch will read of each of its slots, from slot `first` on to the first that is the kernel's. Another core has just
 * written them; the processor has a dozen of this tight loop's cache misses under way at once, where the batch and the send
 * would wait for one after the other. The number has no meaning; the caller must use it, or the loads are optimised away.
 */
export function touchSlots(ring: Int32Array, first: number, ringSize: number, batchSize: number): number {
  let touched = 0;
  let slot = first;
  for (let i = 0; i < batchSize; i++) {
    const word = (slot * SLOT_SIZE) >> 2;
    if ((ring[word + TP_STATUS / 4] & TP_STATUS_USER) === 0) break;
    touched ^= ring[word + OFFLOADS_WORD] ^ ring[word + HEADERS_WORD];
    slot = slot + 1 < ringSize ? slot + 1 : 0;
  }
  return touched;
}

// End of the hot path.

export interface PacketRingOptions {
  readonly interfaceIndex: number;
  /** Socket filter (io/tap-steering.ts). */
  readonly filterFd: number;
  /** Slots of the ring, a multiple of 32. */
  readonly ringSize: number;
  /** Frames of SLOT_SIZE bytes behind the ring. */
  readonly ownFrames: number;
  /** Sockets of one group share the packets out by flow: a number from 1 to 65535. Null for a socket by itself. */
  readonly fanoutGroup: number | null;
}

export interface PacketRing {
  /** Receives; what is longer than a slot, by recv(2). Both begin with the header of io/offloads.ts. */
  readonly fd: number;
  /** Sends. */
  readonly sendFd: number;
  readonly interfaceName: string;
  /** The ring, then the device's own frames. */
  readonly memory: Mapping;
  /** Packets that found no free slot, since the last call. */
  takeDropped(): number;
  close(): void;
}

/**
 * Throws SystemCallError: EPERM without the privilege, ENODEV when there is no such interface, ENOMEM when there is no memory
 * for the ring.
 */
export function openPacketRing(options: PacketRingOptions): PacketRing {
  const { interfaceIndex, filterFd, ringSize, ownFrames, fanoutGroup } = options;
  if (ringSize <= 0 || ringSize % SLOTS_PER_BLOCK !== 0) {
    throw new RangeError(`af-packet: ringSize ${ringSize} is not a multiple of ${SLOTS_PER_BLOCK}`);
  }
  const { name } = requireLink(interfaceIndex);
  // Of protocol 0 until it is bound, or packets of all interfaces would come first.
  const open = () =>
    explained(`open packet socket for ${name}`, () => openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  const fd = open();
  let sendFd = -1;
  const ringBytes = ringSize * SLOT_SIZE;
  const memory = mapAnonymous(ringBytes + ownFrames * SLOT_SIZE);
  const setOf = (socket: number, step: string, level: number, option: number, value: Uint8Array) =>
    explained(step, () => setSocketOption(socket, level, option, value));
  const set = (step: string, level: number, option: number, value: Uint8Array) => setOf(fd, step, level, option, value);
  try {
    set('set PACKET_VERSION', SOL_PACKET, PACKET_VERSION, words(TPACKET_V2));
    set('set PACKET_RESERVE', SOL_PACKET, PACKET_RESERVE, words(RESERVED));
    set('set PACKET_VNET_HDR', SOL_PACKET, PACKET_VNET_HDR, words(1));
    set('set PACKET_COPY_THRESH', SOL_PACKET, PACKET_COPY_THRESH, words(1));
    set('set SO_RCVBUFFORCE', SOL_SOCKET, SO_RCVBUFFORCE, words(RECEIVE_BUFFER));
    const ring = words(BLOCK_SIZE, ringBytes / BLOCK_SIZE, SLOT_SIZE, ringSize);
    set(`open a ring of ${ringBytes} bytes`, SOL_PACKET, PACKET_RX_RING, ring);
    mapSharedInto(fd, ringBytes, memory);
    set('set PACKET_IGNORE_OUTGOING', SOL_PACKET, PACKET_IGNORE_OUTGOING, words(1));
    // It gets everything once it is bound, and only a bound socket can join a group: nothing until it has.
    setSocketOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, refuseAll(memory));
    // To all protocols: only taps of all come before the guard.
    explained(`bind packet socket to ${name}`, () => bindSocket(fd, interfaceAddress(interfaceIndex)));
    if (fanoutGroup !== null) set(`join fanout group ${fanoutGroup}`, SOL_PACKET, PACKET_FANOUT, words(fanoutGroup));
    set('attach the socket filter', SOL_SOCKET, SO_ATTACH_BPF, words(filterFd));
    const sender = open();
    sendFd = sender;
    setOf(sender, 'set PACKET_QDISC_BYPASS', SOL_PACKET, PACKET_QDISC_BYPASS, words(1));
    setOf(sender, 'set SO_SNDBUFFORCE', SOL_SOCKET, SO_SNDBUFFORCE, words(SEND_BUFFER));
    explained(`bind packet socket to ${name}`, () => bindSocket(sender, interfaceAddress(interfaceIndex, 0)));
  } catch (error) {
    for (const socket of [fd, sendFd]) if (socket >= 0) closeDescriptor(socket);
    memory.unmap();
    throw error;
  }
  // struct tpacket_stats {u32 packets, drops}
  const statistics = new Uint32Array(2);
  return {
    fd,
    sendFd,
    interfaceName: name,
    memory,
    takeDropped() {
      getSocketOption(fd, SOL_PACKET, PACKET_STATISTICS, statistics);
      return statistics[1]; // the kernel starts anew from 0 at each call
    },
    close() {
      closeDescriptor(fd);
      closeDescriptor(sendFd);
      memory.unmap();
    },
  };
}

const explained = explainedBy({
  [errno.EPERM]: PRIVILEGE_ADVICE,
  [errno.EAFNOSUPPORT]: 'this kernel is built without packet sockets (CONFIG_PACKET)',
  [errno.ENOMEM]: 'no memory for the ring',
  [errno.ENETDOWN]: 'the interface is down: `ip link set dev … up`',
});

/** struct sock_fprog {u16 length; struct sock_filter *} of one `return 0`, which is written behind the ring for a moment. */
function refuseAll({ address, buffer }: Mapping): Uint8Array {
  const BPF_RET = 0x06;
  const at = buffer.byteLength - 8;
  new DataView(buffer).setUint16(at, BPF_RET, true);
  const program = Buffer.alloc(16);
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(address + BigInt(at), 8);
  return program;
}
