/**
 * Whether the workers are alive, for the watchdog: each counts the turns of its loop in shared memory (lb/control.ts), and one
 * that has not turned since the last look hangs. Pure; lb/service-manager.ts looks.
 */

/** What `Workers.beats` gives: turns of each worker's loop; 0 for one that is not in its loop, because it starts or has ended. */
export type Beats = readonly number[];

/** The workers, from 0, that have not turned between two calls. A first look finds nobody. */
export function createPulse(): (beats: Beats) => number[] {
  let before: Beats = [];
  return (beats) => {
    const hanging = beats.flatMap((count, worker) => (count !== 0 && count === before[worker] ? [worker] : []));
    before = [...beats];
    return hanging;
  };
}
