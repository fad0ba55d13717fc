/**
 * The AF_XDP packet device: a socket for each of one or several receive queues of an interface, frames in memory shared
 * with the kernel.
 *
 * A worker thread creates it and calls receive and send in turn. A batch comes from one queue (xsk-queue.ts) and goes out
 * of the same; the queues take turns, so that a full one keeps none of the others waiting for longer than a batch:
 *
 * ```
 *   queue 0 ─► fill, rx ─┐ in turn            ┌─► tx, completion ─► queue 0
 *   queue 1 ─► fill, rx ─┴─► batch ─► walk ───┴─► tx, completion ─► queue 1        of the queue that it came from
 *
 *   memory  | chunks of queue 0 | chunks of queue 1 |                              one view over all of it
 * ```
 *
 * The steering program (xdp-steering.ts) sends packets here through the XSKMAP that each queue enters itself into. All
 * of it goes away with the process; a worker must `close` the device before it ends while the process lives on.
 */
import { createFrameBatch, type PacketDevice } from './device.ts';
import { errno, lastErrno, mapAnonymous, poll, read } from './ffi.ts';
import { type FramePlaces, HEADROOM, openXskQueue, type XskQueue } from './xsk-queue.ts';
import type { BusyPoll, XskStatistics, ZeroCopy } from './xsk-socket.ts';

const POLLIN = 1;
/** POLLERR, POLLHUP and POLLNVAL. */
const POLL_FAILED = 0x38;

/** struct pollfd {int fd; short events, revents}, in 16-bit words. */
const POLLFD_BYTES = 8;
const POLLFD_WORDS = 4;
const EVENTS = 2;
const REVENTS = 3;

/** Bytes of frames of all queues of a device: offsets stay small integers to V8. */
export const MAX_MEMORY = 2 ** 30;

const FRAME_SIZE = 2048;

/** Frames of a queue whose rings hold `ringSize`. */
export function framesOf(ringSize: number): number {
  return 2 * ringSize;
}

/** Bytes of them, of the size that frames have unless asked for another. */
export function frameMemory(ringSize: number): number {
  return framesOf(ringSize) * FRAME_SIZE;
}

export interface AfXdpOptions {
  readonly interfaceIndex: number;
  /** Receive queues, from 0; each gets a socket and frames of its own. */
  readonly queues: readonly number[];
  /** XSKMAP of the steering program. */
  readonly socketMapFd: number;
  /** Of each queue, a power of two: half of the frames for receiving, half for sending, and rings of that half. */
  readonly frameCount?: number;
  /** Bytes. 2048 hold the headroom and 1792 bytes of packet, which does for an MTU of 1500. */
  readonly frameSize?: 2048 | 4096;
  readonly batchSize?: number;
  /** Ends a `receive` that waits, with no frame (io/wake.ts). */
  readonly wakeFd?: number;
  /** `auto`: where the driver can. Say `off` when the XDP program is attached in generic mode. */
  readonly zeroCopy?: ZeroCopy;
  /** Null: `receive` sleeps at once where nothing has arrived. */
  readonly busyPoll?: BusyPoll | null;
}

/** What is known of one queue by itself. */
export interface AfXdpQueue {
  readonly queue: number;
  /** TRANSMIT frames that were released instead: the TX ring was full, or they did not lie within their chunk. */
  readonly txDropped: number;
  /** PASS frames that were released instead: AF_XDP cannot give a packet back to the kernel. */
  readonly passUnsupported: number;
  statistics(): XskStatistics;
  /** For tests, while no traffic flows: the number of frames in each place. Throws when one is lost or in two. */
  checkFrames(): FramePlaces;
}

export interface AfXdpDevice extends PacketDevice {
  /** Of all queues. */
  readonly zeroCopy: boolean;
  /** In the order of the options. */
  readonly queues: readonly AfXdpQueue[];
}

/**
 * Opens the device and enters it into the XSKMAP. Throws SystemCallError with advice, as `openXskSocket` does, and from
 * `receive`: ENXIO when the interface was removed, ENETDOWN while it is down.
 */
