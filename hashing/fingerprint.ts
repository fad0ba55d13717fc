/**
 * The fingerprint of a lookup table: two balancers that show the same one send every flow to the same backend.
 *
 * It is xxh64 with seed 0, as 16 hex digits with the most significant first, over these bytes, all numbers unsigned and
 * little-endian whatever the machine:
 *
 *   u32 table size M · u32 number of backends · for each backend in table order: u32 length of its name in bytes, the
 *   name in UTF-8 · for each slot from 0 to M - 1: u16 index of its backend, or 0xffff for none
 *
 * Weights are left out: all that they decide is in the slots.
 */
import { endianness } from 'node:os';
import { xxh64 } from './xxh64.ts';

/** Reused: of a thousand tables these copies would be most of what is collected meanwhile. */
let scratch = new Uint8Array(0);

/** 16 hex digits; `backends` in table order, `entries` as a lookup table has them: an index into `backends`, or NO_BACKEND. */
export function tableFingerprint(tableSize: number, backends: readonly string[], entries: Uint16Array): string {
  const names = backends.map((name) => Buffer.from(name));
  const namesLength = names.reduce((length, name) => length + 4 + name.length, 0);
  const length = 8 + namesLength + 2 * entries.length;
  if (length > scratch.length) scratch = new Uint8Array(length);
  const bytes = scratch.subarray(0, length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, tableSize, true);
  view.setUint32(4, names.length, true);
  let at = 8;
  for (const name of names) {
    view.setUint32(at, name.length, true);
    bytes.set(name, at + 4);
    at += 4 + name.length;
  }
  bytes.set(new Uint8Array(entries.buffer, entries.byteOffset, entries.byteLength), at);
  if (endianness() === 'BE') Buffer.from(bytes.buffer, at, entries.byteLength).swap16();
  return xxh64(bytes, 0).toString(16).padStart(16, '0');
}
