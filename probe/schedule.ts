/**
 * After which idle times connections are used: first over the whole range, then within the bracket that was found.
 * probe.ts calls it.
 */

/** `count` times from `min` to `max`, each the same factor above the one before. */
export function spread(min: number, max: number, count: number): number[] {
  if (count === 1 || min === max) return [max];
  const factor = (max / min) ** (1 / (count - 1));
  return Array.from({ length: count }, (_, index) => (index === count - 1 ? max : Math.round(min * factor ** index)));
}

/** At most `count` times between the longest idle that lived and the shortest that died, at even steps. */
export function refine(lived: number, died: number, count: number): number[] {
  const step = (died - lived) / (count + 1);
  const times = Array.from({ length: count }, (_, index) => Math.round(lived + step * (index + 1)));
  return [...new Set(times)].filter((time) => time > lived && time < died);
}

/** A bracket this narrow is not worth another wait: 2 % of the time, or 100 ms. */
export function isNarrow(lived: number, died: number): boolean {
  return died - lived <= Math.max(died * 0.02, 100);
}
