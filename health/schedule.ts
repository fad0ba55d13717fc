/**
 * When a backend is checked: at random within its first interval, so that ten thousand checks don't start at once and never
 * fall into step; then every interval, a tenth more or less. Pure: `random` is 0 to 1, as Math.random gives it. Called by
 * health/monitor.ts.
 */

/** How far a wait may be from the interval, as a share of it. */
export const JITTER = 0.1;

export function firstWaitMs(intervalMs: number, random: number): number {
  return intervalMs * random;
}

/** From the beginning of one check to the beginning of the next. */
export function nextWaitMs(intervalMs: number, random: number): number {
  return intervalMs * (1 + JITTER * (2 * random - 1));
}
