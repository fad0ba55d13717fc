/**
 * The wall clock. Forwarding goes by a clock that nobody can set; logs, events and the certificates of https checks go by this one.
 */
import { type Finding, tell } from './finding.ts';

const { ok, note, warning } = tell('clock');

export interface ClockFacts {
  /** Null where the kernel doesn't say. */
  readonly synchronised: boolean | null;
  readonly now: Date;
  /** When hushlb's own program was written to this disk: no right clock is before it. */
  readonly installed: Date;
}

const DAY_MS = 86_400_000;
const SYNCHRONISE = 'timedatectl set-ntp true';

export function judgeClock({ synchronised, now, installed }: ClockFacts): Finding[] {
  if (now.getTime() < installed.getTime() - DAY_MS) {
    const days = Math.round((installed.getTime() - now.getTime()) / DAY_MS);
    return [
      warning(
        'clock-behind',
        `the clock says ${dayOf(now)}, ${days} days before hushlb was installed here`,
        'logs and events cannot be compared with those of other hosts, and https checks find certificates not valid yet',
        [SYNCHRONISE],
      ),
    ];
  }
  if (synchronised === false) {
    return [
      note(
        'clock-alone',
        'nobody keeps the clock right (or no service has told the kernel)',
        'forwarding does not depend on it; logs of several hosts are hard to compare without',
        [SYNCHRONISE],
      ),
    ];
  }
  return [ok('clock', synchronised === null ? `the clock says ${dayOf(now)}` : 'the clock is synchronised')];
}

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}
