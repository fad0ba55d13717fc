/**
 * pcapng files for tests, by hand from draft-ietf-opsawg-pcapng and on purpose not with io/pcapng.ts: in either byte order,
 * with whatever lies a test wants.
 */

export type Order = 'little-endian' | 'big-endian';

export interface BlockBuilder {
  u16(...values: number[]): Buffer;
  u32(...values: number[]): Buffer;
  u64(value: bigint): Buffer;
  block(type: number, ...parts: Uint8Array[]): Buffer;
  option(code: number, value: Uint8Array | string): Buffer;
  section(): Buffer;
  interface(options?: Uint8Array[], linkType?: number, snapLength?: number): Buffer;
  packet(fields: PacketFields): Buffer;
}

export interface PacketFields {
  ticks: bigint;
  bytes: readonly number[];
  interface?: number;
  original?: number;
  options?: Uint8Array[];
}

const END = Buffer.alloc(4);

export function pcapngIn(order: Order): BlockBuilder {
  const little = order === 'little-endian';
  const number = (length: 2 | 4 | 8) => (value: bigint) => {
    const bytes = Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
    return Buffer.from(little ? bytes : bytes.reverse());
  };
  const u16 = (...values: number[]) => Buffer.concat(values.map((value) => number(2)(BigInt(value))));
  const u32 = (...values: number[]) => Buffer.concat(values.map((value) => number(4)(BigInt(value))));
  const u64 = number(8);
  const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const block = (type: number, ...parts: Uint8Array[]) => {
    const body = Buffer.concat(parts);
    return Buffer.concat([u32(type, body.length + 12), body, u32(body.length + 12)]);
  };
  return {
    u16,
    u32,
    u64,
    block,
    option: (code, value) => Buffer.concat([u16(code, Buffer.from(value).length), padded(Buffer.from(value))]),
    section: () => block(0x0a0d0d0a, u32(0x1a2b3c4d), u16(1, 0), u64(0xffff_ffff_ffff_ffffn)),
    interface: (options = [], linkType = 1, snapLength = 0) =>
      block(1, u16(linkType, 0), u32(snapLength), ...options, options.length > 0 ? END : Buffer.alloc(0)),
    packet: ({ ticks, bytes, interface: id = 0, original = bytes.length, options = [] }) =>
      block(
        6,
        u32(id, Number(ticks >> 32n), Number(ticks & 0xffff_ffffn), bytes.length, original),
        padded(Uint8Array.from(bytes)),
        ...options,
        options.length > 0 ? END : Buffer.alloc(0),
      ),
  };
}
