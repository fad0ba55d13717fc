/**
 * Numbers as people read them: times, sizes, shares. Every part of the page calls it.
 */

/** Milliseconds to three places of a second, as the terminal's ladder has them: '4.084 s'. */
export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(3)} s`;
}

/** A setting's length as short as it goes: '350 s', '0.9 s', '20 min', '1 h'. */
export function span(milliseconds: number): string {
  if (milliseconds >= 3_600_000 && milliseconds % 3_600_000 === 0) return `${milliseconds / 3_600_000} h`;
  if (milliseconds > 600_000 && milliseconds % 60_000 === 0) return `${milliseconds / 60_000} min`;
  return `${Math.round(milliseconds) / 1000} s`;
}

export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

/** Whole per cent; what is there is never 0 %, and what is missing never 100 %. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '0 %';
  const rounded = Math.round((part / whole) * 100);
  if (part > 0 && rounded === 0) return '< 1 %';
  if (part < whole && rounded === 100) return '> 99 %';
  return `${rounded} %`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
