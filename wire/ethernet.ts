/**
 * Ethernet II: six bytes destination, six source, two type. A MAC travels as two numbers as loaded little-endian:
 * `low`, its first four bytes, and `high`, its last two, so that it is written with two stores.
 */
// Hot path: no allocation, no throw, no closure, no await.

export const ETHERNET_HEADER_LENGTH = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;

const DESTINATION = 0;
const SOURCE = 6;
const TYPE = 12;

export function etherType(view: DataView, offset: number): number {
  return view.getUint16(offset + TYPE);
}

export function destinationMacLow(view: DataView, offset: number): number {
  return view.getInt32(offset + DESTINATION, true);
}

export function destinationMacHigh(view: DataView, offset: number): number {
  return view.getUint16(offset + DESTINATION + 4, true);
}

export function sourceMacLow(view: DataView, offset: number): number {
  return view.getInt32(offset + SOURCE, true);
}

export function sourceMacHigh(view: DataView, offset: number): number {
  return view.getUint16(offset + SOURCE + 4, true);
}

export function setDestinationMac(view: DataView, offset: number, low: number, high: number): void {
  view.setInt32(offset + DESTINATION, low, true);
  view.setUint16(offset + DESTINATION + 4, high, true);
}

export function setSourceMac(view: DataView, offset: number, low: number, high: number): void {
  view.setInt32(offset + SOURCE, low, true);
  view.setUint16(offset + SOURCE + 4, high, true);
}

export function setEtherType(view: DataView, offset: number, type: number): void {
  view.setUint16(offset + TYPE, type);
}

/** Destination and source; the type stays. `macs0` to `macs2` are twelve bytes as three words loaded little-endian. */
export function writeMacs(view: DataView, offset: number, macs0: number, macs1: number, macs2: number): void {
  view.setInt32(offset + DESTINATION, macs0, true);
  view.setInt32(offset + DESTINATION + 4, macs1, true);
  view.setInt32(offset + DESTINATION + 8, macs2, true);
}

/** A whole header; `macs0` to `macs2` as `writeMacs` takes them. */
export function writeHeader(
  view: DataView,
  offset: number,
  macs0: number,
  macs1: number,
  macs2: number,
  type: number,
): void {
  writeMacs(view, offset, macs0, macs1, macs2);
  view.setUint16(offset + TYPE, type);
}

/** The two numbers of a MAC's six bytes. */
export function macLow(mac: Uint8Array): number {
  return new DataView(mac.buffer, mac.byteOffset, 6).getInt32(0, true);
}

export function macHigh(mac: Uint8Array): number {
  return new DataView(mac.buffer, mac.byteOffset, 6).getUint16(4, true);
}
