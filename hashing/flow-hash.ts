/**
 * The flow hash: a chain of seeded XXH32 over a few words of the packet. The forwarder calls it for each packet that needs a backend;
 * slot `hash mod tableSize` of the service's lookup table names it. All balancers of a service must agree on kind and
 * seed, or a flow that moves from one to the other changes its backend.
 *
 * What is hashed, in the order and byte order of the packet itself:
 *
 * | kind | key bytes | IPv4 | IPv6 |
 * |---|---|---|---|
 * | source-ip | source address | 4 | 16 |
 * | source-ip-port | source address, source port, two zero bytes | 8 | 20 |
 * | five-tuple | source address, destination address, source port, destination port, protocol, three zero bytes | 16 | 40 |
 *
 * The chain: the hash is XXH32 of the key's first four bytes with the seed, then XXH32 of the next four with that hash as
 * their seed, and so on, so that any XXH32 gives the same number. XXH32 of the whole key would be one call, but it adds
 * words to each other before it mixes them well: whoever chooses an address and a port can undo with the second what the
 * first has changed, under almost any seed (test/hashing/chosen-flows.test.ts does it). In the chain a word meets the
 * next behind all of XXH32's last step, the avalanche, and what a change looks like there depends on the seed.
 *
 * Words are the key's bytes loaded four at a time in little-endian order. `view.getInt32(at, true)` and `getUint32` give
 * the same hash, but only signed words stay free of allocation: V8 boxes a number above 2^31 wherever a call is not
 * inlined, 16 bytes for every second packet. Every key is a whole number of words. The addresses of IPv6 stay in the packet and
 * are hashed there: hashing/flow-hash-ipv6.ts, by the same link.
 *
 * Source, of a link: the xxHash specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md, "XXH32".
 */
// Hot path: no allocation, no throw, no closure, no await.

export const SOURCE_IP = 0;
export const SOURCE_IP_PORT = 1;
export const FIVE_TUPLE = 2;

const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/**
 * The flow's hash, 0 to 2^32 - 1: the definition, which the tests hold against the specification's XXH32. `kind` is SOURCE_IP,
 * SOURCE_IP_PORT or FIVE_TUPLE; `ports` is the word of the four port bytes, the source port's first.
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
  return chainWords2(source, ports, seed);
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
  if (kind === SOURCE_IP_PORT) return chainWords2(source, ports & 0xffff, seed);
  return chainWords4(source, destination, ports, protocol, seed);
}

/** XXH32 of 4 bytes, as a signed word: one link of the chain, a permutation of the words for each seed. */
export function xxh32Word(word: number, seed: number): number {
  return avalanche(mixWord((seed + PRIME_5 + 4) | 0, word));
}

/** The chain over two words, as a signed word. */
export function chainWords2(word0: number, word1: number, seed: number): number {
  return xxh32Word(word1, xxh32Word(word0, seed));
}

/** The chain over four words, as a signed word. */
export function chainWords4(word0: number, word1: number, word2: number, word3: number, seed: number): number {
  return chainWords2(word2, word3, chainWords2(word0, word1, seed));
}

function mixWord(hash: number, word: number): number {
  const mixed = (hash + Math.imul(word, PRIME_3)) | 0;
  return Math.imul((mixed << 17) | (mixed >>> 15), PRIME_4);
}

function avalanche(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  mixed = Math.imul(mixed ^ (mixed >>> 13), PRIME_3);
  return mixed ^ (mixed >>> 16);
}
