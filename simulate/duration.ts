/**
 * Durations as people read them: '350 s', '5 d'. The reports and stories call it. (probe/span.ts writes measured times, to
 * the hundredth and in hours too; neither folder may import the other.)
 */

const DAY_MS = 86_400_000;

/** In seconds, to a tenth, up to a day; then in days, to a hundredth. Below a second in milliseconds. */
export function formatDuration(ms: number): string {
  if (ms > 0 && ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < DAY_MS) return `${Math.round(ms / 100) / 10} s`;
  return `${Math.round((ms / DAY_MS) * 100) / 100} d`;
}

/** A point in time of a story: what takes milliseconds is told as happening at once. */
export function formatTime(ms: number): string {
  return formatDuration(ms < 50 ? 0 : Math.max(ms, 1000));
}
