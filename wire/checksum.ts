/**
 * The Internet checksum (RFC 1071), whole and incremental (RFC 1624).
 *
 * Sums are plain numbers: up to 32,768 sixteen-bit words fit without an overflow, folding comes last.
 */
// Hot path: no allocation, no throw, no closure, no await.

/** Adds `length` bytes from `offset` as big-endian words to `sum`; an odd last byte counts as its high half. */
export function sumWords(view: DataView, offset: number, length: number, sum: number): number {
  const end = offset + (length & ~1);
  let total = sum;
  for (let i = offset; i < end; i += 2) total += view.getUint16(i);
  if ((length & 1) !== 0) total += view.getUint8(end) << 8;
  return total;
}

/** Folds the carries of a sum below 2^32 back in; the result is 0 to 0xffff. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** The checksum field for `length` bytes whose own checksum field is zero, or 0 where they carry a right one. */
export function checksum(view: DataView, offset: number, length: number, sum = 0): number {
  return ~fold(sumWords(view, offset, length, sum)) & 0xffff;
}

/** The checksum after one sixteen-bit word has changed: HC' = ~(~HC + ~m + m') (RFC 1624, equation 3). */
export function updateChecksum(old: number, oldWord: number, newWord: number): number {
  return ~fold((~old & 0xffff) + (~oldWord & 0xffff) + newWord) & 0xffff;
}
