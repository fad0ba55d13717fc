/**
 * The flow hash: seeded XXH32 over a few bytes of the packet. The forwarder calls it for each packet that needs a backend;
 * slot `hash mod tableSize` of the service's lookup table names it. All balancers of a service must agree on kind and
 * seed, or a flow that moves from one to the other changes its backend.
 *
 * What is hashed, in the order and byte order of the packet itself, so that any XXH32 gives the same number:
 *
 * | kind | key bytes | IPv4 | IPv6 |
 * |---|---|---|---|
 * | source-ip | source address | 4 | 16 |
 * | source-ip-port | source address, source port, two zero bytes | 8 | 20 |
 * | five-tuple | source address, destination address, source port, destination port, protocol, three zero bytes | 16 | 40 |
 *
 * Words are the key's bytes loaded four at a time in little-endian order. `view.getInt32(at, true)` and `getUint32` give
 * the same hash, but only signed words stay free of allocation: V8 boxes a number above 2^31 wherever a call is not
 * inlined, 16 bytes for every second packet. Every key is a whole number of words. The addresses of IPv6 stay in the packet and
 * are hashed there: hashing/flow-hash-ipv6.ts, by the steps at the end of this file.
 *
 * Source: the xxHash specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md, "XXH32".
 */
// Hot path: no allocation, no throw, no closure, no await.

export const SOURCE_IP = 0;
export const SOURCE_IP_PORT = 1;
export const FIVE_TUPLE = 2;

export const PRIME_1 = 0x9e3779b1;
export const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/**
 * The flow's hash, 0 to 2^32 - 1. `kind` is SOURCE_IP, SOURCE_IP_PORT or FIVE_TUPLE; `ports` is the word of the four port
 * bytes, the source port's first.
 */
export function flowHash(
  kind: number,
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  seed: number,
): number {
  return flowHashWord(kind, source, destination, ports, protocol, seed) >>> 0;
}

/** The flow's slot in a lookup table: its hash mod `tableSize`. What the forwarder calls, as it is never boxed. */
export function flowSlot(
  tableSize: number,
  kind: number,
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  seed: number,
): number {
  return (flowHashWord(kind, source, destination, ports, protocol, seed) >>> 0) % tableSize;
}

/**
 * Places a connection in its service's connection table, whatever the service hashes by: over the source address and
 * both ports, because connections that share a hash share eight slots there. A signed word.
 */
export function connectionHash(source: number, ports: number, seed: number): number {
  return xxh32Words2(source, ports, seed);
}

function flowHashWord(
  kind: number,
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  seed: number,
): number {
  if (kind === SOURCE_IP) return xxh32Word(source, seed);
  if (kind === SOURCE_IP_PORT) return xxh32Words2(source, ports & 0xffff, seed);
  return xxh32Words4(source, destination, ports, protocol, seed);
}

/** XXH32 of 4 bytes, as a signed word. */
export function xxh32Word(word: number, seed: number): number {
  return avalanche(mixWord((seed + PRIME_5 + 4) | 0, word));
}

/** XXH32 of 8 bytes, as a signed word. */
export function xxh32Words2(word0: number, word1: number, seed: number): number {
  return avalanche(mixWord(mixWord((seed + PRIME_5 + 8) | 0, word0), word1));
}

/** XXH32 of 16 bytes, as a signed word: one whole stripe, a lane for each word. */
export function xxh32Words4(word0: number, word1: number, word2: number, word3: number, seed: number): number {
  const lane0 = mixLane((seed + PRIME_1 + PRIME_2) | 0, word0);
  const lane1 = mixLane((seed + PRIME_2) | 0, word1);
  const lane2 = mixLane(seed | 0, word2);
  const lane3 = mixLane((seed - PRIME_1) | 0, word3);
  return avalanche((joinLanes(lane0, lane1, lane2, lane3) + 16) | 0);
}

/** What a key of 16 bytes and more has instead of a start: its lanes in one. Its length comes on top. */
export function joinLanes(lane0: number, lane1: number, lane2: number, lane3: number): number {
  return (rotate(lane0, 1) + rotate(lane1, 7) + rotate(lane2, 12) + rotate(lane3, 18)) | 0;
}

/** One word of a stripe into its lane; lanes begin at seed + PRIME_1 + PRIME_2, seed + PRIME_2, seed and seed - PRIME_1. */
export function mixLane(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, PRIME_2)) | 0, 13), PRIME_1);
}

export function mixWord(hash: number, word: number): number {
  return Math.imul(rotate((hash + Math.imul(word, PRIME_3)) | 0, 17), PRIME_4);
}

export function avalanche(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  mixed = Math.imul(mixed ^ (mixed >>> 13), PRIME_3);
  return mixed ^ (mixed >>> 16);
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
