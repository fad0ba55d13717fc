/**
 * A token bucket: how many messages of its own a worker sends. RFC 1812, section 4.3.2.8, and RFC 4443, section 2.4 (f), ask
 * it of everybody who sends ICMP errors, so that forged packets don't make us a source of floods. lb/forwarder.ts asks
 * `takeToken` before each of them.
 *
 * ```
 * words   thousandths of tokens | last refill, ms modulo 2^32 | tokens a second | burst
 * ```
 *
 * A thousandth of a token, times a rate a second, is what a millisecond brings: no fraction is ever rounded.
 */
// Hot path: no allocation, no throw, no closure, no await.

export type TokenBucket = Int32Array;

/** What Linux allows itself for all destinations together (`icmp_msgs_per_sec`, `icmp_msgs_burst`). */
export const ICMP_PER_SECOND = 1000;
export const ICMP_BURST = 50;

const TOKENS = 0;
const LAST = 1;
const RATE = 2;
const BURST = 3;

const TOKEN = 1000;

/** A full bucket of `burst` tokens, to which `perSecond` come a second; each at most a million. */
export function createTokenBucket(perSecond: number, burst: number, now: number): TokenBucket {
  return Int32Array.of(burst * TOKEN, now, perSecond, burst);
}

/**
 * Takes a token; false where none is left. `now` is in milliseconds modulo 2^32, on a clock that doesn't step. After more
 * than 24.8 days without a call the time between seems negative: it counts as none, and the next millisecond is good again.
 */
export function takeToken(bucket: TokenBucket, now: number): boolean {
  const elapsed = (now - bucket[LAST]) | 0;
  bucket[LAST] = now;
  if (elapsed > 0) {
    const full = bucket[BURST] * TOKEN;
    // At most 2^31 ms times a million, which is below 2^53: exact.
    bucket[TOKENS] = Math.min(full, bucket[TOKENS] + elapsed * bucket[RATE]);
  }
  if (bucket[TOKENS] < TOKEN) return false;
  bucket[TOKENS] -= TOKEN;
  return true;
}
