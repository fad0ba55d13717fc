/**
 * XXH64, the 64-bit string hash that places backends in the Maglev lookup table and makes its fingerprint.
 *
 * Called when a table is built, never per packet. Each 64-bit number is held as two 32-bit words: BigInt arithmetic in
 * loops like these aborts Node 20.20 (V8's optimising compiler dies with "RepresentationChangerError").
 *
 * Source: the xxHash specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
 */

const PRIME_1_LOW = 0x85ebca87;
const PRIME_1_HIGH = 0x9e3779b1;
const PRIME_2_LOW = 0x27d4eb4f;
const PRIME_2_HIGH = 0xc2b2ae3d;
const PRIME_3_LOW = 0x9e3779f9;
const PRIME_3_HIGH = 0x165667b1;
const PRIME_4_LOW = 0xc2b2ae63;
const PRIME_4_HIGH = 0x85ebca77;
const PRIME_5_LOW = 0x165667c5;
const PRIME_5_HIGH = 0x27d4eb2f;

/** 2^64 - prime 1: adding it subtracts the prime. */
const MINUS_PRIME_1_LOW = 0x7a143579;
const MINUS_PRIME_1_HIGH = 0x61c8864e;

const STRIPE_LENGTH = 32;

/** The four lanes that a stripe is hashed in, two words each, and how far each is rotated when they are joined. */
const lanes = new Int32Array(8);
const JOIN_ROTATIONS = [1, 7, 12, 18];

/** The high word of what `add`, `multiply`, `round` and all that end in one of them returned the low word of. */
let resultHigh = 0;

/** The hash as one unsigned number. The seed is taken modulo 2^64. */
export function xxh64(bytes: Uint8Array, seed: bigint | number): bigint {
  const out = new Uint32Array(2);
  const wideSeed = BigInt.asUintN(64, BigInt(seed));
  xxh64Into(out, bytes, Number(wideSeed & 0xffffffffn), Number(wideSeed >> 32n));
  return (BigInt(out[1]) << 32n) | BigInt(out[0]);
}

/** Writes the hash to `out`: low word, then high word. The seed is given as the same two words. */
export function xxh64Into(out: Uint32Array, bytes: Uint8Array, seedLow: number, seedHigh: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tailStart = bytes.length - (bytes.length % STRIPE_LENGTH);
  let low =
    tailStart > 0 ? hashStripes(view, tailStart, seedLow, seedHigh) : add(seedLow, seedHigh, PRIME_5_LOW, PRIME_5_HIGH);
  low = add(low, resultHigh, bytes.length, 0);
  low = hashTail(view, tailStart, low, resultHigh);
  low = avalanche(low, resultHigh);
  out[0] = low;
  out[1] = resultHigh;
}

/** Takes in all whole stripes of 32 bytes. */
function hashStripes(view: DataView, end: number, seedLow: number, seedHigh: number): number {
  const low1 = add(seedLow, seedHigh, PRIME_1_LOW, PRIME_1_HIGH);
  setLane(0, add(low1, resultHigh, PRIME_2_LOW, PRIME_2_HIGH));
  setLane(2, add(seedLow, seedHigh, PRIME_2_LOW, PRIME_2_HIGH));
  setLane(4, add(seedLow, seedHigh, 0, 0));
  setLane(6, add(seedLow, seedHigh, MINUS_PRIME_1_LOW, MINUS_PRIME_1_HIGH));
  for (let at = 0; at < end; at += STRIPE_LENGTH) {
    for (let lane = 0, from = at; lane < 8; lane += 2, from += 8) {
      setLane(lane, round(lanes[lane], lanes[lane + 1], view.getInt32(from, true), view.getInt32(from + 4, true)));
    }
  }

  let low = 0;
  resultHigh = 0;
  for (let lane = 0; lane < 8; lane += 2) {
    const bits = JOIN_ROTATIONS[lane >> 1];
    const rotatedLow = rotate(lanes[lane], lanes[lane + 1], bits);
    low = add(low, resultHigh, rotatedLow, rotate(lanes[lane + 1], lanes[lane], bits));
  }
  for (let lane = 0; lane < 8; lane += 2) {
    const high = resultHigh;
    low ^= round(0, 0, lanes[lane], lanes[lane + 1]);
    low = multiply(low, high ^ resultHigh, PRIME_1_LOW, PRIME_1_HIGH);
    low = add(low, resultHigh, PRIME_4_LOW, PRIME_4_HIGH);
  }
  return low;
}

