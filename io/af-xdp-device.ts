/**
 * The AF_XDP packet device: one socket on one receive queue, frames in memory shared with the kernel.
 *
 * A worker thread creates it and calls receive and send in turn. The memory (UMEM) is cut into chunks of `frameSize`
 * bytes, one frame each; a chunk is at any time in exactly one place, and `checkFrames` looks whether that holds:
 *
 *     free stack | kernel's receive side (fill, rx) | batch | kernel's transmit side (tx, completion)
 *
 * The steering program (xdp-steering.ts) sends packets here through the XSKMAP that the device enters itself into. All
 * of it goes away with the process; a worker must `close` the device before it ends while the process lives on.
 */
import { updateMap } from './bpf.ts';
import { createFrameBatch, type PacketDevice, RELEASE, TRANSMIT } from './device.ts';
import { errno, lastErrno, mapAnonymous, poll, read, recv, SystemCallError, sendto } from './ffi.ts';
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
import { openXskSocket, readXskStatistics, type XskStatistics } from './xsk-socket.ts';

/** XDP_PACKET_HEADROOM of linux/bpf.h: the kernel leaves it free in every chunk. */
const HEADROOM = 256;

const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
/** POLLERR, POLLHUP and POLLNVAL. */
const POLL_FAILED = 0x38;

/** System calls of one `send` at most, to move its frames out in copy mode: 32 frames each before Linux 6.17. */
const MAX_KICKS = 4;

export interface AfXdpOptions {
  readonly interfaceIndex: number;
  /** Receive queue, from 0. */
  readonly queue: number;
  /** XSKMAP of the steering program. */
  readonly socketMapFd: number;
  /** A power of two: half of the frames for receiving, half for sending. */
  readonly frameCount?: number;
  /** Bytes. 2048 hold the headroom and 1792 bytes of packet, which does for an MTU of 1500. */
  readonly frameSize?: 2048 | 4096;
  readonly batchSize?: number;
  /** Ends a `receive` that waits, with no frame (io/wake.ts). */
  readonly wakeFd?: number;
  /** `auto`: where the driver can. Say false when the XDP program is attached in generic mode. */
  readonly zeroCopy?: 'auto' | false;
}

export interface AfXdpDevice extends PacketDevice {
  readonly zeroCopy: boolean;
  readonly mode: 'zero-copy' | 'copy';
  /** TRANSMIT frames that were released instead: the TX ring was full, or they did not lie within their chunk. */
  readonly txDropped: number;
  /** PASS frames that were released instead: AF_XDP cannot give a packet back to the kernel. */
  readonly passUnsupported: number;
  statistics(): XskStatistics;
  /** For tests, while no traffic flows: the number of frames in each place. Throws when one is lost or in two. */
  checkFrames(): { free: number; receiving: number; inBatch: number; sending: number };
}

/**
 * Opens the device and enters it into the XSKMAP. Throws SystemCallError with advice, as `openXskSocket` does, and from
 * `receive`: ENXIO when the interface was removed, ENETDOWN while it is down.
 */
