/**
 * bpf(2) in the few commands that hushlb uses: maps, programs and test runs; bpf-links.ts attaches programs.
 *
 * Called by steering, decapsulation, the packet generator and their tests; nothing here is on the packet's path.
 * Descriptors are plain numbers, closed with `closeDescriptor`. Every failure is a SystemCallError; EPERM says which
 * capabilities are missing. Kernel memory counts against the memory cgroup since Linux 5.11, so RLIMIT_MEMLOCK is left
 * alone. Layouts: union bpf_attr in linux/bpf.h.
 */
import { bpf, errno, type Mapping, mapAnonymous, SystemCallError, withoutSignals } from './ffi.ts';

/** What an XDP program returns. */
export const XDP_DROP = 1;
export const XDP_PASS = 2;
export const XDP_REDIRECT = 4;

/** struct xdp_md, the context of an XDP program: offsets of its 32-bit fields. */
export const XDP_MD_DATA = 0;
export const XDP_MD_DATA_END = 4;
export const XDP_MD_RX_QUEUE_INDEX = 16;

/** What a TCX program returns: the next program is asked, or the packet is dropped. */
export const TCX_NEXT = -1;
export const TCX_DROP = 2;

/** struct __sk_buff, the context of socket filters and TCX programs: offsets of its 32-bit fields. */
export const SKB_PACKET_TYPE = 4;
export const SKB_VLAN_PRESENT = 20;
export const SKB_DATA = 76;
export const SKB_DATA_END = 80;

/** Helpers (bpf-helpers(7)) by their numbers. */
export const MAP_LOOKUP_ELEM = 1;
export const KTIME_GET_NS = 5;
export const SKB_STORE_BYTES = 9;
export const L4_CSUM_REPLACE = 11;
export const REDIRECT = 23;
export const SKB_LOAD_BYTES = 26;
export const XDP_ADJUST_HEAD = 44;
export const REDIRECT_MAP = 51;

const MAP_CREATE = 0;
const MAP_LOOKUP = 1;
const MAP_UPDATE = 2;
const MAP_DELETE = 3;
const PROG_LOAD = 5;
const PROG_TEST_RUN = 10;

const MAP_TYPE = { hash: 1, array: 2, 'lpm-trie': 11, xskmap: 17 } as const;
/** BPF_F_NO_PREALLOC, without which the kernel makes no trie. */
const NO_PREALLOCATION = 1;
const PROG_TYPE = { 'socket-filter': 1, tcx: 3, xdp: 6 } as const;
export const ATTACH_TYPE_XDP = 37;
const TEST_XDP_LIVE_FRAMES = 2;

/** Who may use XDP, for messages. */
export const PRIVILEGE_ADVICE = 'run as root, or grant CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON';

/** Longer than any kernel's bpf_attr; the rest is zero, which older and newer kernels accept alike. */
const ATTRIBUTES_LENGTH = 128;
const KEY_AT = 128;
const VALUE_AT = 256;
const SCRATCH_LENGTH = 4096;

/** Page that commands, keys and values are written to, one a thread. */
let scratch: Mapping | undefined;

function scratchMemory(): Mapping {
  scratch ??= mapAnonymous(SCRATCH_LENGTH);
  return scratch;
}

/** Writes the attributes with `fill` and calls the kernel; `view` stays valid for what the kernel writes back. */
export function command(
  number: number,
  what: string,
  fill: (view: DataView) => void,
): { result: number; view: DataView } {
  const { address, buffer } = scratchMemory();
  const view = new DataView(buffer, 0, ATTRIBUTES_LENGTH);
  new Uint8Array(buffer, 0, ATTRIBUTES_LENGTH).fill(0);
  fill(view);
  try {
    return { result: bpf(number, address, ATTRIBUTES_LENGTH, what), view };
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== errno.EPERM) throw error;
    throw new SystemCallError(what, error.errno, PRIVILEGE_ADVICE);
  }
}

/** Names that bpftool shows: at most 15 letters, digits, `_` and `.`. */
function writeName(view: DataView, offset: number, name: string): void {
  for (let i = 0; i < name.length; i++) view.setUint8(offset + i, name.charCodeAt(i));
}

export interface MapOptions {
  readonly name: string;
  readonly type: keyof typeof MAP_TYPE;
  /** Bytes. */
  readonly keySize: number;
  readonly valueSize: number;
  readonly entries: number;
}

export function createMap({ name, type, keySize, valueSize, entries }: MapOptions): number {
  return command(MAP_CREATE, `create bpf map ${name}`, (view) => {
    view.setUint32(0, MAP_TYPE[type], true);
    view.setUint32(4, keySize, true);
    view.setUint32(8, valueSize, true);
    view.setUint32(12, entries, true);
    view.setUint32(16, type === 'lpm-trie' ? NO_PREALLOCATION : 0, true);
    writeName(view, 28, name);
  }).result;
}

function elementCommand(number: number, what: string, mapFd: number, key: Uint8Array, value?: Uint8Array): void {
  const { address, buffer } = scratchMemory();
  new Uint8Array(buffer, KEY_AT).set(key);
  if (value !== undefined) new Uint8Array(buffer, VALUE_AT).set(value);
  command(number, what, (view) => {
    view.setUint32(0, mapFd, true);
    view.setBigUint64(8, address + BigInt(KEY_AT), true);
    if (value !== undefined) view.setBigUint64(16, address + BigInt(VALUE_AT), true);
  });
}

/** Sets `key` to `value`, new or not. Key and value are as long as the map says. */
export function updateMap(mapFd: number, key: Uint8Array, value: Uint8Array): void {
  elementCommand(MAP_UPDATE, 'update bpf map', mapFd, key, value);
}

