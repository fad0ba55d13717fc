/**
 * What goes over an interface, both ways, with the kernel's wall-clock time: the lab's eyes at each host.
 *
 *   kernel ──► slot 0 │ slot 1 │ slot 2 │ …        one slot a packet: tpacket2_hdr, sockaddr_ll, the frame's first bytes
 *                ▲ TP_STATUS_USER: ours to read, then handed back with TP_STATUS_KERNEL
 *
 * An AF_PACKET socket with a TPACKET_V2 receive ring (linux/if_packet.h, Documentation/networking/packet_mmap.rst).
 * Reading is a walk through shared memory, without a system call. Packets that find no free slot are lost and counted.
 */
import {
  bindSocket,
  closeDescriptor,
  getSocketOption,
  type Mapping,
  mapShared,
  openSocket,
  setSocketOption,
} from './ffi.ts';
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
  TP_LEN,
  TP_MAC,
  TP_SNAPLEN,
  TP_STATUS,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TPACKET_V2,
  words,
} from './packet-socket.ts';

const PACKET_OUTGOING = 4;

/** More of struct tpacket2_hdr, and of the struct sockaddr_ll behind it. */
const TP_SEC = 16;
const TP_NSEC = 20;
const SLL_PKTTYPE = 32 + 10;
/** The frame's network header starts here in a slot, so its first byte does not come later. */
const TP_NET = 80;

export interface CapturedPacket {
  /** A copy of the frame's first `snapLength` bytes at most, from the Ethernet header on. */
  readonly bytes: Uint8Array;
  /** Since 1970, from the clock that all captures of the machine share. */
  readonly timestampNs: bigint;
  /** True when this host sent it. */
  readonly outgoing: boolean;
  /** Length of the frame on the wire. */
  readonly originalLength: number;
}

export interface Capture {
  /** Hands over what is in the ring, at most one ring full, without waiting; returns how many packets that were. */
  read(onPacket: (packet: CapturedPacket) => void): number;
  /** Packets lost since the capture was opened, because the ring was full. */
  dropped(): number;
  close(): void;
}

export interface CaptureOptions {
  /** Interface index in the caller's network namespace. */
  readonly interface: number;
  readonly snapLength?: number;
  /** Slots of the ring, rounded up to fill its blocks. */
  readonly frameCount?: number;
}

/**
 * Starts to capture in the network namespace of the calling thread. Throws SystemCallError: EPERM without CAP_NET_RAW,
 * ENODEV for an interface that does not exist, ENOMEM for a ring that is too large.
 */
export function openCapture(options: CaptureOptions): Capture {
  const { snapLength = 256, frameCount = 4096 } = options;
  // A power of two tiles the blocks without gaps, so the ring is one array of slots.
  const slotSize = 2 ** Math.ceil(Math.log2(TP_NET + snapLength));
  const blockSize = Math.max(BLOCK_SIZE, slotSize);
  const blockCount = Math.ceil((frameCount * slotSize) / blockSize);
  const slotCount = (blockCount * blockSize) / slotSize;

  // Protocol 0 until the ring stands, or packets of all interfaces would come first.
  const fd = openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  let ring: Mapping;
  try {
    setSocketOption(fd, SOL_PACKET, PACKET_VERSION, words(TPACKET_V2));
    setSocketOption(fd, SOL_PACKET, PACKET_RX_RING, words(blockSize, blockCount, slotSize, slotCount));
    ring = mapShared(fd, blockCount * blockSize, 0);
    bindSocket(fd, interfaceAddress(options.interface));
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }

  const bytes = new Uint8Array(ring.buffer);
  const view = new DataView(ring.buffer);
  const status = new Uint32Array(ring.buffer);
  let next = 0;
  let dropped = 0;
  let open = true;

  function packetAt(slot: number): CapturedPacket {
    const start = slot + view.getUint16(slot + TP_MAC, true);
    const length = Math.min(view.getUint32(slot + TP_SNAPLEN, true), snapLength);
    const seconds = BigInt(view.getUint32(slot + TP_SEC, true));
    return {
      bytes: bytes.slice(start, start + length),
      timestampNs: seconds * 1_000_000_000n + BigInt(view.getUint32(slot + TP_NSEC, true)),
      outgoing: bytes[slot + SLL_PKTTYPE] === PACKET_OUTGOING,
      originalLength: view.getUint32(slot + TP_LEN, true),
    };
  }

  return {
    read(onPacket) {
      let count = 0;
      while (open && count < slotCount) {
        const slot = next * slotSize;
        const word = (slot + TP_STATUS) >> 2;
        if ((Atomics.load(status, word) & TP_STATUS_USER) === 0) break;
        const packet = packetAt(slot);
        Atomics.store(status, word, TP_STATUS_KERNEL);
        next = (next + 1) % slotCount;
        count++;
        onPacket(packet);
      }
      return count;
    },

    dropped() {
      if (open) {
        const statistics = Buffer.alloc(8);
        getSocketOption(fd, SOL_PACKET, PACKET_STATISTICS, statistics);
        dropped += statistics.readUInt32LE(4); // the kernel starts anew from 0 at each call
      }
      return dropped;
    },

    close() {
      if (!open) return;
      open = false;
      ring.unmap();
      closeDescriptor(fd);
    },
  };
}
