/**
 * IPv4 headers (RFC 791) in place. `offset` is the header's first byte; lengths were checked at the door (wire/flow.ts),
 * so the accessors read without looking. Addresses travel as words loaded little-endian, opaque, ready to be compared
 * and hashed; numbers (lengths, identification) are in host order.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { fold, sumWords, updateChecksum } from './checksum.ts';

export const IPV4_HEADER_LENGTH = 20;
export const PROTOCOL_IPIP = 4;
export const PROTOCOL_TCP = 6;

/** RFC 1700's default; every tunnel in the field sends it. */
export const DEFAULT_TTL = 64;

const VERSION_IHL = 0;
const TOS = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;

export function version(view: DataView, offset: number): number {
  return view.getUint8(offset + VERSION_IHL) >>> 4;
}

/** Bytes of the header with its options: IHL times four, 0 to 60, as the packet claims it. */
export function headerLength(view: DataView, offset: number): number {
  return (view.getUint8(offset + VERSION_IHL) & 15) << 2;
}

/** DSCP and ECN in one byte (RFC 2474, RFC 3168). */
export function tos(view: DataView, offset: number): number {
  return view.getUint8(offset + TOS);
}

export function totalLength(view: DataView, offset: number): number {
  return view.getUint16(offset + TOTAL_LENGTH);
}

/** True for every piece of a fragmented datagram, the first too. */
export function isFragment(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + FRAGMENT) & 0x3fff) !== 0;
}

/** Whoever is on the way must not fragment it. */
export function hasDf(view: DataView, offset: number): boolean {
  return (view.getUint8(offset + FRAGMENT) & 0x40) !== 0;
}

export function ttl(view: DataView, offset: number): number {
  return view.getUint8(offset + TTL);
}

export function protocol(view: DataView, offset: number): number {
  return view.getUint8(offset + PROTOCOL);
}

export function source(view: DataView, offset: number): number {
  return view.getInt32(offset + SOURCE, true);
}

export function destination(view: DataView, offset: number): number {
  return view.getInt32(offset + DESTINATION, true);
}

/** The word, as loaded from a packet, of an address given as a number (0xc6120001 for 198.18.0.1). */
export function addressWord(address: number): number {
  return ((address & 0xff) << 24) | ((address & 0xff00) << 8) | ((address >>> 8) & 0xff00) | (address >>> 24);
}

/** One's-complement sum of the pseudo-header that TCP and UDP checksum (RFC 9293, 3.1); `l4Length` in bytes. */
export function pseudoHeaderSum(view: DataView, offset: number, l4Length: number): number {
  return sumWords(view, offset + SOURCE, 8, view.getUint8(offset + PROTOCOL) + l4Length);
}

/** DF, no fragment offset, identification 0: what an atomic datagram carries (RFC 6864), as `writeHeader` takes it. */
export const ATOMIC = 0x0040_0000;

/** Identification and DF of the header at `offset`, as `writeHeader` takes them; the other fragment bits are left out. */
export function identificationAndDf(view: DataView, offset: number): number {
  return view.getInt32(offset + IDENTIFICATION, true) & 0x0040_ffff;
}

/**
 * Sum of the words of a 20-byte header that stay the same for every packet between two addresses: TTL 64, protocol and
 * the addresses. `writeHeader` adds what differs. In little-endian words, as everything it takes: the one's-complement
 * sum is the same in both byte orders, but for the order of its own bytes (RFC 1071, section 2 B).
 */
export function constantSum(protocolNumber: number, sourceWord: number, destinationWord: number): number {
  return fold((DEFAULT_TTL | (protocolNumber << 8)) + halves(sourceWord) + halves(destinationWord));
}

function halves(word: number): number {
  return (word & 0xffff) + (word >>> 16);
}

/**
 * Writes a whole 20-byte header with its checksum, TTL 64, in five stores.
 * `identificationWord` is from `identificationAndDf` or ATOMIC, `sum` what `constantSum` gave for the same protocol and
 * addresses.
 */
export function writeHeader(
  view: DataView,
  offset: number,
  tosByte: number,
  length: number,
  identificationWord: number,
  protocolNumber: number,
  sourceWord: number,
  destinationWord: number,
  sum: number,
): void {
  const first = 0x45 | (tosByte << 8) | (((length << 8) | (length >>> 8)) << 16);
  const check = ~fold(sum + halves(first) + halves(identificationWord));
  view.setInt32(offset + VERSION_IHL, first, true);
  view.setInt32(offset + IDENTIFICATION, identificationWord, true);
  view.setInt32(offset + TTL, DEFAULT_TTL | (protocolNumber << 8) | (check << 16), true);
  view.setInt32(offset + SOURCE, sourceWord, true);
  view.setInt32(offset + DESTINATION, destinationWord, true);
}

export function identification(view: DataView, offset: number): number {
  return view.getUint16(offset + IDENTIFICATION);
}

export function hasMoreFragments(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + FRAGMENT) & 0x2000) !== 0;
}

/** Bytes of the datagram in front of this piece of it: 0 for a whole datagram and for a first fragment. */
export function fragmentOffset(view: DataView, offset: number): number {
  return (view.getUint16(offset + FRAGMENT) & 0x1fff) << 3;
}

/** A sum does not mind the order of what it adds up: no checksum changes with it. */
export function swapAddresses(view: DataView, offset: number): void {
  const sourceWord = source(view, offset);
  view.setInt32(offset + SOURCE, destination(view, offset), true);
  view.setInt32(offset + DESTINATION, sourceWord, true);
}

/** And brings the header's checksum after it. */
export function setTtl(view: DataView, offset: number, hops: number): void {
  const before = view.getUint16(offset + TTL);
  const after = (hops << 8) | (before & 0xff);
  view.setUint16(offset + TTL, after);
  view.setUint16(offset + CHECKSUM, updateChecksum(view.getUint16(offset + CHECKSUM), before, after));
}

/** The same with any TTL, and without a sum made beforehand. */
export function writeHeaderWithTtl(
  view: DataView,
  offset: number,
  tosByte: number,
  length: number,
  identificationWord: number,
  ttlByte: number,
  protocolNumber: number,
  sourceWord: number,
  destinationWord: number,
): void {
  const sum = constantSum(protocolNumber, sourceWord, destinationWord) + ttlByte + (0xffff - DEFAULT_TTL);
  writeHeader(view, offset, tosByte, length, identificationWord, protocolNumber, sourceWord, destinationWord, sum);
  view.setUint8(offset + TTL, ttlByte);
}
