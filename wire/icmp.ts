/**
 * ICMP (RFC 792) and ICMPv6 (RFC 4443) messages in place. `offset` is the message's first byte; that its eight bytes of
 * header are there has been checked by the caller. The files of lb/ that answer packets (echo.ts, too-big.ts) and that
 * find a flow in an error (icmp-errors.ts) call it.
 *
 * The two share their layout and nothing else: type numbers differ, and ICMPv6 alone sums a pseudo-header.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { checksum, updateChecksum } from './checksum.ts';
import { PROTOCOL_ICMPV6, pseudoHeaderSum } from './ipv6.ts';

export const PROTOCOL_ICMP = 1;
export const ICMP_HEADER_LENGTH = 8;

export const ECHO_REPLY = 0;
export const UNREACHABLE = 3;
export const SOURCE_QUENCH = 4;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;
/** Code of UNREACHABLE: too big for the next link, and DF is set (RFC 1191, section 4). */
export const FRAGMENTATION_NEEDED = 4;

export const V6_UNREACHABLE = 1;
export const V6_TOO_BIG = 2;
export const V6_TIME_EXCEEDED = 3;
export const V6_PARAMETER_PROBLEM = 4;
export const V6_ECHO_REQUEST = 128;
export const V6_ECHO_REPLY = 129;

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const REST = 4;

export function type(view: DataView, offset: number): number {
  return view.getUint8(offset + TYPE);
}

export function code(view: DataView, offset: number): number {
  return view.getUint8(offset + CODE);
}

export function checksumField(view: DataView, offset: number): number {
  return view.getUint16(offset + CHECKSUM);
}

/** Of a FRAGMENTATION_NEEDED: bytes of the largest packet that fits; 0 from a router older than RFC 1191. */
export function nextHopMtu(view: DataView, offset: number): number {
  return view.getUint16(offset + REST + 2);
}

/** Of a V6_TOO_BIG: bytes of the largest packet that fits. */
export function v6Mtu(view: DataView, offset: number): number {
  return view.getUint32(offset + REST);
}

/** True for the messages that quote a packet, and that nobody answers with another error (RFC 1122, section 3.2.2). */
export function isError(typeNumber: number): boolean {
  return (
    typeNumber === UNREACHABLE ||
    typeNumber === TIME_EXCEEDED ||
    typeNumber === PARAMETER_PROBLEM ||
    typeNumber === SOURCE_QUENCH ||
    typeNumber === REDIRECT
  );
}

/** The same of ICMPv6: types 0 to 127 are errors, known or not (RFC 4443, section 2.1). */
export function isV6Error(typeNumber: number): boolean {
  return typeNumber < 128;
}

/** What the pseudo-header of the IPv6 header at `ip` adds to the checksum of `length` bytes of message; ICMP has none. */
export function v6PseudoSum(view: DataView, ip: number, length: number): number {
  return pseudoHeaderSum(view, ip, PROTOCOL_ICMPV6, length);
}

/** False where `length` bytes of message carry a wrong checksum. `pseudoSum` is `v6PseudoSum`'s, or 0 for ICMP. */
export function isIntact(view: DataView, offset: number, length: number, pseudoSum: number): boolean {
  return checksum(view, offset, length, pseudoSum) === 0;
}

/** Makes the message one of another type, with code 0 before and after, and brings the checksum after it. */
export function changeType(view: DataView, offset: number, from: number, to: number): void {
  const updated = updateChecksum(checksumField(view, offset), from << 8, to << 8);
  view.setUint16(offset, to << 8);
  // A sum of nothing but zeros is 0 and not 0xffff, and RFC 1624 cannot tell; 0xffff is right for both.
  view.setUint16(offset + CHECKSUM, updated === 0 ? 0xffff : updated);
}

/**
 * Writes the header in front of `length` - 8 bytes that are there already, with the checksum over all. `rest` is the
 * header's second word as a number, and `pseudoSum` as for `isIntact`.
 */
export function writeHeader(
  view: DataView,
  offset: number,
  length: number,
  typeNumber: number,
  codeNumber: number,
  rest: number,
  pseudoSum: number,
): void {
  view.setInt32(offset, ((typeNumber << 8) | codeNumber) << 16);
  view.setInt32(offset + REST, rest);
  view.setUint16(offset + CHECKSUM, checksum(view, offset, length, pseudoSum));
}
