/** VLAN tags (IEEE 802.1Q, 802.1ad) and pieces of datagrams (RFC 791) for tests, built byte by byte and on purpose not with wire/. */
import { internetChecksum } from './packets.ts';

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
