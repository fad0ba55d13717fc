/**
 * What senders and the kernel leave to a network card, done here: checksums that are not finished, and segments that were
 * merged (GRO, LRO) or never cut (GSO). Packet sockets get both, and say so in a header in front of the frame. Used by
 * io/af-packet-device.ts for frames that need it; nothing is allocated for one.
 *
 * struct virtio_net_hdr (linux/virtio_net.h), in host order: flags:8, gso_type:8, hdr_len:16, gso_size:16, csum_start:16,
 * csum_offset:16; csum_start counts from the frame's first byte.
 */
import { networkOrder16 } from './bpf-assembler.ts';
import { type Mapping, mapAnonymous } from './ffi.ts';

export const OFFLOADS_LENGTH = 10;
const GSO_TCP4 = 1;
const GSO_TCP6 = 4;
const GSO_UDP = 5;
const GSO_WITH_ECN = 0x80;

/** Of the header's first two bytes, read as one number: VIRTIO_NET_HDR_F_NEEDS_CSUM, and any gso_type. */
export const UNFINISHED = 0x0001;
export const MERGED = 0xff00;

/** A whole packet of IP, its Ethernet header and tags. */
const LONGEST = 65535 + 64;
/** Frames begin at an even byte, with room for the header, and for a tag that the kernel took off. */
const RECEIVED_AT = 6;
const FRAME_AT = RECEIVED_AT + OFFLOADS_LENGTH;

const ETHERTYPE_AT = 12;
const TAG_LENGTH = 4;
const IPV4_LENGTH = 20;
const IPV6_LENGTH = 40;
const TCP = 6;
const UDP = 17;
const TCP_LENGTH = 20;
const UDP_LENGTH = 8;
const TCP_CHECKSUM_AT = 16;
const UDP_CHECKSUM_AT = 6;
const FIN_AND_PSH = 0x09;
const CWR = 0x80;

export interface Cutter {
  /** Where recv(2) is to write header and frame of a long one, and how many bytes of them it takes. */
  readonly receiveAddress: bigint;
  readonly receiveLength: number;
  /** Takes over header and frame, of `length` bytes together, that lie at the even byte `at` of the device's memory. */
  copyFrom(at: number, length: number): void;
  /**
   * Begins with what was received or copied: `length` bytes of header and frame. The tag, of TPID and TCI, is put back in
   * front of the rest; 0 where there was none. False for what can't be cut into frames of at most `longest` bytes.
   */
  open(length: number, tag: number, longest: number): boolean;
  /** Whether frames are left. */
  hasNext(): boolean;
  /** Writes the next frame to the even byte `at` of the device's memory and returns its length. */
  writeNext(at: number): number;
  close(): void;
}

// Hot path: no allocation, no throw, no closure, no await.

/** RFC 1071 over the bytes from the even `from` to `to`, as they are loaded, on top of `sum`. Not folded: below 2^32. */
function sumOf(halves: Uint16Array, from: number, to: number, sum: number): number {
  let total = sum;
  const end = to >> 1;
  for (let i = from >> 1; i < end; i++) total += halves[i];
  return (to & 1) === 0 ? total : total + (halves[end] & 0xff);
}

/** The checksum of a sum; never 0, which would be none at all, where it is UDP's. */
function checksumOf(sum: number, isUdp: boolean): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  const checksum = ~folded & 0xffff;
  return isUdp && checksum === 0 ? 0xffff : checksum;
}

/**
 * Finishes the checksum of the frame at the even byte `frame`, whose header stands at `header`: its field has the sum over
 * the pseudo header. False where the header makes no sense.
 */
export function finishChecksum(halves: Uint16Array, header: number, frame: number, length: number): boolean {
  const start = halves[(header + 6) >> 1];
  const field = start + halves[(header + 8) >> 1];
  if (((start | field) & 1) !== 0 || field + 2 > length) return false;
  const sum = sumOf(halves, frame + start, frame + length, 0);
  halves[(frame + field) >> 1] = checksumOf(sum, field - start === UDP_CHECKSUM_AT);
  return true;
}

/** Moves the frame's addresses by four bytes and puts the tag behind them; the frame begins at `frame - 4` then. */
export function putTagBack(halves: Uint16Array, frame: number, tag: number): void {
  const from = frame >> 1;
  const to = from - TAG_LENGTH / 2;
  for (let i = 0; i < ETHERTYPE_AT / 2; i++) halves[to + i] = halves[from + i];
  halves[to + ETHERTYPE_AT / 2] = networkOrder16(tag >>> 16);
  halves[to + ETHERTYPE_AT / 2 + 1] = networkOrder16(tag & 0xffff);
}

// End of the hot path.

