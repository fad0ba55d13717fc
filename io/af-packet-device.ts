/**
 * The AF_PACKET device: a packet socket on an interface, for kernels and drivers without AF_XDP. A worker thread creates it
 * and calls receive and send in turn.
 *
 * Frames are received into a ring that the kernel shares, forwarded where they lie, with outer headers written into the room
 * in front of them, and sent from there with one system call a batch; then their slots are the kernel's again. So a slot is
 * the kernel's or in the batch, and the batch is the ring's next slots in their order:
 *
 * ```
 *   ring    … kernel │ batch: row 0, row 1, row 2 │ received, not taken │ kernel …
 *                      ▲ first                      ▲ next
 *   own frames: those that are appended
 * ```
 *
 * Packet sockets get copies: io/tap-steering.ts says which, and keeps the kernel from answering the originals.
 */
import { createFrameBatch, type PacketDevice, RELEASE, TRANSMIT } from './device.ts';
import { errno, lastErrno, mapAnonymous, poll, read, recv, SystemCallError } from './ffi.ts';
import { createCutter, finishChecksum, MERGED, OFFLOADS_LENGTH, putTagBack, UNFINISHED } from './offloads.ts';
import {
  FRAME_AT,
  HEADROOM,
  MAX_FRAME,
  openPacketRing,
  SLOT_HEADER,
  SLOT_SIZE,
  TAG_LENGTH,
  touchSlots,
} from './packet-ring.ts';
import { createPacketSender } from './packet-sender.ts';
import {
  TP_LEN,
  TP_MAC,
  TP_SNAPLEN,
  TP_STATUS,
  TP_STATUS_COPY,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TP_STATUS_VLAN_VALID,
  TP_VLAN,
} from './packet-socket.ts';

const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
/** POLLERR, POLLHUP and POLLNVAL. */
const POLL_FAILED = 0x38;

const SLOT_WORDS = SLOT_SIZE / 4;

export interface AfPacketOptions {
  readonly interfaceIndex: number;
  /** Socket filter of the steering (io/tap-steering.ts). */
  readonly filterFd: number;
  /** Slots of the receive ring, a multiple of 32. */
  readonly ringSize?: number;
  readonly batchSize?: number;
  /** Ends a `receive` that waits, with no frame (io/wake.ts). */
  readonly wakeFd?: number;
  /** Devices of one group, on one interface, share the packets out by flow. */
  readonly fanoutGroup?: number | null;
}

export interface AfPacketStatistics {
  /** The ring was full. */
  readonly rxRingFull: number;
  /** Frames that are longer than a slot and can't be cut: an MTU beyond 1800, or segments merged of something but TCP and UDP. */
  readonly rxTooLong: number;
  /** TRANSMIT frames that did not go out: the queue was full, longer than the MTU, or they did not lie within their slot. */
  readonly txDropped: number;
  /** PASS frames that were released instead: the kernel's copy is dropped already. */
  readonly passUnsupported: number;
}

export interface AfPacketDevice extends PacketDevice {
  /** The same object at each call, so that asking often leaves no garbage. */
  statistics(): AfPacketStatistics;
  /** For tests, while no traffic flows: the number of slots in each place. Throws when one is in two. */
  checkFrames(): { readonly kernel: number; readonly inBatch: number; readonly waiting: number };
}

