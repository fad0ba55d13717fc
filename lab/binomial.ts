/**
 * How far chance may take a count: for promises about connections that a hash spreads. Exact where a normal distribution
 * is none, with few connections or small shares. lab/change.ts calls it.
 */

/** As rare as 4.5 standard deviations of a normal distribution, on one side: one run in 300,000. */
const TAIL = 3.4e-6;

/** The least and the most of `count` that happen where each happens with probability `share`, 0 to 1. */
export function binomialBounds(count: number, share: number): [low: number, high: number] {
  if (share <= 0) return [0, 0];
  if (share >= 1) return [count, count];
  // In logarithms: (1 - share)^2000 is no number that a double can hold.
  let logChance = count * Math.log1p(-share);
  let sum = 0;
  let low: number | undefined;
  for (let k = 0; k < count; k++) {
    sum += Math.exp(logChance);
    if (low === undefined && sum > TAIL) low = k;
    if (sum >= 1 - TAIL) return [low ?? k, k];
    logChance += Math.log((count - k) / (k + 1)) + Math.log(share / (1 - share));
  }
  return [low ?? count, count];
}
