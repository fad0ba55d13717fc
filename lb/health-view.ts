/**
 * What is known of the backends' health, for whoever shows it: status, metrics, events. lb/health.ts keeps it; without
 * checks every backend is unchecked, which counts as up.
 */

export interface BackendHealth {
  readonly state: 'up' | 'down' | 'unchecked';
  /** ISO 8601: since when it is in this state. */
  readonly since: string;
  /** What the last check that mattered said: `connected`, `status 503, expected 200-399`. */
  readonly reason: string;
  /** Went up and down so often that it is kept down for longer. */
  readonly flapping: boolean;
  readonly checks: number;
  readonly failures: number;
  /** How long the last check took; null before the first. */
  readonly lastMs: number | null;
}

export interface HealthView {
  of(service: string, backend: string): BackendHealth;
}

export function uncheckedHealth(since: Date): HealthView {
  const unchecked: BackendHealth = {
    state: 'unchecked',
    since: since.toISOString(),
    reason: 'no health check is configured',
    flapping: false,
    checks: 0,
    failures: 0,
    lastMs: null,
  };
  return { of: () => unchecked };
}
