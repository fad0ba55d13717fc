/**
 * The flow hash of IPv6: the same chain over the key bytes that hashing/flow-hash.ts lists, taken from where the addresses lie,
 * and what the connection table knows an address by. The forwarder calls `digestAndWord` for each packet, `flowSlotIpv6` for
 * those that need a backend.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { chainWords2, chainWords4, SOURCE_IP, SOURCE_IP_PORT, xxh32Word } from './flow-hash.ts';

/** The flow's hash, 0 to 2^32 - 1; `source` and `destination` are where the addresses stand, 16 bytes each. */
export function flowHashIpv6(
  kind: number,
  view: DataView,
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  seed: number,
): number {
  return flowHashWord(kind, view, source, destination, ports, protocol, seed) >>> 0;
}

/** The flow's slot in a lookup table: its hash mod `tableSize`. */
export function flowSlotIpv6(
  tableSize: number,
  kind: number,
  view: DataView,
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  seed: number,
): number {
  return (flowHashWord(kind, view, source, destination, ports, protocol, seed) >>> 0) % tableSize;
}

/** The chain over the address at `at`, as a signed word. */
export function addressDigest(view: DataView, at: number, seed: number): number {
  return chainWords4(
    view.getInt32(at, true),
    view.getInt32(at + 4, true),
    view.getInt32(at + 8, true),
    view.getInt32(at + 12, true),
    seed,
  );
}

/**
 * Another 32 bits of the address, which stand for it in the connection table while its place there comes from `addressDigest`: a
 * stranger shares an entry only if both are the same, and both ports. It is a sum of what the
 * chain was before its last link, the latest twice, and of the last word. Two addresses of one /64 never have the same word and the
 * same digest: the digest tells hash2 + PRIME_3 * last, the word 2 * hash2 + last, and that has one solution modulo 2^32.
 */
export function addressWord(view: DataView, at: number, seed: number): number {
  const hash0 = xxh32Word(view.getInt32(at, true), seed);
  const hash1 = xxh32Word(view.getInt32(at + 4, true), hash0);
  const hash2 = xxh32Word(view.getInt32(at + 8, true), hash1);
  return (hash0 + hash1 + (hash2 << 1) + view.getInt32(at + 12, true)) | 0;
}

/** Both in one pass, for each packet: returns the digest, and writes the word to `words[i]`. */
export function digestAndWord(words: Int32Array, i: number, view: DataView, at: number, seed: number): number {
  const hash0 = xxh32Word(view.getInt32(at, true), seed);
  const hash1 = xxh32Word(view.getInt32(at + 4, true), hash0);
  const hash2 = xxh32Word(view.getInt32(at + 8, true), hash1);
  const last = view.getInt32(at + 12, true);
  words[i] = (hash0 + hash1 + (hash2 << 1) + last) | 0;
  return xxh32Word(last, hash2);
}

/**
 * As `connectionHash` of hashing/flow-hash.ts: the chain over the source address, which `digest` is, and both ports. A signed word.
 */
export function connectionHashIpv6(digest: number, ports: number): number {
  return xxh32Word(ports, digest);
}

function flowHashWord(
  kind: number,
  view: DataView,
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  seed: number,
): number {
  const client = addressDigest(view, source, seed);
  if (kind === SOURCE_IP) return client;
  if (kind === SOURCE_IP_PORT) return xxh32Word(ports & 0xffff, client);
  return chainWords2(ports, protocol, addressDigest(view, destination, client));
}