export function createAfXdpDevice(options: AfXdpOptions): AfXdpDevice {
  const { interfaceIndex, queue, socketMapFd, wakeFd = -1, zeroCopy = 'auto' } = options;
  const { frameCount = 4096, frameSize = 2048, batchSize = 64 } = options;
  if (frameCount < 64 || (frameCount & (frameCount - 1)) !== 0 || batchSize > frameCount / 2) {
    throw new RangeError(`af-xdp: frameCount ${frameCount} is not a power of two from 64 on, or less than two batches`);
  }
  const ringSize = frameCount / 2;
  const chunkMask = ~(frameSize - 1);
  const socket = openXskSocket({ interfaceIndex, queue, frameCount, frameSize, ringSize, zeroCopy });
  const { fd, umem } = socket;
  const { fill, completion, rx, tx } = socket.rings;
  // A zero-copy driver sends by itself once it is awake.
  const maxKicks = socket.zeroCopy ? 1 : MAX_KICKS;

  const batch = createFrameBatch(batchSize);
  const { offset, length, action } = batch;
  /** Chunks of the batch, kept apart from the offsets, which the forwarder moves. */
  const chunk = new Uint32Array(batchSize);
  let inBatch = 0;
  let closed = false;
  const free = new Uint32Array(frameCount);
  let freeCount = 0;
  const counters = new Float64Array(2);
  const TX_DROPPED = 0;
  const PASS_UNSUPPORTED = 1;

  // struct pollfd {int fd; short events, revents}, of the socket and of the wake-up (poll leaves out a negative fd); then
  // room for what a wake-up reads.
  const pollMemory = mapAnonymous(24);
  const pollAddress = pollMemory.address;
  const wokenAddress = pollAddress + 16n;
  new Int32Array(pollMemory.buffer, 0, 1)[0] = fd;
  new Int32Array(pollMemory.buffer, 8, 1)[0] = wakeFd;
  const pollEvents = new Int16Array(pollMemory.buffer, 4, 2);
  const wakeEvents = new Int16Array(pollMemory.buffer, 12, 2);
  pollEvents[0] = POLLIN;
  wakeEvents[0] = POLLIN;

  for (; freeCount < frameCount; freeCount++) free[freeCount] = freeCount * frameSize;
  refill();
  updateMap(socketMapFd, bytes32(queue), bytes32(fd));

  // Hot path: no allocation, no throw, no closure, no await. (`wait` throws once the interface is gone.)

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
      offset[i] = address;
      length[i] = lengthAt(rx, start + i);
      action[i] = RELEASE;
      chunk[i] = address & chunkMask;
    }
    if (count !== 0) release(rx, start + count);
    inBatch = count;
    batch.count = count;
    return count;
  }

  /** Has the kernel send what lies in the TX ring. What it refuses for now (EAGAIN, EBUSY, ENOBUFS) waits there. */
  function flush(): void {
    for (let kicks = 0; kicks < maxKicks && pendingIn(tx) !== 0 && needsWakeup(tx); kicks++) {
      sendto(fd, null, 0, MSG_DONTWAIT, null, 0);
    }
  }

  function wait(timeoutMs: number): void {
    // poll has the kernel try again what it refused to send: soon, not only when the next packet comes.
    const timeout = Math.max(0, pendingIn(tx) === 0 ? timeoutMs : Math.min(timeoutMs, 1));
    pollEvents[1] = 0;
    const ready = poll(pollAddress, 2, timeout);
    if (wakeEvents[1] !== 0) read(wakeFd, wokenAddress, 8);
    if (ready > 0 && (pollEvents[1] & POLL_FAILED) === 0) return;
    if (ready < 0 && lastErrno() === errno.EINTR) return;
    // poll tells nothing about an interface that went away (Linux 6.18); recv does.
    if (ready < 0 || recv(fd, null, 0, MSG_DONTWAIT) < 0) {
      const reason = lastErrno();
      if (reason !== errno.EAGAIN && reason !== errno.EBUSY) throw receiveError(socket.interfaceName, reason);
    }
  }

  function receive(timeoutMs: number): number {
    // A batch that was never sent.
    while (inBatch > 0) free[freeCount++] = chunk[--inBatch];
    reclaim();
    refill();
    if (take() !== 0) return inBatch;
    wait(timeoutMs);
    reclaim();
    refill();
    return take();
  }

  function send(): void {
    const start = producerOf(tx);
    const room = ringSize - ((start - consumerOf(completion)) >>> 0);
    let queued = 0;
    for (let i = 0; i < inBatch; i++) {
      // A descriptor that leaves its chunk would be thrown away by the kernel, and its frame with it.
      const inside = length[i] > 0 && offset[i] >= chunk[i] && offset[i] + length[i] <= chunk[i] + frameSize;
      if (action[i] === TRANSMIT && inside && queued < room) {
        setDescriptor(tx, start + queued++, offset[i], length[i]);
        continue;
      }
      if (action[i] !== RELEASE) counters[action[i] === TRANSMIT ? TX_DROPPED : PASS_UNSUPPORTED]++;
      free[freeCount++] = chunk[i];
    }
    inBatch = 0;
    batch.count = 0;
    if (queued !== 0) publish(tx, start + queued);
    flush();
  }

  function append(frameLength: number): number {
    if (inBatch === batchSize || freeCount === 0 || frameLength > frameSize - HEADROOM) return -1;
    const row = inBatch++;
    chunk[row] = free[--freeCount];
    offset[row] = chunk[row] + HEADROOM;
    length[row] = frameLength;
    action[row] = TRANSMIT;
    batch.count = inBatch;
    return row;
  }

  // End of the hot path.

  function checkFrames() {
    const seen = new Set<number>();
    const see = (address: number) => {
      const base = (address & chunkMask) >>> 0;
      if (seen.has(base) || base >= frameCount * frameSize) throw new Error(`frame ${base} is in two places`);
      seen.add(base);
    };
    const seeRing = (ring: Ring) => {
      for (let i = pendingIn(ring); i > 0; i--) see(addressAt(ring, producerOf(ring) - i));
    };
    free.subarray(0, freeCount).forEach(see);
    chunk.subarray(0, inBatch).forEach(see);
    for (const ring of [fill, rx, tx, completion]) seeRing(ring);
    const receiving = (producerOf(fill) - consumerOf(rx)) >>> 0;
    const sending = (producerOf(tx) - consumerOf(completion)) >>> 0;
    const total = freeCount + receiving + inBatch + sending;
    if (total !== frameCount) throw new Error(`${total} frames are accounted for, not ${frameCount}`);
    return { free: freeCount, receiving, inBatch, sending };
  }

  return {
    name: 'af-xdp',
    view: new DataView(umem.buffer),
    batch,
    headroom: HEADROOM,
    zeroCopy: socket.zeroCopy,
    mode: socket.zeroCopy ? 'zero-copy' : 'copy',
    get txDropped() {
      return counters[TX_DROPPED];
    },
    get passUnsupported() {
      return counters[PASS_UNSUPPORTED];
    },
    receive,
    send,
    append,
    statistics: () => readXskStatistics(fd),
    checkFrames,
    close() {
      if (closed) return;
      closed = true;
      socket.close();
      pollMemory.unmap();
    },
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
