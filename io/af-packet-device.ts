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
import { networkOrder16 } from './bpf-assembler.ts';
import { createFrameBatch, type PacketDevice, RELEASE, TRANSMIT } from './device.ts';
import { errno, lastErrno, mapAnonymous, poll, read, recv, SystemCallError, sendmmsg } from './ffi.ts';
import { FRAME_AT, HEADROOM, MAX_FRAME, openPacketRing, SLOT_HEADER, SLOT_SIZE, TAG_LENGTH } from './packet-ring.ts';
import {
  TP_LEN,
  TP_MAC,
  TP_SNAPLEN,
  TP_STATUS,
  TP_STATUS_KERNEL,
  TP_STATUS_USER,
  TP_STATUS_VLAN_VALID,
  TP_VLAN_TCI,
  TP_VLAN_TPID,
} from './packet-socket.ts';

const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
/** POLLERR, POLLHUP and POLLNVAL. */
const POLL_FAILED = 0x38;

/**
 * struct mmsghdr {struct msghdr {…, iovec *iov at 16, size_t iovlen at 24, …}; u32 length} and struct iovec {void *base;
 * size_t length}, on 64-bit hosts.
 */
const MESSAGE_BYTES = 64;
const MESSAGE_IOV = 16;
const MESSAGE_IOV_COUNT = 24;
const IOV_BYTES = 16;
const IOV_WORDS = 4;

const SLOT_WORDS = SLOT_SIZE / 4;
const WORD = 2 ** 32;

/** Both MAC addresses of a frame; its tags follow. */
const ADDRESSES_LENGTH = 12;

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
  /** Frames that are longer than a slot: merged segments (GRO, GSO), or an MTU beyond 1800. */
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

  const counters = new Float64Array(3);
  const RX_TOO_LONG = 0;
  const TX_DROPPED = 1;
  const PASS_UNSUPPORTED = 2;
  const statistics = { rxRingFull: 0, rxTooLong: 0, txDropped: 0, passUnsupported: 0 };

  // What sendmmsg reads: a message for each row, which points at its iovec, which points at the frame.
  const messages = mapAnonymous(batchSize * (MESSAGE_BYTES + IOV_BYTES));
  const iovsAt = batchSize * MESSAGE_BYTES;
  const iovs = new Uint32Array(messages.buffer, iovsAt, batchSize * IOV_WORDS);
  const messageView = new DataView(messages.buffer);
  const messageAddress = Array.from({ length: batchSize }, (_, i) => messages.address + BigInt(i * MESSAGE_BYTES));
  for (let i = 0; i < batchSize; i++) {
    const iov = messages.address + BigInt(iovsAt + i * IOV_BYTES);
    messageView.setBigUint64(i * MESSAGE_BYTES + MESSAGE_IOV, iov, true);
    messageView.setBigUint64(i * MESSAGE_BYTES + MESSAGE_IOV_COUNT, 1n, true);
  }
  // Addresses of user memory are below 2 ** 56 only in theory: they have 47 bits, which a number holds.
  const memoryAddress = Number(memory.address);

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

  /** Moves received frames into the batch, which is empty. Frames that were cut end it: their slots go back at once. */
  function take(): number {
    first = next;
    let count = 0;
    while (count < batchSize) {
      const slot = next * SLOT_SIZE;
      const word = next * SLOT_WORDS;
      const status = Atomics.load(ringWords, word + TP_STATUS / 4);
      if ((status & TP_STATUS_USER) === 0) break;
      const snapLength = ringWords[word + TP_SNAPLEN / 4];
      const wasCut = snapLength !== ringWords[word + TP_LEN / 4];
      if (wasCut && count > 0) break;
      next = next + 1 < ringSize ? next + 1 : 0;
      if (wasCut) {
        counters[RX_TOO_LONG]++;
        Atomics.store(ringWords, word + TP_STATUS / 4, TP_STATUS_KERNEL);
        first = next;
        continue;
      }
      slotOf[count] = slot;
      offset[count] = slot + ringHalves[(slot + TP_MAC) >> 1];
      length[count] = snapLength;
      action[count] = RELEASE;
      if ((status & TP_STATUS_VLAN_VALID) !== 0) putTagBack(count);
      count++;
    }
    taken = count;
    inBatch = count;
    batch.count = count;
    return count;
  }

  /** The kernel took the frame's first VLAN tag off; in front of it is room. Frames begin at even bytes. */
  function putTagBack(row: number): void {
    const header = slotOf[row] >> 1;
    const from = offset[row] >> 1;
    const to = from - TAG_LENGTH / 2;
    for (let i = 0; i < ADDRESSES_LENGTH / 2; i++) ringHalves[to + i] = ringHalves[from + i];
    ringHalves[to + ADDRESSES_LENGTH / 2] = networkOrder16(ringHalves[header + TP_VLAN_TPID / 2]);
    ringHalves[to + ADDRESSES_LENGTH / 2 + 1] = networkOrder16(ringHalves[header + TP_VLAN_TCI / 2]);
    offset[row] -= TAG_LENGTH;
    length[row] += TAG_LENGTH;
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
    if (reason !== errno.EAGAIN) throw receiveError(socket.interfaceName, reason);
  }

  function receive(timeoutMs: number): number {
    giveBack();
    const count = take();
    if (count !== 0) return count;
    wait(timeoutMs);
    return take();
  }

  /** Has the kernel send `count` messages. The first that it refuses ends a call: it is dropped, the next call goes on. */
  function transmit(count: number): void {
    let done = 0;
    while (done < count) {
      const sent = sendmmsg(fd, messageAddress[done], count - done, MSG_DONTWAIT);
      if (sent > 0) {
        done += sent;
        continue;
      }
      // Of the send buffer, so the rest would be refused too.
      if (lastErrno() === errno.EAGAIN) break;
      counters[TX_DROPPED]++;
      done++;
    }
    counters[TX_DROPPED] += count - done;
  }

  function send(): void {
    let queued = 0;
    for (let i = 0; i < inBatch; i++) {
      if (action[i] === RELEASE) continue;
      const inside =
        length[i] > 0 && offset[i] >= slotOf[i] + SLOT_HEADER && offset[i] + length[i] <= slotOf[i] + SLOT_SIZE;
      if (action[i] !== TRANSMIT || !inside) {
        counters[action[i] === TRANSMIT ? TX_DROPPED : PASS_UNSUPPORTED]++;
        continue;
      }
      const address = memoryAddress + offset[i];
      const iov = queued++ * IOV_WORDS;
      iovs[iov] = address;
      iovs[iov + 1] = address / WORD;
      iovs[iov + 2] = length[i];
    }
    if (queued > 0) transmit(queued);
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
      messages.unmap();
      pollMemory.unmap();
    },
  };
}

function receiveError(name: string, reason: number): SystemCallError {
  return new SystemCallError('receive from packet socket', reason, `${name} is down or gone: \`ip link show\` tells`);
}