/** Cuts into `target`, the device's memory. */
export function createCutter(target: Mapping): Cutter {
  const memory: Mapping = mapAnonymous(RECEIVED_AT + OFFLOADS_LENGTH + LONGEST);
  const bytes = Buffer.from(memory.buffer);
  const halves = new Uint16Array(memory.buffer, 0, memory.buffer.byteLength >> 1);
  const targetBytes = Buffer.from(target.buffer);
  const targetHalves = new Uint16Array(target.buffer);
  /** The frame's first byte and its end; from its first byte: IP header, TCP or UDP header, payload. */
  let frame = 0;
  let end = 0;
  let ip = 0;
  let transport = 0;
  let payload = 0;
  let isIpv6 = false;
  let isUdp = false;
  let size = 0;
  /** How many frames were written, and where the next one's payload begins. */
  let written = 0;
  let next = 0;

  // Hot path: no allocation, no throw, no closure, no await.

  function open(length: number, tag: number, longest: number): boolean {
    next = 0;
    end = 0;
    if (length > OFFLOADS_LENGTH + LONGEST || length < OFFLOADS_LENGTH + ETHERTYPE_AT + 2 + IPV4_LENGTH) return false;
    const type = halves[RECEIVED_AT >> 1] >>> 8;
    size = halves[(RECEIVED_AT + 4) >> 1];
    const last = FRAME_AT + length - OFFLOADS_LENGTH;
    frame = FRAME_AT;
    if (tag !== 0) {
      putTagBack(halves, frame, tag);
      frame -= TAG_LENGTH;
    }
    if (!findHeaders(type & ~GSO_WITH_ECN, last - frame) || size === 0 || payload + size > longest) return false;
    end = last;
    written = 0;
    next = frame + payload;
    return next < end;
  }

  /** Of a frame of `length` bytes. */
  function findHeaders(type: number, length: number): boolean {
    if (type !== GSO_TCP4 && type !== GSO_TCP6 && type !== GSO_UDP) return false;
    isUdp = type === GSO_UDP;
    ip = ETHERTYPE_AT + 2;
    while (ip <= ETHERTYPE_AT + 2 + TAG_LENGTH && isTag(halves[(frame + ip - 2) >> 1])) ip += TAG_LENGTH;
    const etherType = halves[(frame + ip - 2) >> 1];
    isIpv6 = etherType === networkOrder16(0x86dd);
    if (!isIpv6 && etherType !== networkOrder16(0x0800)) return false;
    const shortest = isIpv6 ? IPV6_LENGTH : (bytes[frame + ip] & 0x0f) << 2;
    // Extension headers have no options that differ from segment to segment.
    if (shortest < IPV4_LENGTH || bytes[frame + ip + (isIpv6 ? 6 : 9)] !== (isUdp ? UDP : TCP)) return false;
    transport = ip + shortest;
    if (transport + TCP_LENGTH > length) return false;
    payload = transport + (isUdp ? UDP_LENGTH : (bytes[frame + transport + 12] >>> 4) << 2);
    return payload >= transport + (isUdp ? UDP_LENGTH : TCP_LENGTH) && payload < length;
  }

  function writeNext(at: number): number {
    const share = Math.min(size, end - next);
    bytes.copy(targetBytes, at, frame, frame + payload);
    bytes.copy(targetBytes, at + payload, next, next + share);
    const length = payload + share;
    const isFirst = written === 0;
    next += share;
    finishIp(at + ip, length - ip);
    if (isUdp) targetHalves[(at + transport + 4) >> 1] = networkOrder16(length - transport);
    else finishTcp(at + transport, isFirst, next === end);
    finishTransport(at, length);
    written++;
    return length;
  }

  function finishIp(at: number, length: number): void {
    const half = at >> 1;
    if (isIpv6) {
      targetHalves[half + 2] = networkOrder16(length - IPV6_LENGTH);
      return;
    }
    targetHalves[half + 1] = networkOrder16(length);
    targetHalves[half + 2] = networkOrder16((networkOrder16(targetHalves[half + 2]) + written) & 0xffff);
    targetHalves[half + 5] = 0;
    targetHalves[half + 5] = checksumOf(sumOf(targetHalves, at, at + transport - ip, 0), false);
  }

  /** As the kernel cuts: CWR in the first segment only, FIN and PSH in the last. */
  function finishTcp(at: number, isFirst: boolean, isLast: boolean): void {
    const sequence = (targetBytes.readUInt32BE(at + 4) + written * size) >>> 0;
    targetBytes.writeUInt32BE(sequence, at + 4);
    if (!isFirst) targetBytes[at + 13] &= ~CWR;
    if (!isLast) targetBytes[at + 13] &= ~FIN_AND_PSH;
  }

  function finishTransport(at: number, length: number): void {
    const field = (at + transport + (isUdp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT)) >> 1;
    targetHalves[field] = 0;
    const pseudo = networkOrder16(isUdp ? UDP : TCP) + networkOrder16(length - transport);
    const addresses = at + ip + (isIpv6 ? 8 : 12);
    const sum = sumOf(targetHalves, addresses, addresses + (isIpv6 ? 32 : 8), pseudo);
    targetHalves[field] = checksumOf(sumOf(targetHalves, at + transport, at + length, sum), isUdp);
  }

  // End of the hot path.

  return {
    receiveAddress: memory.address + BigInt(RECEIVED_AT),
    receiveLength: OFFLOADS_LENGTH + LONGEST,
    copyFrom: (at, length) => void targetBytes.copy(bytes, RECEIVED_AT, at, at + length),
    open,
    hasNext: () => next < end,
    writeNext,
    close: () => memory.unmap(),
  };
}

function isTag(etherType: number): boolean {
  return etherType === networkOrder16(0x8100) || etherType === networkOrder16(0x88a8);
}
