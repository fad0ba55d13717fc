/**
 * A random order that can be had again: lab/keepalive-client.ts and the matrix (lab/matrix-plan.ts) draw theirs here.
 */

/** Fisher and Yates, on a small seeded generator (mulberry32): the same seed gives the same order on every machine. */
export function shuffled(items: readonly number[], seed: number): number[] {
  const result = [...items];
  let state = seed >>> 0;
  for (let i = result.length - 1; i > 0; i--) {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const j = ((mixed ^ (mixed >>> 14)) >>> 0) % (i + 1);
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}
