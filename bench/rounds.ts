/**
 * Rounds: what is compared is measured in turn, again and again, so that a noisy machine disturbs all alike; what counts is the
 * median, and its spread is told with it.
 */
import type { Figure } from './case.ts';

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], rounds: sorted.length };
}

export function figure(values: readonly number[], digits: number): Figure {
  return { ...spread(values), digits };
}

/** Round by round: the one over the other. */
export function ratios(over: readonly number[], under: readonly number[]): number[] {
  return over.map((value, round) => value / under[round]);
}

export interface RoundLimits {
  readonly atLeast: number;
  readonly atMost: number;
  /** No further round is begun once this says no. */
  hasTime(): boolean;
}

/**
 * Measures each subject once a round, in their order and the next round in the opposite one, and returns each subject's values
 * by its place, a value a round.
 */
export async function interleave<T>(
  subjects: readonly T[],
  limits: RoundLimits,
  measure: (subject: T) => Promise<number>,
): Promise<number[][]> {
  const values = subjects.map((): number[] => []);
  for (let round = 0; round < limits.atMost && (round < limits.atLeast || limits.hasTime()); round++) {
    const order = round % 2 === 0 ? subjects.keys() : [...subjects.keys()].reverse();
    for (const i of order) values[i].push(await measure(subjects[i]));
  }
  return values;
}
