/**
 * Opening an AF_XDP socket for af-xdp-device.ts: memory registered, rings mapped, bound to one receive queue.
 *
 * The kernel wants this order: socket, UMEM, rings, transmit budget, bind; the entry in the XSKMAP comes last. All of
 * it is cold. Everything ends with `close` or with the process.
 */
import { PRIVILEGE_ADVICE } from './bpf.ts';
import { explainedBy } from './explained.ts';
import {
  bindSocket,
  closeDescriptor,
  errno,
  getSocketOption,
  openSocket,
  SystemCallError,
  setSocketOption,
} from './ffi.ts';
import { requireLink } from './xdp.ts';
import { openXskRings, SOL_XDP, type XskRings } from './xsk-rings.ts';

const AF_XDP = 44;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;

/** asm-generic/socket.h, as on every architecture that Node runs on. */
const SOL_SOCKET = 1;
const SO_BUSY_POLL = 46;
const SO_PREFER_BUSY_POLL = 69;
const SO_BUSY_POLL_BUDGET = 70;

const XDP_UMEM_REG = 4;
const XDP_STATISTICS = 7;
const XDP_OPTIONS = 8;
const XDP_MAX_TX_SKB_BUDGET = 9;

const XDP_COPY = 2;
const XDP_ZEROCOPY = 4;
const XDP_USE_NEED_WAKEUP = 8;
const XDP_OPTIONS_ZEROCOPY = 1;

/** `auto`: where the driver can; `require`: or it is an error. */
export type ZeroCopy = 'auto' | 'off' | 'require';

/** How a thread polls the queue's driver itself instead of waiting for its interrupt. */
export interface BusyPoll {
  /** Microseconds that it goes on after the last packet. */
  readonly us: number;
  /** Packets at a time: a batch. */
  readonly budget: number;
}

export interface XskSocketOptions {
  readonly interfaceIndex: number;
  readonly queue: number;
  readonly frameCount: number;
  readonly frameSize: number;
  /** Entries of each ring, a power of two. */
  readonly ringSize: number;
  /** Where the frame memory begins, page-aligned: `frameCount` chunks of `frameSize` bytes, the caller's to unmap. */
  readonly memoryAddress: bigint;
  readonly zeroCopy: ZeroCopy;
  readonly busyPoll: BusyPoll | null;
}

export interface XskSocket {
  readonly fd: number;
  readonly interfaceName: string;
  readonly rings: XskRings;
  /** The driver reads and writes the frame memory itself. */
  readonly zeroCopy: boolean;
  close(): void;
}

/** The kernel's struct xdp_statistics: frames and descriptors that it dropped, and how often a ring was the reason. */
export interface XskStatistics {
  /** No frame was free, or the packet was longer than a frame. */
  readonly rxDropped: number;
  readonly rxInvalidDescriptors: number;
  readonly txInvalidDescriptors: number;
  readonly rxRingFull: number;
  readonly fillRingEmpty: number;
  /** Wake-ups that found nothing to send; harmless. */
  readonly txRingEmpty: number;
}

/**
 * Throws SystemCallError: EPERM without the privilege, ENOBUFS when too little memory may be locked, EBUSY when the
 * queue has a socket already, EINVAL when there is no such queue, ENODEV when there is no such interface.
 */
