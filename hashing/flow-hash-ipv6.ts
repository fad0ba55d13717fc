/**
 * The flow hash of IPv6: the same XXH32 over the key bytes that hashing/flow-hash.ts lists, taken from where the addresses lie,
 * and what the connection table knows an address by. The forwarder calls `addressDigest` and `addressWord` for each packet, `flowSlotIpv6` for
 * those that need a backend.
 */
// Hot path: no allocation, no throw, no closure, no await.
import {
  avalanche,
  joinLanes,
  mixLane,
  mixWord,
  PRIME_1,
  PRIME_2,
  SOURCE_IP,
  SOURCE_IP_PORT,
  xxh32Words4,
} from './flow-hash.ts';

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

/** XXH32 of the 16 bytes at `at`, as a signed word. */
export function addressDigest(view: DataView, at: number, seed: number): number {
  return xxh32Words4(
    view.getInt32(at, true),
    view.getInt32(at + 4, true),
    view.getInt32(at + 8, true),
    view.getInt32(at + 12, true),
    seed,
  );
}

/**
 * Another 32 bits of the address, which stand for it in the connection table while its place there comes from `addressDigest`: a
 * stranger shares an entry only if both are the same, and both ports. It takes the words one after the other where XXH32 takes
 * each in a lane of its own, because addresses that XXH32 confuses with one seed it often confuses with any.
 */
export function addressWord(view: DataView, at: number, seed: number): number {
  let hash = mixWord(seed, view.getInt32(at + 12, true));
  hash = mixWord(hash, view.getInt32(at + 8, true));
  hash = mixWord(hash, view.getInt32(at + 4, true));
  return avalanche(mixWord(hash, view.getInt32(at, true)));
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
  if (kind === SOURCE_IP) return addressDigest(view, source, seed);
  let lane0 = mixLane((seed + PRIME_1 + PRIME_2) | 0, view.getInt32(source, true));
  let lane1 = mixLane((seed + PRIME_2) | 0, view.getInt32(source + 4, true));
  let lane2 = mixLane(seed | 0, view.getInt32(source + 8, true));
  let lane3 = mixLane((seed - PRIME_1) | 0, view.getInt32(source + 12, true));
  if (kind === SOURCE_IP_PORT) {
    const stripe = (joinLanes(lane0, lane1, lane2, lane3) + 20) | 0;
    return avalanche(mixWord(stripe, ports & 0xffff));
  }
  lane0 = mixLane(lane0, view.getInt32(destination, true));
  lane1 = mixLane(lane1, view.getInt32(destination + 4, true));
  lane2 = mixLane(lane2, view.getInt32(destination + 8, true));
  lane3 = mixLane(lane3, view.getInt32(destination + 12, true));
  const stripes = (joinLanes(lane0, lane1, lane2, lane3) + 40) | 0;
  return avalanche(mixWord(mixWord(stripes, ports), protocol));
}
