/**
 * Reads samples of a few metrics back out of Prometheus' text format 0.0.4: what `hushlb agree` needs of a scrape. Lines of other
 * metrics are passed over unread. https://prometheus.io/docs/instrumenting/exposition_formats/
 */

export interface ReadSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g;
const ESCAPED: Record<string, string> = { '\\n': '\n', '\\\\': '\\', '\\"': '"' };

/** Samples of the metrics `names`, in the order of the text. What is no sample is passed over. */
export function readSamples(text: string, names: ReadonlySet<string>): ReadSample[] {
  const samples: ReadSample[] = [];
  for (const line of text.split('\n')) {
    const end = line.search(/[{ ]/);
    if (end < 0 || !names.has(line.slice(0, end))) continue;
    const [, name, pairs = '', value] = SAMPLE.exec(line) ?? [];
    if (name === undefined) continue;
    const labels = new Map(Array.from(pairs.matchAll(LABEL), ([, label, escaped]) => [label, unescaped(escaped)]));
    samples.push({ name, labels, value: Number(value) });
  }
  return samples;
}

function unescaped(text: string): string {
  return text.replace(/\\[n\\"]/g, (pair) => ESCAPED[pair]);
}
