/**
 * Times in options, written as in the configuration: '60s'. audit.ts, probe-idle.ts and simulate.ts call it.
 */
import { expectedDuration, parseDuration } from '../lb/duration.ts';
import { UsageError } from './errors.ts';

/** Milliseconds, or a UsageError that names the option. */
export function durationOf(option: string, text: string, leastMs = 1): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= leastMs) return ms;
  const least = leastMs < 1000 ? `${leastMs}ms` : `${leastMs / 1000}s`;
  const expected = ms === undefined ? expectedDuration(text) : `a time from ${least} to 30d`;
  throw new UsageError(`--${option}: expected ${expected}, got ${JSON.stringify(text)}`);
}

/** The same, and Infinity for 'never': a client or server without a timeout. */
export function durationOrNever(option: string, text: string): number {
  if (text === 'never') return Number.POSITIVE_INFINITY;
  return durationOf(option, text);
}

/** The same, and null where it is not given, 'off' or 'never', whichever word comes to mind. */
export function durationOrOff(option: string, text: string | undefined, leastMs = 1): number | null {
  return text === undefined || text === 'off' || text === 'never' ? null : durationOf(option, text, leastMs);
}
