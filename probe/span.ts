/**
 * Times as the probe's and the audit's sentences show them. Infinity reads 'never'.
 */

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

/** 350 → '350 ms', 75_040 → '75.04 s', 7_200_000 → '2 h', 432_000_000 → '5 d'. */
export function formatSpan(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return 'never';
  if (Math.round(ms) < SECOND) return `${Math.round(ms)} ms`;
  if (ms >= 2 * DAY && ms % DAY === 0) return `${ms / DAY} d`;
  if (ms >= 2 * HOUR && ms % HOUR === 0) return `${ms / HOUR} h`;
  return `${Number((ms / SECOND).toFixed(ms < 100 * SECOND ? 2 : 1))} s`;
}

/** A time comfortably below: four fifths, in two digits. 75 s → 60 s, 350 s → 280 s. */
export function wellBelow(ms: number): number {
  return twoDigits(ms * 0.8, Math.floor);
}

/** A time comfortably above: five quarters, in two digits. 60 s → 75 s, 350 s → 440 s. */
export function wellAbove(ms: number): number {
  return twoDigits(ms * 1.25, Math.ceil);
}

function twoDigits(ms: number, round: (value: number) => number): number {
  if (!Number.isFinite(ms)) return ms;
  const step = 10 ** (Math.floor(Math.log10(ms)) - 1);
  return round(ms / step) * step;
}
