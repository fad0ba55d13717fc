/**
 * UDP headers (RFC 768) in place. `offset` is the header's first byte; lengths were checked at the door (wire/flow.ts).
 */
// Hot path: no allocation, no throw, no closure, no await.
import { checksum } from './checksum.ts';

export const UDP_HEADER_LENGTH = 8;
export const PROTOCOL_UDP = 17;
/** The sender computed none: allowed over IPv4, and over IPv6 for tunnels alone (RFC 6935). */
export const NO_CHECKSUM = 0;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

export function sourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + SOURCE_PORT);
}

export function destinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + DESTINATION_PORT);
}

/** Both ports as one word, loaded little-endian: the source port's bytes are the low half. The same as TCP's. */
export function ports(view: DataView, offset: number): number {
  return view.getInt32(offset + SOURCE_PORT, true);
}

/** Bytes of header and data, as the packet claims it: 8 or more in an honest one. */
export function lengthField(view: DataView, offset: number): number {
  return view.getUint16(offset + LENGTH);
}

export function checksumField(view: DataView, offset: number): number {
  return view.getUint16(offset + CHECKSUM);
}

/** Ports and length in host order; without a checksum. */
export function writeHeader(
  view: DataView,
  offset: number,
  sourcePortNumber: number,
  destinationPortNumber: number,
  length: number,
): void {
  view.setInt32(offset + SOURCE_PORT, (sourcePortNumber << 16) | destinationPortNumber);
  view.setInt32(offset + LENGTH, (length << 16) | NO_CHECKSUM);
}

/**
 * Sets the checksum of `length` bytes of header and data from `pseudoSum` (wire/ipv4.ts, wire/ipv6.ts). One that comes out
 * as 0 is sent as 0xffff, because 0 says that there is none.
 */
export function setChecksum(view: DataView, offset: number, length: number, pseudoSum: number): void {
  view.setUint16(offset + CHECKSUM, NO_CHECKSUM);
  view.setUint16(offset + CHECKSUM, checksum(view, offset, length, pseudoSum) || 0xffff);
}
