/**
 * The one file with foreign functions: libc through koffi, and nothing else.
 *
 * Everything that hushlb asks of the kernel by hand (AF_XDP, bpf(2), netlink, AF_PACKET, setns) goes through the
 * functions below, so that another FFI could take koffi's place by rewriting this file. Addresses are bigints, memory
 * handed to the kernel is mapped with `mapAnonymous`, so no garbage collector can move it.
 */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { type Leftovers, noteClosed, noteMapped, noteOpened, noteUnmapped } from './leftovers.ts';

// null: the symbols of the running process, so glibc and musl both work.
const libc = koffi.load(null);

const errnoFunctions = {
  mmap: libc.func('void *mmap(void *address, size_t length, int prot, int flags, int fd, int64_t offset)'),
  munmap: libc.func('int munmap(void *address, size_t length)'),
  madvise: libc.func('int madvise(void *address, size_t length, int advice)'),
  syscall3: libc.func('syscall', 'long', ['long', 'long', 'void *', 'long']),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, void *address, unsigned int length)'),
  getsockname: libc.func('int getsockname(int fd, void *address, void *length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, void *value, unsigned int length)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
  sendto: libc.func('long sendto(int fd, void *data, size_t length, int flags, void *address, unsigned int size)'),
  sendmmsg: libc.func('int sendmmsg(int fd, void *messages, unsigned int count, int flags)'),
  recv: libc.func('long recv(int fd, void *data, size_t length, int flags)'),
  poll: libc.func('int poll(void *fds, unsigned long count, int timeout)'),
  ioctl: libc.func('ioctl', 'int', ['int', 'unsigned long', 'void *']),
  setns: libc.func('int setns(int fd, int type)'),
  pthread_sigmask: libc.func('int pthread_sigmask(int how, void *set, void *before)'),
  sched_setaffinity: libc.func('int sched_setaffinity(int thread, size_t length, void *mask)'),
  eventfd: libc.func('int eventfd(unsigned int value, int flags)'),
  read: libc.func('long read(int fd, void *data, size_t length)'),
  close: libc.func('int close(int fd)'),
  clock_gettime: libc.func('int clock_gettime(int clock, void *time)'),
  getrusage: libc.func('int getrusage(int who, void *usage)'),
  adjtimex: libc.func('int adjtimex(void *state)'),
};

/** The raw functions: hot callers use them directly; a negative result has its reason in `lastErrno()`. */
export const { sendto, sendmmsg, recv, poll, read, clock_gettime, getrusage } = errnoFunctions;

/** Errno names as Node knows them, for comparing: `lastErrno() === errno.EAGAIN`. */
export const errno = constants.errno;

export function lastErrno(): number {
  return koffi.errno();
}

/** A system call that failed: `call` is what was tried, `errno` its number, `code` its name (EPERM, ENODEV …). */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly call: string;
  readonly errno: number;
  readonly code: string;

  constructor(call: string, number: number, detail = '') {
    const code = number > 0 ? getSystemErrorName(-number) : 'UNKNOWN';
    super(`${call}: ${code}${detail === '' ? '' : ` (${detail})`}`);
    this.call = call;
    this.errno = number;
    this.code = code;
  }
}

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, lastErrno());
  return result;
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const MAP_POPULATE = 0x8000;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Memory outside the JavaScript heap: its address for the kernel, its bytes for us. */
export interface Mapping {
  readonly address: bigint;
  readonly buffer: ArrayBuffer;
  unmap(): void;
}

function map(length: number, flags: number, fd: number, offset: number): Mapping {
  const address = errnoFunctions.mmap(null, length, PROT_READ | PROT_WRITE, flags, fd, offset) as bigint;
  if (address === MAP_FAILED) throw new SystemCallError('mmap', lastErrno(), `${length} bytes`);
  noteMapped(address, length);
  return { address, buffer: koffi.view(address, length), unmap: () => unmap(address, length) };
}

function unmap(start: bigint, length: number): void {
  noteUnmapped(start);
  errnoFunctions.munmap(start, length);
}