/** Throws SystemCallError with advice, as `openPacketRing` does, and from `receive` ENETDOWN without the interface. */
export function createAfPacketDevice(options: AfPacketOptions): AfPacketDevice {
  const { ringSize = 4096, batchSize = 64, wakeFd = -1, fanoutGroup = null, ...place } = options;
  if (batchSize > ringSize) throw new RangeError(`af-packet: a batch of ${batchSize} in a ring of ${ringSize}`);
  const socket = openPacketRing({ ...place, ringSize, ownFrames: batchSize, fanoutGroup });
  const { fd, memory } = socket;
  const ringWords = new Int32Array(memory.buffer);
  const ringHalves = new Uint16Array(memory.buffer);
  const batch = createFrameBatch(batchSize);
  const { offset, length, action } = batch;
  /** Where the row's slot, or own frame, begins. */
  const slotOf = new Int32Array(batchSize);
  /** Next slot to look into, first slot of the batch, and how many it has; appended frames are behind them. */
  let next = 0;
  let first = 0;
  let taken = 0;
  let inBatch = 0;
  let closed = false;
  /** Written only: loads made for the caches' sake alone are optimised away otherwise. */
  const touched = new Int32Array(1);

  const counters = new Float64Array(3);
  const RX_TOO_LONG = 0;
  const TX_DROPPED = 1;
  const PASS_UNSUPPORTED = 2;
  const statistics = { rxRingFull: 0, rxTooLong: 0, txDropped: 0, passUnsupported: 0 };

  const sender = createPacketSender(socket.sendFd, memory, batchSize);
  const cutter = createCutter(memory);

  // What poll(2) reads: the socket, then the wake-up (poll leaves out a negative descriptor).
  const pollMemory = mapAnonymous(24);
  const pollAddress = pollMemory.address;
  const wokenAddress = pollAddress + 16n;
  const pollFds = new Int32Array(pollMemory.buffer);
  const pollEvents = new Int16Array(pollMemory.buffer);
  pollFds[0] = fd;
  pollFds[2] = wakeFd;
  pollEvents[2] = POLLIN;
  pollEvents[6] = POLLIN;

  // Hot path: no allocation, no throw, no closure, no await. (`refuseDead` throws once the interface is gone.)

  /**
   * Moves received frames into the batch, which is empty: those of one long packet, or whole slots. What is to be cut ends
   * a batch of slots, and its own slot goes back at once.
   */
  function take(): number {
    if (cutter.hasNext()) return takeCut();
    touched[0] = touchSlots(ringWords, next, ringSize, batchSize);
    first = next;
    let count = 0;
    while (count < batchSize) {
      const word = next * SLOT_WORDS;
      const status = Atomics.load(ringWords, word + TP_STATUS / 4);
      if ((status & TP_STATUS_USER) === 0) break;
      const slot = next * SLOT_SIZE;
      const frame = slot + ringHalves[(slot + TP_MAC) >> 1];
      const snapLength = ringWords[word + TP_SNAPLEN / 4];
      const offloads = ringHalves[(frame - OFFLOADS_LENGTH) >> 1];
      const tag = (status & TP_STATUS_VLAN_VALID) === 0 ? 0 : ringWords[word + TP_VLAN / 4];
      const wasCut = snapLength !== ringWords[word + TP_LEN / 4];
      if (wasCut || (offloads & MERGED) !== 0) {
        if (count > 0) break;
        openLong(frame, wasCut ? -1 : snapLength, status, tag);
        next = next + 1 < ringSize ? next + 1 : 0;
        Atomics.store(ringWords, word + TP_STATUS / 4, TP_STATUS_KERNEL);
        first = next;
        if (cutter.hasNext()) return takeCut();
        continue;
      }
      next = next + 1 < ringSize ? next + 1 : 0;
      if ((offloads & UNFINISHED) !== 0) finishChecksum(ringHalves, frame - OFFLOADS_LENGTH, frame, snapLength);
      slotOf[count] = slot;
      offset[count] = frame;
      length[count] = snapLength;
      action[count] = RELEASE;
      if (tag !== 0) {
        putTagBack(ringHalves, frame, tag);
        offset[count] -= TAG_LENGTH;
        length[count] += TAG_LENGTH;
      }
      count++;
    }
    taken = count;
    inBatch = count;
    batch.count = count;
    return count;
  }

  /** Hands the packet at `frame`, of `snapLength` bytes where all of it is there, to the cutter, or counts it. */
  function openLong(frame: number, snapLength: number, status: number, tag: number): void {
    let long = -1;
    if ((status & TP_STATUS_COPY) !== 0) {
      long = recv(fd, cutter.receiveAddress, cutter.receiveLength, MSG_DONTWAIT | MSG_TRUNC);
    } else if (snapLength >= 0) {
      long = OFFLOADS_LENGTH + snapLength;
      cutter.copyFrom(frame - OFFLOADS_LENGTH, long);
    }
    if (!cutter.open(long, tag, MAX_FRAME)) counters[RX_TOO_LONG]++;
  }

  /** Fills the batch with what the cutter has; its frames lie in the device's own. */
  function takeCut(): number {
    let count = 0;
    while (count < batchSize && cutter.hasNext()) {
      slotOf[count] = (ringSize + count) * SLOT_SIZE;
      offset[count] = slotOf[count] + FRAME_AT;
      length[count] = cutter.writeNext(offset[count]);
      action[count] = RELEASE;
      count++;
    }
    inBatch = count;
    batch.count = count;
    return count;
  }

  /** Gives the batch's slots back to the kernel. */
  function giveBack(): void {
    for (let i = 0; i < taken; i++) {
      Atomics.store(ringWords, first * SLOT_WORDS + TP_STATUS / 4, TP_STATUS_KERNEL);
      first = first + 1 < ringSize ? first + 1 : 0;
    }
    taken = 0;
    inBatch = 0;
    batch.count = 0;
  }

  function wait(timeoutMs: number): void {
    pollEvents[3] = 0;
    pollEvents[7] = 0;
    const ready = poll(pollAddress, 2, Math.max(0, timeoutMs));
    if (pollEvents[7] !== 0) read(wakeFd, wokenAddress, 8);
    if ((pollEvents[3] & POLL_FAILED) !== 0 || (ready < 0 && lastErrno() !== errno.EINTR)) refuseDead();
  }

  function refuseDead(): void {
    if (recv(fd, null, 0, MSG_DONTWAIT) >= 0) return;
    const reason = lastErrno();
    if (reason === errno.EAGAIN) return;
    const advice = `${socket.interfaceName} is down or gone: \`ip link show\` tells`;
    throw new SystemCallError('receive from packet socket', reason, advice);
  }

  function receive(timeoutMs: number): number {
    giveBack();
    const count = take();
    if (count !== 0) return count;
    wait(timeoutMs);
    return take();
  }

  function send(): void {
    for (let i = 0; i < inBatch; i++) {
      if (action[i] === RELEASE) continue;
      const inside =
        length[i] > 0 && offset[i] >= slotOf[i] + SLOT_HEADER && offset[i] + length[i] <= slotOf[i] + SLOT_SIZE;
      if (action[i] !== TRANSMIT || !inside) {
        counters[action[i] === TRANSMIT ? TX_DROPPED : PASS_UNSUPPORTED]++;
        continue;
      }
      sender.queue(offset[i], length[i]);
    }
    counters[TX_DROPPED] += sender.flush();
    giveBack();
  }

  function append(frameLength: number): number {
    if (inBatch === batchSize || frameLength > MAX_FRAME) return -1;
    const row = inBatch++;
    slotOf[row] = (ringSize + row) * SLOT_SIZE;
    offset[row] = slotOf[row] + FRAME_AT;
    length[row] = frameLength;
    action[row] = TRANSMIT;
    batch.count = inBatch;
    return row;
  }

  // End of the hot path.

  return {
    name: 'af-packet',
    view: new DataView(memory.buffer),
    batch,
    headroom: HEADROOM,
    receive,
    send,
    append,
    statistics() {
      statistics.rxRingFull += socket.takeDropped();
      statistics.rxTooLong = counters[RX_TOO_LONG];
      statistics.txDropped = counters[TX_DROPPED];
      statistics.passUnsupported = counters[PASS_UNSUPPORTED];
      return statistics;
    },
    checkFrames() {
      let ofUser = 0;
      for (let slot = 0; slot < ringSize; slot++) {
        if ((Atomics.load(ringWords, slot * SLOT_WORDS) & TP_STATUS_USER) !== 0) ofUser++;
      }
      if ((first + taken) % ringSize !== next) throw new Error(`the batch ends at ${first + taken}, not at ${next}`);
      return { kernel: ringSize - ofUser, inBatch: taken, waiting: ofUser - taken };
    },
    close() {
      if (closed) return;
      closed = true;
      socket.close();
      sender.close();
      cutter.close();
      pollMemory.unmap();
    },
  };
}
