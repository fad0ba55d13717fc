/**
 * The four rings of an AF_XDP socket, mapped into JavaScript: af-xdp-device.ts moves frames through them.
 *
 *            free frames                                   frames to send
 *                 |                                              |
 *                 v  producer: us                                v  producer: us
 *      +--------------------+                         +--------------------+
 *      | fill               |  address                | tx                 |  address, length
 *      +--------------------+                         +--------------------+
 *                 |  consumer: kernel                            |  consumer: kernel
 *                 v                                              v
 *        ~ ~ ~ kernel writes a packet into it ~ ~ ~     ~ ~ ~ kernel sends it ~ ~ ~
 *                 |                                              |
 *                 v  producer: kernel                            v  producer: kernel
 *      +--------------------+                         +--------------------+
 *      | rx                 |  address, length        | completion         |  address
 *      +--------------------+                         +--------------------+
 *                 |  consumer: us                                |  consumer: us
 *                 v                                              v
 *          received frames                                  free frames
 *
 * Producer and consumer are 32-bit counters that run freely; the entry is `counter & mask`. Each side writes its own
 * and reads the other's with Atomics, which orders the entries before the counter. Addresses are byte offsets into the
 * UMEM, below 4 GiB here, so the high word of an entry stays 0. Layout: linux/if_xdp.h.
 */
import { getSocketOption, type Mapping, mapShared, setSocketOption } from './ffi.ts';

export const SOL_XDP = 283;
const XDP_MMAP_OFFSETS = 1;
const XDP_RX_RING = 2;
const XDP_TX_RING = 3;
const XDP_UMEM_FILL_RING = 5;
const XDP_UMEM_COMPLETION_RING = 6;

const RX_PAGE_OFFSET = 0;
const TX_PAGE_OFFSET = 0x8000_0000;
const FILL_PAGE_OFFSET = 0x1_0000_0000;
const COMPLETION_PAGE_OFFSET = 0x1_8000_0000;

/** Words of an entry, as shifts: fill and completion hold {u64 address}, rx and tx {u64 address, u32 length, u32}. */
const ADDRESS_SHIFT = 1;
const DESCRIPTOR_SHIFT = 2;
const DESCRIPTOR_LENGTH_WORD = 2;

const XDP_RING_NEED_WAKEUP = 1;

export interface Ring {
  /** The whole mapping in 32-bit words; the next four are indexes into it. */
  readonly words: Uint32Array;
  readonly producer: number;
  readonly consumer: number;
  readonly flags: number;
  readonly entries: number;
  /** Words of an entry, as a shift. */
  readonly shift: number;
  /** Number of entries - 1. */
  readonly mask: number;
}

export interface XskRings {
  readonly fill: Ring;
  readonly completion: Ring;
  readonly rx: Ring;
  readonly tx: Ring;
  unmap(): void;
}

/** The kernel's struct xdp_mmap_offsets: four rings of producer, consumer, desc and flags, 8 bytes each. */
const RING_OFFSETS_LENGTH = 32;

/** Creates and maps the rings of a socket that is not bound yet, `size` entries each (a power of two). */
export function openXskRings(fd: number, size: number): XskRings {
  const entries = Buffer.alloc(4);
  entries.writeUInt32LE(size);
  for (const option of [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING]) {
    setSocketOption(fd, SOL_XDP, option, entries);
  }
  const offsets = Buffer.alloc(4 * RING_OFFSETS_LENGTH);
  getSocketOption(fd, SOL_XDP, XDP_MMAP_OFFSETS, offsets);
  const mappings: Mapping[] = [];
  const open = (index: number, pageOffset: number, shift: number): Ring => {
    const [producer, consumer, desc, flags] = [0, 8, 16, 24].map((field) =>
      Number(offsets.readBigUInt64LE(index * RING_OFFSETS_LENGTH + field)),
    ) as [number, number, number, number];
    const mapping = mapShared(fd, desc + (size << (shift + 2)), pageOffset);
    mappings.push(mapping);
    return {
      words: new Uint32Array(mapping.buffer),
      producer: producer >>> 2,
      consumer: consumer >>> 2,
      flags: flags >>> 2,
      entries: desc >>> 2,
      shift,
      mask: size - 1,
    };
  };
  return {
    rx: open(0, RX_PAGE_OFFSET, DESCRIPTOR_SHIFT),
    tx: open(1, TX_PAGE_OFFSET, DESCRIPTOR_SHIFT),
    fill: open(2, FILL_PAGE_OFFSET, ADDRESS_SHIFT),
    completion: open(3, COMPLETION_PAGE_OFFSET, ADDRESS_SHIFT),
    unmap() {
      for (const mapping of mappings) mapping.unmap();
    },
  };
}

// Hot path: no allocation, no throw, no closure, no await.

export function producerOf(ring: Ring): number {
  return Atomics.load(ring.words, ring.producer);
}

export function consumerOf(ring: Ring): number {
  return Atomics.load(ring.words, ring.consumer);
}

/** Hands the entries before `counter` to the kernel (fill, tx). */
export function publish(ring: Ring, counter: number): void {
  Atomics.store(ring.words, ring.producer, counter >>> 0);
}

/** Hands the entries before `counter` back to the kernel as free (rx, completion). */
export function release(ring: Ring, counter: number): void {
  Atomics.store(ring.words, ring.consumer, counter >>> 0);
}

/** Entries that the producer wrote and the consumer did not take yet. */
export function pendingIn(ring: Ring): number {
  return (producerOf(ring) - consumerOf(ring)) >>> 0;
}

export function addressAt(ring: Ring, counter: number): number {
  return ring.words[ring.entries + ((counter & ring.mask) << ring.shift)];
}

/** Of rx and tx only. */
export function lengthAt(ring: Ring, counter: number): number {
  return ring.words[ring.entries + ((counter & ring.mask) << ring.shift) + DESCRIPTOR_LENGTH_WORD];
}

export function setAddress(ring: Ring, counter: number, address: number): void {
  ring.words[ring.entries + ((counter & ring.mask) << ring.shift)] = address;
}

export function setDescriptor(ring: Ring, counter: number, address: number, length: number): void {
  const word = ring.entries + ((counter & ring.mask) << DESCRIPTOR_SHIFT);
  ring.words[word] = address;
  ring.words[word + DESCRIPTOR_LENGTH_WORD] = length;
}

/** The kernel sleeps and wants a system call before it looks at the ring (fill, tx). */
export function needsWakeup(ring: Ring): boolean {
  return (Atomics.load(ring.words, ring.flags) & XDP_RING_NEED_WAKEUP) !== 0;
}
