/**
 * Times in options, written as in the configuration: '60s'. audit.ts, probe-idle.ts and simulate.ts call it.
 */
import { expectedDuration, parseDuration } from '../lb/duration.ts';
import { UsageError } from './errors.ts';

/** Milliseconds, or a UsageError that names the option. */
export function durationOf(option: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  const expected = expectedDuration(/^\d+(?:\.\d+)?$/.test(text));
  throw new UsageError(`--${option}: expected ${expected}, got ${JSON.stringify(text)}`);
}

/** The same, and Infinity for 'never': a client or server without a timeout. */
export function durationOrNever(option: string, text: string): number {
  if (text === 'never') return Number.POSITIVE_INFINITY;
  return durationOf(option, text);
}
