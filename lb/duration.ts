/**
 * Times as people write them, '60s': the one rule for the configuration (config.ts) and for the options of commands
 * (cli/duration-option.ts).
 */

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const MAX_DURATION_MS = 30 * UNIT_MS.d;

/** Milliseconds; undefined for what is no time from 1ms to 30d with its unit. */
export function parseDuration(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,10})(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS];
  return ms >= 1 && ms <= MAX_DURATION_MS ? ms : undefined;
}

/** What follows "expected" in a complaint. Whoever wrote a time right, and only too short or too long, knows how. */
export function expectedDuration(given: unknown): string {
  const isSpelledRight =
    given === null || given === undefined || (typeof given === 'string' && /^-?\d+(?:ms|s|m|h|d)$/.test(given));
  return `a time from 1ms to 30d, such as 60s${isSpelledRight ? '' : ': a whole number with its unit (ms, s, m, h or d)'}`;
}
