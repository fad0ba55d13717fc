/**
 * When answers to checks count: from single results to "up" and "down". Pure, time is an argument; health/monitor.ts calls it
 * for each result.
 *
 * ```
 *   start ─► up, unproven ── fall failures after the grace ──► down
 *                │   ▲                                          │
 *       a success│   └───────── rise successes, and not held ───┘
 *                ▼
 *           up, proven: failures count at once
 * ```
 *
 * - At first a backend is taken for up. Its failures count only after `graceMs`: links, routes and neighbours may need a
 *   moment after a start. One success ends the grace, because all of that works then.
 * - A backend that went down `FLAPS` times within a window flaps: from then on each going down has it held down for some
 *   time, twice as long as the time before up to a bound, whatever its checks say. It flaps no more when it has been up for a
 *   whole window. All these times are multiples of the interval: they mean the same for fast checks and for slow ones.
 */

export interface JudgeSettings {
  readonly intervalMs: number;
  /** Successes in a row that bring it up, and failures in a row that bring it down. */
  readonly rise: number;
  readonly fall: number;
  readonly graceMs: number;
}

export interface CheckResult {
  readonly ok: boolean;
  /** `connected`, `status 503, expected 200-399`. */
  readonly reason: string;
}

export interface Judgement {
  readonly up: boolean;
  /** It has succeeded once, or was found down: the grace is over. */
  readonly proven: boolean;
  /** When it came into this state. */
  readonly sinceMs: number;
  /** What the last result said that agreed with the state; of an unproven one, what there was instead. */
  readonly reason: string;
  /** Results in a row that speak against the state. */
  readonly against: number;
  readonly flapping: boolean;
  /** When it went down lately, oldest first. */
  readonly downs: readonly number[];
  /** For how long it is held down, and until when; 0: it isn't. */
  readonly holdMs: number;
  readonly heldUntilMs: number;
}

/** Times that a backend goes down within a window before it flaps. */
export const FLAPS = 3;
/** In intervals: two minutes, 20 seconds and five minutes of checks every two seconds. */
export const WINDOW = 60;
export const FIRST_HOLD = 10;
export const LONGEST_HOLD = 150;

export function startJudgement(nowMs: number): Judgement {
  return {
    up: true,
    proven: false,
    sinceMs: nowMs,
    reason: 'not checked yet',
    against: 0,
    flapping: false,
    downs: [],
    holdMs: 0,
    heldUntilMs: 0,
  };
}

/** What is thought of the backend after one more result, that came at `nowMs`. */
export function judge(
  before: Judgement,
  { ok, reason }: CheckResult,
  settings: JudgeSettings,
  nowMs: number,
): Judgement {
  const known = calmed(before, settings, nowMs);
  if (ok === known.up) return { ...known, proven: true, against: 0, reason };
  if (known.up) {
    const isGrace = !known.proven && nowMs < known.sinceMs + settings.graceMs;
    if (isGrace) return { ...known, reason };
    const against = known.against + 1;
    return against < settings.fall ? { ...known, against } : wentDown(known, reason, settings, nowMs);
  }
  const against = known.against + 1;
  if (against < settings.rise || nowMs < known.heldUntilMs) return { ...known, against };
  return { ...known, up: true, proven: true, sinceMs: nowMs, against: 0, reason, heldUntilMs: 0 };
}

function wentDown(known: Judgement, reason: string, { intervalMs }: JudgeSettings, nowMs: number): Judgement {
  const recent = known.downs.filter((time) => time > nowMs - WINDOW * intervalMs);
  const downs = [...recent, nowMs].slice(-FLAPS);
  const flapping = known.flapping || downs.length === FLAPS;
  const holdMs = flapping
    ? Math.min(Math.max(known.holdMs * 2, FIRST_HOLD * intervalMs), LONGEST_HOLD * intervalMs)
    : 0;
  const heldUntilMs = flapping ? nowMs + holdMs : 0;
  return { up: false, proven: true, sinceMs: nowMs, against: 0, reason, flapping, downs, holdMs, heldUntilMs };
}

/** Up for a whole window: what was before is forgotten. */
function calmed(known: Judgement, { intervalMs }: JudgeSettings, nowMs: number): Judgement {
  if (!known.flapping || !known.up || nowMs < known.sinceMs + WINDOW * intervalMs) return known;
  return { ...known, flapping: false, downs: [], holdMs: 0 };
}
