/** How evenly flows spread: chi-square, and the bound that one in a million even spreads exceeds. For the tests of attackers. */

/**
 * Chi-square beyond which one in 10^6 even spreads lies, for `cells` of equal chance: Wilson and Hilferty's cube (1931), at
 * 4.75 standard deviations.
 */
export function bound(cells: number): number {
  const k = cells - 1;
  return k * (1 - 2 / (9 * k) + 4.75 * Math.sqrt(2 / (9 * k))) ** 3;
}

export function chiSquare(counts: readonly number[], shares: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count, i) => sum + (count - total * shares[i]) ** 2 / (total * shares[i]), 0);
}