/** Gives back what a thread has left that has ended: nobody may have a view of its memory any more. */
export function giveBackLeftovers({ descriptors, mappings }: Leftovers): void {
  for (const fd of descriptors) closeDescriptor(fd);
  for (const { start, length } of mappings) unmap(start, length);
}

/** Zeroed, page-aligned memory of `length` bytes. The buffer must not be touched after `unmap`. */
export function mapAnonymous(length: number): Mapping {
  return map(length, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

const HUGE_PAGE = 2 * 1024 * 1024;
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;

export interface HugeMapping extends Mapping {
  /** Gives the memory back and keeps the addresses: whoever still looks there finds zeros. */
  discard(): void;
}

/**
 * Zeroed memory for what is looked into at random, on huge pages where the kernel grants them (its transparent_hugepage
 * setting is `madvise` or `always`): a miss in the TLB costs as much as one in the cache. All of it is touched here, because
 * the kernel clears a huge page for up to milliseconds when it is touched first.
 */
export function mapHuge(length: number): HugeMapping {
  const whole = Math.ceil(length / HUGE_PAGE) * HUGE_PAGE;
  const reserved = whole + HUGE_PAGE;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const start = errnoFunctions.mmap(null, reserved, PROT_READ | PROT_WRITE, flags, -1, 0) as bigint;
  if (start === MAP_FAILED) throw new SystemCallError('mmap', lastErrno(), `${reserved} bytes`);
  noteMapped(start, reserved);
  const pageSize = BigInt(HUGE_PAGE);
  const address = ((start + pageSize - 1n) / pageSize) * pageSize;
  // Only advice: where it is refused, small pages do.
  errnoFunctions.madvise(address, whole, MADV_HUGEPAGE);
  const buffer = koffi.view(address, length);
  new Uint8Array(buffer).fill(0);
  return {
    address,
    buffer,
    discard: () => void errnoFunctions.madvise(address, whole, MADV_DONTNEED),
    unmap: () => unmap(start, reserved),
  };
}

/** A ring that the kernel shares through a descriptor. */
export function mapShared(fd: number, length: number, offset: number): Mapping {
  return map(length, MAP_SHARED | MAP_POPULATE, fd, offset);
}

const MAP_FIXED = 0x10;

/** The same over the first bytes of memory that is mapped already, so that both are one; unmapped with it. */
export function mapSharedInto(fd: number, length: number, { address, buffer }: Mapping): void {
  if (length > buffer.byteLength) throw new RangeError(`a ring of ${length} bytes into ${buffer.byteLength}`);
  const flags = MAP_SHARED | MAP_POPULATE | MAP_FIXED;
  const mapped = errnoFunctions.mmap(address, length, PROT_READ | PROT_WRITE, flags, fd, 0) as bigint;
  if (mapped === MAP_FAILED) throw new SystemCallError('mmap', lastErrno(), `${length} bytes`);
}

export function openSocket(domain: number, type: number, protocol: number): number {
  return noteOpened(checked('socket', errnoFunctions.socket(domain, type, protocol)));
}

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/** An eventfd(2) at 0: 8 bytes in the machine's order are written to add to it, and read to get and clear it. */
export function openEventDescriptor(): number {
  return checked('eventfd', errnoFunctions.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

export function bindSocket(fd: number, address: Uint8Array): void {
  checked('bind', errnoFunctions.bind(fd, address, address.byteLength));
}

/** Fills `address` with what the socket is bound to. */
export function readSocketAddress(fd: number, address: Uint8Array): void {
  checked('getsockname', errnoFunctions.getsockname(fd, address, Uint32Array.of(address.byteLength)));
}

export function listenSocket(fd: number, backlog: number): void {
  checked('listen', errnoFunctions.listen(fd, backlog));
}

export function setSocketOption(fd: number, level: number, name: number, value: Uint8Array): void {
  checked('setsockopt', errnoFunctions.setsockopt(fd, level, name, value, value.byteLength));
}

const optionLength = new Int32Array(1);

/** Fills `value` and returns how many bytes of it the kernel wrote. Allocates nothing: workers call it while packets wait. */
export function getSocketOption(fd: number, level: number, name: number, value: ArrayBufferView): number {
  optionLength[0] = value.byteLength;
  checked('getsockopt', errnoFunctions.getsockopt(fd, level, name, value, optionLength));
  return optionLength[0];
}

const SYS_BPF: Record<string, number> = { x64: 321, arm64: 280, riscv64: 280, s390x: 351, ppc64: 361 };

/** bpf(2). `attributes` is the address of a union bpf_attr; returns a descriptor or 0. Throws SystemCallError. */
export function bpf(command: number, attributes: bigint, length: number, what: string): number {
  const number = SYS_BPF[process.arch];
  if (number === undefined) throw new SystemCallError(what, errno.ENOSYS, `bpf on ${process.arch}`);
  return checked(what, Number(errnoFunctions.syscall3(number, command, attributes, length)));
}

export function ioctl(fd: number, request: number, argument: Uint8Array | bigint): void {
  checked('ioctl', errnoFunctions.ioctl(fd, request, argument));
}

/** Moves the calling thread into the namespace behind `fd` (of CLONE_NEWNET, CLONE_NEWNS … kind `type`). */
export function setNamespace(fd: number, type: number): void {
  checked('setns', errnoFunctions.setns(fd, type));
}

/** Keeps the calling thread to the CPUs whose bits are set, the lowest first. */
export function setThreadAffinity(mask: Uint8Array): void {
  checked('sched_setaffinity', errnoFunctions.sched_setaffinity(0, mask.byteLength, mask));
}

const SIG_SETMASK = 2;
/** sigset_t of glibc and musl. */
const SIGNAL_SET_LENGTH = 128;
const ALL_SIGNALS = new Uint8Array(SIGNAL_SET_LENGTH).fill(0xff);

/**
 * Keeps signals from the calling thread during `work`, for calls into the kernel that a signal would end early. Another
 * thread of the process takes them, or this one once the work is done.
 */
export function withoutSignals<T>(work: () => T): T {
  const before = new Uint8Array(SIGNAL_SET_LENGTH);
  setSignalMask(ALL_SIGNALS, before);
  try {
    return work();
  } finally {
    setSignalMask(before, null);
  }
}

function setSignalMask(set: Uint8Array, before: Uint8Array | null): void {
  // The result is the error's number, and errno is left alone.
  const number = errnoFunctions.pthread_sigmask(SIG_SETMASK, set, before) as number;
  if (number !== 0) throw new SystemCallError('pthread_sigmask', number);
}

/** adjtimex(2): fills `state`, a struct timex, and returns the clock's state; changes nothing while its modes are 0. */
export function readClockState(state: Uint8Array): number {
  return checked('adjtimex', errnoFunctions.adjtimex(state));
}

export function closeDescriptor(fd: number): void {
  noteClosed(fd);
  errnoFunctions.close(fd);
}

/**
 * Calls `onReadable` on this thread's event loop while `fd` has data, or an error, to fetch. Does not keep the process
 * alive. Close the watch before the descriptor.
 */
export function watchReadable(fd: number, onReadable: () => void): { close(): void } {
  let open = true;
  // koffi calls `wake` outside of any Node.js scope, where an exception would get lost: setImmediate gets out of it. And
  // libuv stops to poll a descriptor that reported an error, so polling is started anew each time.
  const wake = (): void => void setImmediate(deliver);
  const handle = koffi.node.poll(fd, wake);
  handle.unref();
  function deliver(): void {
    if (!open) return;
    try {
      onReadable();
    } finally {
      if (open) handle.start(wake);
    }
  }
  function close(): void {
    if (!open) return;
    open = false;
    process.off('exit', close);
    handle.close();
  }
  // While Node.js takes itself down the event loop still turns, and a call from koffi would abort the process.
  process.once('exit', close);
  return { close };
}
