/**
 * One receive queue of an AF_XDP device: its socket, its rings and its chunks of the frame memory. af-xdp-device.ts drives
 * one or several of them in turn.
 *
 * The chunks are `frameSize` bytes, one frame each; a chunk is at any time in exactly one place, and `checkFrames` looks
 * whether that holds:
 *
 *     free stack | kernel's receive side (fill, rx) | batch | kernel's transmit side (tx, completion)
 *
 * The batch is the device's and belongs to one queue at a time: to the one that filled it, until that one has sent it. In
 * the batch places are offsets into the device's whole memory, in the rings into this queue's part of it (`base` apart).
 */
import { updateMap } from './bpf.ts';
import { type FrameBatch, RELEASE, TRANSMIT } from './device.ts';
import { errno, lastErrno, recv, SystemCallError, sendto } from './ffi.ts';
import {
  addressAt,
  consumerOf,
  lengthAt,
  needsWakeup,
  pendingIn,
  producerOf,
  publish,
  type Ring,
  release,
  setAddress,
  setDescriptor,
} from './xsk-rings.ts';
import { openXskSocket, readXskStatistics, type XskSocketOptions, type XskStatistics } from './xsk-socket.ts';

/** XDP_PACKET_HEADROOM of linux/bpf.h: the kernel leaves it free in every chunk. */
export const HEADROOM = 256;

const MSG_DONTWAIT = 0x40;

/** System calls of one `send` at most, to move its frames out in copy mode: 32 frames each before Linux 6.17. */
const MAX_KICKS = 4;

export interface XskQueueOptions extends XskSocketOptions {
  /** XSKMAP of the steering program. */
  readonly socketMapFd: number;
  /** Where this queue's memory begins in the device's, in bytes. */
  readonly base: number;
  readonly batch: FrameBatch;
  /** Chunks of the batch, kept apart from the offsets, which the forwarder moves. */
  readonly chunk: Uint32Array;
}

/** Where a queue's frames are. */
export interface FramePlaces {
  readonly free: number;
  readonly receiving: number;
  readonly inBatch: number;
  readonly sending: number;
}

export interface XskQueue {
  readonly queue: number;
  readonly fd: number;
  readonly zeroCopy: boolean;
  /** Fills the batch with what has arrived and returns its count, without waiting. */
  receive(): number;
  /** Carries out `batch.action`. */
  send(): void;
  /** Takes back a batch that was never sent. */
  discard(): void;
  /** As `PacketDevice.append`. */
  append(frameLength: number): number;
  /** Frames wait for the kernel to take them. */
  hasUnsent(): boolean;
  /** Asks the kernel for nothing but how the interface is; with busy polling it polls the queue here (`xsk_recvmsg`). */
  touch(): void;
  /** Throws where the interface is down or gone. */
  refuseDead(): void;
  readonly txDropped: number;
  readonly passUnsupported: number;
  statistics(): XskStatistics;
  checkFrames(): FramePlaces;
  /** The memory must stay until after it. */
  close(): void;
}

