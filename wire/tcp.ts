/**
 * TCP headers (RFC 9293, 3.1) in place. `offset` is the header's first byte; lengths were checked at the door
 * (wire/flow.ts).
 */
// Hot path: no allocation, no throw, no closure, no await.
import { checksum, updateChecksum } from './checksum.ts';

export const TCP_HEADER_LENGTH = 20;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const SEQUENCE = 4;
const ACKNOWLEDGEMENT = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT = 18;

export function sourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset + SOURCE_PORT);
}

export function destinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + DESTINATION_PORT);
}

/** Both ports as one word, loaded little-endian: the source port's bytes are the low half. */
export function ports(view: DataView, offset: number): number {
  return view.getInt32(offset + SOURCE_PORT, true);
}

/** A port as a number for its two bytes loaded little-endian, and the other way round. */
export function swapPort(port: number): number {
  return ((port & 0xff) << 8) | (port >>> 8);
}

/** The high half of `ports` as the packet's two bytes, loaded little-endian: what a service is looked up by. */
export function destinationPortOf(portsWord: number): number {
  return portsWord >>> 16;
}

export function sequence(view: DataView, offset: number): number {
  return view.getUint32(offset + SEQUENCE);
}

export function acknowledgement(view: DataView, offset: number): number {
  return view.getUint32(offset + ACKNOWLEDGEMENT);
}

/** Bytes of the header with its options: data offset times four, 0 to 60, as the packet claims it. */
export function tcpHeaderLength(view: DataView, offset: number): number {
  return (view.getUint8(offset + DATA_OFFSET) >>> 4) << 2;
}

export function flags(view: DataView, offset: number): number {
  return view.getUint8(offset + FLAGS);
}

/** As it is in the header, unscaled. */
export function window(view: DataView, offset: number): number {
  return view.getUint16(offset + WINDOW);
}

export function checksumField(view: DataView, offset: number): number {
  return view.getUint16(offset + CHECKSUM);
}

/** A 20-byte header without options, window and data; its checksum from `pseudoSum` (wire/ipv4.ts). */
export function writeBareHeader(
  view: DataView,
  offset: number,
  sourcePortNumber: number,
  destinationPortNumber: number,
  sequenceNumber: number,
  acknowledgementNumber: number,
  flagBits: number,
  pseudoSum: number,
): void {
  view.setUint16(offset + SOURCE_PORT, sourcePortNumber);
  view.setUint16(offset + DESTINATION_PORT, destinationPortNumber);
  view.setUint32(offset + SEQUENCE, sequenceNumber);
  view.setUint32(offset + ACKNOWLEDGEMENT, acknowledgementNumber);
  view.setUint16(offset + DATA_OFFSET, (5 << 12) | flagBits);
  view.setUint16(offset + WINDOW, 0);
  view.setUint16(offset + CHECKSUM, 0);
  view.setUint16(offset + URGENT, 0);
  view.setUint16(offset + CHECKSUM, checksum(view, offset, TCP_HEADER_LENGTH, pseudoSum));
}

/** Announces a window, which `writeBareHeader` leaves at 0, and corrects the checksum. */
export function setWindow(view: DataView, offset: number, window: number): void {
  const before = view.getUint16(offset + WINDOW);
  view.setUint16(offset + WINDOW, window);
  view.setUint16(offset + CHECKSUM, updateChecksum(view.getUint16(offset + CHECKSUM), before, window));
}

/** Says how long the header with its options is, which `writeBareHeader` leaves at 20, and corrects the checksum. */
export function setHeaderLength(view: DataView, offset: number, length: number): void {
  const before = view.getUint16(offset + DATA_OFFSET);
  const after = (before & 0x0fff) | (length << 10);
  view.setUint16(offset + DATA_OFFSET, after);
  view.setUint16(offset + CHECKSUM, updateChecksum(view.getUint16(offset + CHECKSUM), before, after));
}