export function createAfXdpDevice(options: AfXdpOptions): AfXdpDevice {
  const { interfaceIndex, socketMapFd, wakeFd = -1, zeroCopy = 'auto', busyPoll = null } = options;
  const { frameCount = 4096, frameSize = FRAME_SIZE, batchSize = 64 } = options;
  if (frameCount < 64 || (frameCount & (frameCount - 1)) !== 0 || batchSize > frameCount / 2) {
    throw new RangeError(`af-xdp: frameCount ${frameCount} is not a power of two from 64 on, or less than two batches`);
  }
  const queueCount = options.queues.length;
  const queueBytes = frameCount * frameSize;
  if (queueCount === 0 || queueCount * queueBytes > MAX_MEMORY) {
    throw new RangeError(`af-xdp: ${queueCount} queues with ${queueBytes} bytes of frames each`);
  }
  const memory = mapAnonymous(queueCount * queueBytes);
  const batch = createFrameBatch(batchSize);
  const chunk = new Uint32Array(batchSize);
  const queues: XskQueue[] = [];
  const closeQueues = (): void => {
    for (const queue of queues) queue.close();
    memory.unmap();
  };
  try {
    for (const [i, queue] of options.queues.entries()) {
      const base = i * queueBytes;
      const place = { base, memoryAddress: memory.address + BigInt(base), batch, chunk };
      const settings = { frameCount, frameSize, ringSize: frameCount / 2, zeroCopy, busyPoll };
      queues.push(openXskQueue({ interfaceIndex, queue, socketMapFd, ...settings, ...place }));
    }
  } catch (error) {
    closeQueues();
    throw error;
  }
  let closed = false;
  /** The queue that the batch is of, and whose turn is over. */
  let active = queues[0];
  let turn = 0;
  const busyPollMs = busyPoll === null ? 0 : busyPoll.us / 1000;

  // What poll(2) reads: the sockets, then the wake-up (poll leaves out a negative descriptor); and room for what a
  // wake-up reads.
  const pollMemory = mapAnonymous(POLLFD_BYTES * (queueCount + 2));
  const pollAddress = pollMemory.address;
  const wokenAddress = pollAddress + BigInt(POLLFD_BYTES * (queueCount + 1));
  const pollWords = new Int16Array(pollMemory.buffer);
  const wakeEvents = queueCount * POLLFD_WORDS + REVENTS;
  for (const [i, fd] of [...queues.map((queue) => queue.fd), wakeFd].entries()) {
    new Int32Array(pollMemory.buffer, i * POLLFD_BYTES, 1)[0] = fd;
    pollWords[i * POLLFD_WORDS + EVENTS] = POLLIN;
  }

  // Hot path: no allocation, no throw, no closure, no await. (`wait` throws once the interface is gone.)

  /** Fills the batch from the next queue that has something. */
  function takeTurns(): number {
    for (let i = 0; i < queueCount; i++) {
      turn = turn + 1 < queueCount ? turn + 1 : 0;
      active = queues[turn];
      const count = active.receive();
      if (count !== 0) return count;
    }
    return 0;
  }

  /** Polls the queues' NAPI on this thread, as long as it was told, before it sleeps. */
  function spin(): number {
    const end = performance.now() + busyPollMs;
    do {
      for (let i = 0; i < queueCount; i++) queues[i].touch();
      const count = takeTurns();
      if (count !== 0) return count;
    } while (performance.now() < end);
    return 0;
  }

  function wait(timeoutMs: number): void {
    let timeout = Math.max(0, timeoutMs);
    let failed = false;
    for (let i = 0; i < queueCount; i++) {
      // poll has the kernel try again what it refused to send: soon, not only when the next packet comes.
      if (queues[i].hasUnsent()) timeout = Math.min(timeout, 1);
      pollWords[i * POLLFD_WORDS + REVENTS] = 0;
    }
    const ready = poll(pollAddress, queueCount + 1, timeout);
    if (pollWords[wakeEvents] !== 0) read(wakeFd, wokenAddress, 8);
    for (let i = 0; i < queueCount; i++) failed ||= (pollWords[i * POLLFD_WORDS + REVENTS] & POLL_FAILED) !== 0;
    if (ready > 0 && !failed) return;
    if (ready < 0 && lastErrno() === errno.EINTR) return;
    // poll tells nothing about an interface that went away (Linux 6.18); recv does.
    queues[0].refuseDead();
  }

  function receive(timeoutMs: number): number {
    active.discard();
    const count = takeTurns();
    if (count !== 0) return count;
    if (busyPollMs > 0 && timeoutMs > 0) {
      const found = spin();
      if (found !== 0) return found;
    }
    wait(timeoutMs);
    return takeTurns();
  }

  function send(): void {
    active.send();
  }

  function append(frameLength: number): number {
    return active.append(frameLength);
  }

  // End of the hot path.

  return {
    name: 'af-xdp',
    view: new DataView(memory.buffer),
    batch,
    headroom: HEADROOM,
    zeroCopy: queues.every((queue) => queue.zeroCopy),
    queues,
    receive,
    send,
    append,
    close() {
      if (closed) return;
      closed = true;
      closeQueues();
      pollMemory.unmap();
    },
  };
}