/** Keeps a result: the low word that was returned and its high word. */
function setLane(lane: number, low: number): void {
  lanes[lane] = low;
  lanes[lane + 1] = resultHigh;
}

/** Takes in the last 0 to 31 bytes: by eight, then four, then one by one. */
function hashTail(view: DataView, start: number, hashLow: number, hashHigh: number): number {
  let low = hashLow;
  let high = hashHigh;
  let at = start;
  for (; at + 8 <= view.byteLength; at += 8) {
    low ^= round(0, 0, view.getInt32(at, true), view.getInt32(at + 4, true));
    high ^= resultHigh;
    low = multiply(rotate(low, high, 27), rotate(high, low, 27), PRIME_1_LOW, PRIME_1_HIGH);
    low = add(low, resultHigh, PRIME_4_LOW, PRIME_4_HIGH);
    high = resultHigh;
  }
  if (at + 4 <= view.byteLength) {
    low ^= multiply(view.getInt32(at, true), 0, PRIME_1_LOW, PRIME_1_HIGH);
    high ^= resultHigh;
    low = multiply(rotate(low, high, 23), rotate(high, low, 23), PRIME_2_LOW, PRIME_2_HIGH);
    low = add(low, resultHigh, PRIME_3_LOW, PRIME_3_HIGH);
    high = resultHigh;
    at += 4;
  }
  for (; at < view.byteLength; at++) {
    low ^= multiply(view.getUint8(at), 0, PRIME_5_LOW, PRIME_5_HIGH);
    high ^= resultHigh;
    low = multiply(rotate(low, high, 11), rotate(high, low, 11), PRIME_1_LOW, PRIME_1_HIGH);
    high = resultHigh;
  }
  resultHigh = high;
  return low;
}

/** h ^= h >> 33; h *= prime 2; h ^= h >> 29; h *= prime 3; h ^= h >> 32. */
function avalanche(hashLow: number, hashHigh: number): number {
  let low = multiply(hashLow ^ (hashHigh >>> 1), hashHigh, PRIME_2_LOW, PRIME_2_HIGH);
  const high = resultHigh;
  low = multiply(low ^ (low >>> 29) ^ (high << 3), high ^ (high >>> 29), PRIME_3_LOW, PRIME_3_HIGH);
  return low ^ resultHigh;
}

/** One round: rotate(accumulator + input * prime 2, 31) * prime 1. */
function round(accumulatorLow: number, accumulatorHigh: number, inputLow: number, inputHigh: number): number {
  const product = multiply(inputLow, inputHigh, PRIME_2_LOW, PRIME_2_HIGH);
  const low = add(accumulatorLow, accumulatorHigh, product, resultHigh);
  const high = resultHigh;
  return multiply(rotate(low, high, 31), rotate(high, low, 31), PRIME_1_LOW, PRIME_1_HIGH);
}

/** One word of a number rotated left by 1 to 31 bits; `other` is its other word. */
function rotate(word: number, other: number, bits: number): number {
  return (word << bits) | (other >>> (32 - bits));
}

function add(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  const low = (aLow + bLow) | 0;
  const carry = low >>> 0 < bLow >>> 0 ? 1 : 0;
  resultHigh = (aHigh + bHigh + carry) | 0;
  return low;
}

/** The low 64 bits of the product. The upper half of aLow * bLow does not fit a double: it is made of 16-bit digits. */
function multiply(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  const a0 = aLow & 0xffff;
  const a1 = aLow >>> 16;
  const b0 = bLow & 0xffff;
  const b1 = bLow >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const upper = a1 * b1 + (middle >>> 16) + ((a0 * b1 + (middle & 0xffff)) >>> 16);
  resultHigh = (upper + Math.imul(aLow, bHigh) + Math.imul(aHigh, bLow)) | 0;
  return Math.imul(aLow, bLow);
}
