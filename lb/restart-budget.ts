/**
 * How often a worker may fail before the process gives up: a worker that fails once is replaced, one that fails whenever it
 * starts would only keep the host busy, and whoever supervises the process should know. Asked by lb/path-keeper.ts.
 */

export const MOST_FAILURES = 5;
export const WITHIN_MS = 10_000;

export interface RestartBudget {
  /** Notes a failure of the worker at `nowMs`, of any clock that never goes back; false: it was one too many. */
  allows(worker: number, nowMs: number): boolean;
}

export function createRestartBudget(): RestartBudget {
  const failures = new Map<number, readonly number[]>();
  return {
    allows(worker, nowMs) {
      const recent = [...(failures.get(worker) ?? []), nowMs].filter((at) => nowMs - at < WITHIN_MS);
      failures.set(worker, recent);
      return recent.length < MOST_FAILURES;
    },
  };
}
