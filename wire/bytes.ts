/**
 * Copying bytes between two views, for lb/fragments.ts and lb/fragmenting.ts. By words: what typed arrays offer for it
 * copies within one array, or from a `subarray`, which is an allocation.
 */
// Hot path: no allocation, no throw, no closure, no await.

/** The two places must not overlap; the views may be the same. */
export function copyBytes(from: DataView, fromOffset: number, to: DataView, toOffset: number, length: number): void {
  const words = length & ~3;
  for (let i = 0; i < words; i += 4) to.setInt32(toOffset + i, from.getInt32(fromOffset + i));
  for (let i = words; i < length; i++) to.setUint8(toOffset + i, from.getUint8(fromOffset + i));
}
