/**
 * What a probe's observations come to: pure, called by probe.ts after each round.
 */
import type { Ending } from './connection.ts';
import type { Observation } from './observe.ts';

export interface Finding {
  /**
   * closed: the other side ends connections while they idle. died: they are dead when used after the time, and nobody
   * had said so. outlived: nothing happened within the longest time. not-kept: the server closes after each answer.
   * unknown: interrupted too early to tell.
   */
  readonly result: 'closed' | 'died' | 'outlived' | 'not-kept' | 'unknown';
  readonly ending: Ending | null;
  /** The longest idle that is known to have lived; 0 where none did. */
  readonly livedMs: number;
  /** The shortest idle that is known to have ended it; null where none did. */
  readonly diedMs: number | null;
  /** How many connections tell so. */
  readonly witnesses: number;
  /** False where some connections lived longer than others: several servers or boxes with settings of their own. */
  readonly uniform: boolean;
}

/** Connections that are closed within this share of the time from each other agree. */
const AGREEMENT = 0.1;
const AGREEMENT_MS = 250;

/** `roundTripMs` is how uncertain the moment of an end is, seen from here. */
export function conclude(observations: readonly Observation[], roundTripMs: number): Finding {
  const of = (outcome: Observation['outcome']): Observation[] =>
    observations.filter((observation) => observation.outcome === outcome).sort((a, b) => a.idleMs - b.idleMs);
  const [lived, died, closed, unused] = [of('lived'), of('died'), of('closed'), of('unused')];
  const longest = lived.at(-1)?.idleMs ?? 0;
  const [firstClosed] = closed;
  const [firstDied] = died;

  const tolerance = Math.max((firstClosed?.idleMs ?? 0) * AGREEMENT, AGREEMENT_MS, roundTripMs);
  // One that was used just before the others were closed had raced with the closing.
  const raced =
    firstClosed !== undefined && firstClosed.idleMs <= (firstDied?.idleMs ?? firstClosed.idleMs) + tolerance;
  if (firstClosed !== undefined && raced) {
    const last = closed.at(-1)?.idleMs ?? firstClosed.idleMs;
    const earliest = Math.min(firstClosed.idleMs, firstDied?.idleMs ?? firstClosed.idleMs);
    const longestOpen = Math.max(longest, unused.at(-1)?.idleMs ?? 0);
    return {
      result: 'closed',
      ending: firstClosed.ending,
      livedMs: Math.max(earliest - roundTripMs, 0),
      diedMs: last,
      witnesses: closed.length,
      uniform: Math.max(last, longestOpen) <= firstClosed.idleMs + tolerance,
    };
  }
  if (firstDied !== undefined) {
    return {
      result: 'died',
      ending: firstDied.ending,
      livedMs: lived.filter(({ idleMs }) => idleMs < firstDied.idleMs).at(-1)?.idleMs ?? 0,
      diedMs: firstDied.idleMs,
      witnesses: died.length,
      uniform: longest < firstDied.idleMs,
    };
  }
  const result = lived.length === 0 || (unused.at(-1)?.idleMs ?? 0) > longest ? 'unknown' : 'outlived';
  return { result, ending: null, livedMs: longest, diedMs: null, witnesses: lived.length, uniform: true };
}

export const NOT_KEPT: Finding = {
  result: 'not-kept',
  ending: 'fin',
  livedMs: 0,
  diedMs: 0,
  witnesses: 1,
  uniform: true,
};