/** Opens the queue's socket and enters it into the XSKMAP. Throws SystemCallError, as `openXskSocket` does. */
export function openXskQueue(options: XskQueueOptions): XskQueue {
  const { queue, frameCount, frameSize, ringSize, base, batch, chunk, socketMapFd } = options;
  const chunkMask = ~(frameSize - 1);
  const socket = openXskSocket(options);
  const { fd } = socket;
  const { fill, completion, rx, tx } = socket.rings;
  // A zero-copy driver sends by itself once it is awake.
  const maxKicks = socket.zeroCopy ? 1 : MAX_KICKS;

  const { offset, length, action } = batch;
  const batchSize = batch.capacity;
  let inBatch = 0;
  const free = new Uint32Array(frameCount);
  let freeCount = 0;
  const counters = new Float64Array(2);
  const TX_DROPPED = 0;
  const PASS_UNSUPPORTED = 1;

  for (; freeCount < frameCount; freeCount++) free[freeCount] = freeCount * frameSize;
  refill();
  try {
    updateMap(socketMapFd, bytes32(queue), bytes32(fd));
  } catch (error) {
    socket.close();
    throw error;
  }

  // Hot path: no allocation, no throw, no closure, no await. (`refuseDead` throws once the interface is gone.)

  /** Takes back the frames that went out. */
  function reclaim(): void {
    const start = consumerOf(completion);
    const count = (producerOf(completion) - start) >>> 0;
    for (let i = 0; i < count; i++) free[freeCount++] = addressAt(completion, start + i) & chunkMask;
    if (count !== 0) release(completion, start + count);
  }

  /** Gives the kernel free frames to receive into, up to the receive side's half. */
  function refill(): void {
    const start = producerOf(fill);
    const receiving = (start - consumerOf(rx)) >>> 0;
    const count = Math.min(ringSize - receiving, freeCount);
    for (let i = 0; i < count; i++) setAddress(fill, start + i, free[--freeCount]);
    if (count !== 0) publish(fill, start + count);
  }

  /** Moves received frames into the batch. */
  function take(): number {
    const start = consumerOf(rx);
    const count = Math.min(pendingIn(rx), batchSize);
    for (let i = 0; i < count; i++) {
      const address = addressAt(rx, start + i);
      offset[i] = base + address;
      length[i] = lengthAt(rx, start + i);
      action[i] = RELEASE;
      chunk[i] = base + (address & chunkMask);
    }
    if (count !== 0) release(rx, start + count);
    inBatch = count;
    batch.count = count;
    return count;
  }

  function receive(): number {
    reclaim();
    refill();
    return take();
  }

  function discard(): void {
    while (inBatch > 0) free[freeCount++] = chunk[--inBatch] - base;
    batch.count = 0;
  }

  /** Has the kernel send what lies in the TX ring. What it refuses for now (EAGAIN, EBUSY, ENOBUFS) waits there. */
  function flush(): void {
    for (let kicks = 0; kicks < maxKicks && pendingIn(tx) !== 0 && needsWakeup(tx); kicks++) {
      sendto(fd, null, 0, MSG_DONTWAIT, null, 0);
    }
  }

  function send(): void {
    const start = producerOf(tx);
    const room = ringSize - ((start - consumerOf(completion)) >>> 0);
    let queued = 0;
    for (let i = 0; i < inBatch; i++) {
      // A descriptor that leaves its chunk would be thrown away by the kernel, and its frame with it.
      const inside = length[i] > 0 && offset[i] >= chunk[i] && offset[i] + length[i] <= chunk[i] + frameSize;
      if (action[i] === TRANSMIT && inside && queued < room) {
        setDescriptor(tx, start + queued++, offset[i] - base, length[i]);
        continue;
      }
      if (action[i] !== RELEASE) counters[action[i] === TRANSMIT ? TX_DROPPED : PASS_UNSUPPORTED]++;
      free[freeCount++] = chunk[i] - base;
    }
    inBatch = 0;
    batch.count = 0;
    if (queued !== 0) publish(tx, start + queued);
    flush();
  }

  function append(frameLength: number): number {
    if (inBatch === batchSize || freeCount === 0 || frameLength > frameSize - HEADROOM) return -1;
    const row = inBatch++;
    chunk[row] = base + free[--freeCount];
    offset[row] = chunk[row] + HEADROOM;
    length[row] = frameLength;
    action[row] = TRANSMIT;
    batch.count = inBatch;
    return row;
  }

  function hasUnsent(): boolean {
    return pendingIn(tx) !== 0;
  }

  function touch(): void {
    recv(fd, null, 0, MSG_DONTWAIT);
  }

  function refuseDead(): void {
    if (recv(fd, null, 0, MSG_DONTWAIT) >= 0) return;
    const reason = lastErrno();
    if (reason !== errno.EAGAIN && reason !== errno.EBUSY) throw receiveError(socket.interfaceName, reason);
  }

  // End of the hot path.

  function checkFrames(): FramePlaces {
    const seen = new Set<number>();
    const see = (address: number) => {
      const start = (address & chunkMask) >>> 0;
      if (seen.has(start) || start >= frameCount * frameSize) throw new Error(`frame ${start} is in two places`);
      seen.add(start);
    };
    const seeRing = (ring: Ring) => {
      for (let i = pendingIn(ring); i > 0; i--) see(addressAt(ring, producerOf(ring) - i));
    };
    free.subarray(0, freeCount).forEach(see);
    for (let i = 0; i < inBatch; i++) see(chunk[i] - base);
    for (const ring of [fill, rx, tx, completion]) seeRing(ring);
    const receiving = (producerOf(fill) - consumerOf(rx)) >>> 0;
    const sending = (producerOf(tx) - consumerOf(completion)) >>> 0;
    const total = freeCount + receiving + inBatch + sending;
    if (total !== frameCount) throw new Error(`${total} frames are accounted for, not ${frameCount}`);
    return { free: freeCount, receiving, inBatch, sending };
  }

  return {
    queue,
    fd,
    zeroCopy: socket.zeroCopy,
    receive,
    send,
    discard,
    append,
    hasUnsent,
    touch,
    refuseDead,
    get txDropped() {
      return counters[TX_DROPPED];
    },
    get passUnsupported() {
      return counters[PASS_UNSUPPORTED];
    },
    statistics: () => readXskStatistics(fd),
    checkFrames,
    close: () => socket.close(),
  };
}

function bytes32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function receiveError(name: string, reason: number): SystemCallError {
  const advice =
    reason === errno.ENETDOWN ? `${name} is down: \`ip link set dev ${name} up\`` : `${name} is gone or was reset`;
  return new SystemCallError('receive from AF_XDP socket', reason, advice);
}