export function openXskSocket(options: XskSocketOptions): XskSocket {
  const { interfaceIndex, frameCount, frameSize, ringSize } = options;
  const { name } = requireLink(interfaceIndex);
  const fd = explained(`open AF_XDP socket for ${name}`, () => openSocket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  try {
    explained(`register ${frameCount * frameSize} bytes of frame memory`, () => registerUmem(fd, options));
    const rings = openXskRings(fd, ringSize);
    raiseTransmitBudget(fd, ringSize);
    if (options.busyPoll !== null) preferBusyPolling(fd, options.busyPoll);
    explained(`bind AF_XDP socket to queue ${options.queue} of ${name}`, () => bindToQueue(fd, options));
    return {
      fd,
      interfaceName: name,
      rings,
      zeroCopy: usesZeroCopy(fd),
      close() {
        closeDescriptor(fd);
        rings.unmap();
      },
    };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

const explained = explainedBy({
  [errno.EPERM]: PRIVILEGE_ADVICE,
  [errno.EAFNOSUPPORT]: 'this kernel is built without AF_XDP (CONFIG_XDP_SOCKETS)',
  [errno.ENOBUFS]: 'more than may be locked: grant CAP_IPC_LOCK or raise `ulimit -l`',
  [errno.EBUSY]: 'another AF_XDP socket has this queue: stop its process',
  [errno.EINVAL]: 'no such queue: `ethtool -l` shows how many there are',
  [errno.EOPNOTSUPP]: 'the driver has no zero-copy, or not in its present settings',
  [errno.ENOPROTOOPT]: 'this kernel is older than the option: Linux 5.11 has it',
});

/** struct xdp_umem_reg {u64 addr, len; u32 chunk_size, headroom, flags}. */
function registerUmem(fd: number, { memoryAddress, frameCount, frameSize }: XskSocketOptions): void {
  const registration = Buffer.alloc(32);
  registration.writeBigUInt64LE(memoryAddress, 0);
  registration.writeBigUInt64LE(BigInt(frameCount * frameSize), 8);
  registration.writeUInt32LE(frameSize, 16);
  setSocketOption(fd, SOL_XDP, XDP_UMEM_REG, registration);
}

/** Lets one system call send more than 32 frames in copy mode (Linux 6.17; older kernels send a batch in steps). */
function raiseTransmitBudget(fd: number, frames: number): void {
  try {
    setSocketOption(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, bytes32(frames));
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== errno.ENOPROTOOPT) throw error;
  }
}

/** The three options of linux/Documentation/networking/af_xdp.rst; known since Linux 5.11. */
function preferBusyPolling(fd: number, { us, budget }: BusyPoll): void {
  const set = (name: string, option: number, value: number) =>
    explained(`set ${name}`, () => setSocketOption(fd, SOL_SOCKET, option, bytes32(value)));
  set('SO_PREFER_BUSY_POLL', SO_PREFER_BUSY_POLL, 1);
  set('SO_BUSY_POLL', SO_BUSY_POLL, us);
  set('SO_BUSY_POLL_BUDGET', SO_BUSY_POLL_BUDGET, budget);
}

function bytes32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** struct sockaddr_xdp {u16 family, flags; u32 ifindex, queue_id, shared_umem_fd}. */
function bindToQueue(fd: number, { interfaceIndex, queue, zeroCopy }: XskSocketOptions): void {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_XDP, 0);
  address.writeUInt32LE(interfaceIndex, 4);
  address.writeUInt32LE(queue, 8);
  const bind = (flags: number) => {
    address.writeUInt16LE(flags | XDP_USE_NEED_WAKEUP, 2);
    retryWhileBusy(() => bindSocket(fd, address));
  };
  try {
    // Without a flag the kernel takes zero-copy where the driver has it.
    bind({ auto: 0, off: XDP_COPY, require: XDP_ZEROCOPY }[zeroCopy]);
  } catch (error) {
    const refused = error instanceof SystemCallError && [errno.EOPNOTSUPP, errno.EINVAL].includes(error.errno);
    if (!refused || zeroCopy !== 'auto') throw error;
    bind(XDP_COPY);
  }
}

const BUSY_RETRIES = 50;
const BUSY_PAUSE_MS = 20;

/** The kernel frees the queue of a closed socket a moment later, from a work queue: a restart meets that moment. */
function retryWhileBusy(work: () => void): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let attempt = 0; ; attempt++) {
    try {
      work();
      return;
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.errno !== errno.EBUSY || attempt === BUSY_RETRIES) throw error;
      Atomics.wait(never, 0, 0, BUSY_PAUSE_MS);
    }
  }
}

function usesZeroCopy(fd: number): boolean {
  const flags = Buffer.alloc(4);
  getSocketOption(fd, SOL_XDP, XDP_OPTIONS, flags);
  return (flags.readUInt32LE() & XDP_OPTIONS_ZEROCOPY) !== 0;
}

/** As the kernel writes them: 64-bit numbers, of which these are the halves. */
const statisticsWords = new Uint32Array(12);
const statistics = {
  rxDropped: 0,
  rxInvalidDescriptors: 0,
  txInvalidDescriptors: 0,
  rxRingFull: 0,
  fillRingEmpty: 0,
  txRingEmpty: 0,
};

/** Returns the same object each time, with what is in it now, so that nothing is allocated for it between two batches. */
export function readXskStatistics(fd: number): XskStatistics {
  getSocketOption(fd, SOL_XDP, XDP_STATISTICS, statisticsWords);
  statistics.rxDropped = statisticsNumber(0);
  statistics.rxInvalidDescriptors = statisticsNumber(1);
  statistics.txInvalidDescriptors = statisticsNumber(2);
  statistics.rxRingFull = statisticsNumber(3);
  statistics.fillRingEmpty = statisticsNumber(4);
  statistics.txRingEmpty = statisticsNumber(5);
  return statistics;
}

function statisticsNumber(index: number): number {
  return statisticsWords[2 * index] + statisticsWords[2 * index + 1] * 2 ** 32;
}