/** Reads the value of `key` into `value`; false when there is none. */
export function lookupMapInto(mapFd: number, key: Uint8Array, value: Uint8Array): boolean {
  const found = unlessMissing(() => elementCommand(MAP_LOOKUP, 'look up in bpf map', mapFd, key, value));
  if (found) value.set(new Uint8Array(scratchMemory().buffer, VALUE_AT, value.byteLength));
  return found;
}

/** Removes `key`; false when it was not there. */
export function deleteFromMap(mapFd: number, key: Uint8Array): boolean {
  return unlessMissing(() => elementCommand(MAP_DELETE, 'delete from bpf map', mapFd, key));
}

function unlessMissing(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.ENOENT) return false;
    throw error;
  }
}

const LOG_LENGTH = 1 << 18;

/** As libbpf's PROG_LOAD_ATTEMPTS. */
const LOAD_ATTEMPTS = 5;

/**
 * The verifier gives up with EAGAIN when a signal is pending (do_check in the kernel's kernel/bpf/verifier.c). Those that can
 * wait do so; after SIGSTOP, a debugger or a frozen cgroup it is asked again.
 */
function untilVerified(load: () => number, attempts = LOAD_ATTEMPTS): number {
  try {
    return withoutSignals(load);
  } catch (error) {
    if (attempts === 1 || !(error instanceof SystemCallError) || error.errno !== errno.EAGAIN) throw error;
    return untilVerified(load, attempts - 1);
  }
}

export type ProgramType = keyof typeof PROG_TYPE;

/** Loads a program. When the verifier refuses it, the error carries the verifier's log. */
export function loadProgram(name: string, instructions: Uint8Array, type: ProgramType = 'xdp'): number {
  const licence = Buffer.from('Apache-2.0\0');
  const logAt = instructions.byteLength + licence.byteLength;
  const memory = mapAnonymous(logAt + LOG_LENGTH);
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(instructions);
  bytes.set(licence, instructions.byteLength);
  const load = (logLevel: number) =>
    command(PROG_LOAD, `load bpf program ${name}`, (view) => {
      view.setUint32(0, PROG_TYPE[type], true);
      view.setUint32(4, instructions.byteLength / 8, true);
      view.setBigUint64(8, memory.address, true);
      view.setBigUint64(16, memory.address + BigInt(instructions.byteLength), true);
      view.setUint32(24, logLevel, true);
      view.setUint32(28, logLevel === 0 ? 0 : LOG_LENGTH, true);
      view.setBigUint64(32, logLevel === 0 ? 0n : memory.address + BigInt(logAt), true);
      writeName(view, 48, name);
      if (type === 'xdp') view.setUint32(68, ATTACH_TYPE_XDP, true);
    }).result;
  try {
    return untilVerified(() => load(0));
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno === errno.EPERM) throw error;
    // The log costs time and memory, so it is asked for only once the program was refused.
    try {
      return untilVerified(() => load(1));
    } catch {
      const log = Buffer.from(memory.buffer, logAt);
      throw new SystemCallError(error.call, error.errno, log.toString('latin1', 0, log.indexOf(0)).trim());
    }
  } finally {
    memory.unmap();
  }
}

export interface TestRunResult {
  /** XDP_PASS and so on. */
  readonly verdict: number;
  /** The packet as the program left it. */
  readonly packet: Buffer;
}

/** Room for what a program prepends. */
const TEST_RUN_SLACK = 256;

/** Runs an XDP or TCX program once on `packet` (14 bytes at least), on receive queue 0 of no real interface. */
export function testRun(programFd: number, packet: Uint8Array): TestRunResult {
  const outAt = packet.byteLength;
  const memory = mapAnonymous(2 * packet.byteLength + TEST_RUN_SLACK);
  new Uint8Array(memory.buffer).set(packet);
  try {
    const { view } = command(PROG_TEST_RUN, 'test run of bpf program', (attributes) => {
      attributes.setUint32(0, programFd, true);
      attributes.setUint32(8, packet.byteLength, true);
      attributes.setUint32(12, packet.byteLength + TEST_RUN_SLACK, true);
      attributes.setBigUint64(16, memory.address, true);
      attributes.setBigUint64(24, memory.address + BigInt(outAt), true);
      attributes.setUint32(32, 1, true);
    });
    const length = view.getUint32(12, true);
    return {
      verdict: view.getUint32(4, true),
      packet: Buffer.copyBytesFrom(new Uint8Array(memory.buffer, outAt, length)),
    };
  } finally {
    memory.unmap();
  }
}

/**
 * Runs an XDP program on `count` real frames that start as copies of `frame`: what it redirects is sent (Linux 5.18).
 * The frames' pages are used again without being written anew. Blocks the thread until the last frame went out,
 * and keeps signals from it: the kernel gives up with EINTR when one is pending, and frames that it sent stay sent.
 */
export function runOnLiveFrames(programFd: number, frame: Uint8Array, count: number): void {
  const memory = mapAnonymous(frame.byteLength);
  new Uint8Array(memory.buffer).set(frame);
  try {
    withoutSignals(() =>
      command(PROG_TEST_RUN, 'run of bpf program on live frames', (view) => {
        view.setUint32(0, programFd, true);
        view.setUint32(8, frame.byteLength, true);
        view.setBigUint64(16, memory.address, true);
        view.setUint32(32, count, true);
        view.setUint32(64, TEST_XDP_LIVE_FRAMES, true);
      }),
    );
  } finally {
    memory.unmap();
  }
}
