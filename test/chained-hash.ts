/** The flow hash's chain, of links that are the reference's: XXH32 of each four bytes, with the hash so far as seed. */
import xxhash from 'xxhash-wasm';

const { h32Raw } = await xxhash();

/** 0 to 2^32 - 1; the key is a whole number of words. */
export function chained(key: Uint8Array, seed: number): number {
  let hash = seed;
  for (let at = 0; at < key.length; at += 4) hash = h32Raw(key.subarray(at, at + 4), hash);
  return hash;
}
