/**
 * What stands around packets, for tests: VLAN tags, GRE, GUE, and the pieces of a fragmented datagram. Built byte by byte from
 * IEEE 802.1Q, RFC 2784, draft-ietf-intarea-gue and RFC 791, and on purpose not with wire/ or dsr/.
 */
import { internetChecksum } from './packets.ts';

export const PROTOCOL_IPV4 = 4;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_IPV6 = 41;
export const PROTOCOL_GRE = 47;

const u16 = (value: number): number[] => [(value >> 8) & 255, value & 255];

export interface Tag {
  /** Priority (3 bits), drop eligible (1) and VLAN (12) as one word. */
  readonly control: number;
  /** 0x8100, or 0x88a8 for the outer one of QinQ. */
  readonly type?: number;
}

/** The frame with tags between its addresses and its type, the outer one first. */
export function tagged(frame: Uint8Array, ...tags: readonly Tag[]): Uint8Array {
  const bytes = tags.flatMap(({ control, type = 0x8100 }) => [...u16(type), ...u16(control)]);
  return Uint8Array.from([...frame.subarray(0, 12), ...bytes, ...frame.subarray(12)]);
}

const etherTypeOf = (packet: readonly number[]): number => (packet[0] >> 4 === 6 ? 0x86dd : 0x0800);

/** By which number the header in front names the packet: RFC 2003, RFC 2473. */
export const protocolOf = (packet: readonly number[]): number => (packet[0] >> 4 === 6 ? PROTOCOL_IPV6 : PROTOCOL_IPV4);

/** RFC 2784 without checksum and key: four bytes. */
export function gre(packet: readonly number[]): number[] {
  return [0, 0, ...u16(etherTypeOf(packet)), ...packet];
}

/** UDP without a checksum around a GUE header of variant 0 (four bytes, no options), or the bare packet of variant 1. */
export function gue(packet: readonly number[], variant: 0 | 1, sourcePort: number, port = 6080): number[] {
  const header = variant === 0 ? [0, protocolOf(packet), 0, 0] : [];
  const payload = [...header, ...packet];
  return [...u16(sourcePort), ...u16(port), ...u16(8 + payload.length), 0, 0, ...payload];
}

/** The pieces of an IPv4 packet without options, with as many bytes of data as `sizes` says and the rest in the last one. */
export function fragmentsOf(packet: readonly number[], ...sizes: readonly number[]): number[][] {
  const data = packet.slice(20);
  const ends = [...sizes.map((_, i) => sizes.slice(0, i + 1).reduce((sum, size) => sum + size, 0)), data.length];
  return ends.map((end, i) => {
    const start = i === 0 ? 0 : ends[i - 1];
    const more = i === ends.length - 1 ? 0 : 0x2000;
    return piece(packet.slice(0, 20), data.slice(start, end), more | (start / 8));
  });
}

function piece(header: readonly number[], data: readonly number[], place: number): number[] {
  const bytes = [...header];
  [bytes[2], bytes[3]] = u16(20 + data.length);
  [bytes[6], bytes[7]] = u16(place);
  [bytes[10], bytes[11]] = [0, 0];
  [bytes[10], bytes[11]] = u16(internetChecksum(bytes));
  return [...bytes, ...data];
}
