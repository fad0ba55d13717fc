/**
 * Prometheus' text format 0.0.4, read by a parser of its own so that tests see what a scraper would see.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

export interface Exposition {
  readonly types: ReadonlyMap<string, string>;
  readonly help: ReadonlyMap<string, string>;
  /** By `name{a="1",b="2"}`, labels in alphabetical order. */
  readonly samples: ReadonlyMap<string, number>;
}

export function parseExposition(text: string): Exposition {
  const types = new Map<string, string>();
  const help = new Map<string, string>();
  const samples = new Map<string, number>();
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment !== null) {
      (comment[1] === 'TYPE' ? types : help).set(comment[2], comment[3]);
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (sample === null) throw new Error(`not a sample: ${line}`);
    const labels = [...(sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((label) => label[0]).sort();
    const key = labels.length === 0 ? sample[1] : `${sample[1]}{${labels.join(',')}}`;
    if (samples.has(key)) throw new Error(`twice: ${key}`);
    samples.set(key, Number(sample[3]));
  }
  return { types, help, samples };
}
