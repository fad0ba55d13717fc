/**
 * Durations as people write and read them: '350s' in, '350 s' and '5 d' out. The command line and the reports call it.
 */

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** '350s' as 350000; undefined where it is no whole number with a unit (ms, s, m, h, d). */
export function parseDuration(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,10})(ms|s|m|h|d)$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** In seconds, to a tenth, up to a day; then in days, to a hundredth. Below a second in milliseconds. */
export function formatDuration(ms: number): string {
  if (ms > 0 && ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < UNIT_MS.d) return `${Math.round(ms / 100) / 10} s`;
  return `${Math.round(ms / 864_000) / 100} d`;
}

/** A point in time of a story: what takes milliseconds is told as happening at once. */
export function formatTime(ms: number): string {
  return formatDuration(ms < 50 ? 0 : Math.max(ms, 1000));
}
