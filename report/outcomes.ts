/**
 * What became of a run's connections, as a bar: a part for each outcome, as long as its share, told apart by colour, by
 * pattern and by words. report/page.ts draws one large bar for each run, and a small one in the overview.
 */
import { tally } from '../lab/claims.ts';
import { OUTCOMES, type Outcome } from '../lab/connections.ts';
import { OUTCOME_LABELS } from '../lab/report.ts';
import type { RunResult } from '../lab/scenarios.ts';
import { percent } from './words.ts';

export interface OutcomePart {
  readonly outcome: Outcome;
  readonly label: string;
  readonly count: number;
  readonly percent: string;
  /** The part's class in the style sheet: colour and pattern. */
  readonly className: string;
  /** The number fits into the part. */
  readonly roomy: boolean;
}

/** A smaller share has no room for its number; the legend has them all. */
const ROOMY_SHARE = 0.07;

/** Those that occurred, in the order of OUTCOMES. */
export function outcomeParts(result: Pick<RunResult, 'connections'>): OutcomePart[] {
  const total = result.connections.length;
  return OUTCOMES.flatMap((outcome) => {
    const count = tally(result, outcome);
    if (count === 0) return [];
    return [
      {
        outcome,
        label: OUTCOME_LABELS[outcome],
        count,
        percent: percent(count, total),
        className: `outcome-${outcome}`,
        roomy: count / total >= ROOMY_SHARE,
      },
    ];
  });
}

/** '15 kept, 45 reset by a backend' */
export function outcomesInWords(parts: readonly OutcomePart[]): string {
  return parts.map(({ count, label }) => `${count} ${label}`).join(', ') || 'none';
}
