/**
 * A program of the lab, run in the balancer's namespace: reads the balancer's metrics several times a second, as a
 * Prometheus would, and prints what they say of the connection table as lines of JSON (`TableSample`).
 *
 *     node table-probe.js --url http://127.0.0.1:9108/metrics --interval 100
 */
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

/** The table's state at one moment; all but `entries` count up from the balancer's start. */
export interface TableSample {
  /** Wall clock, milliseconds since 1970. */
  readonly timeMs: number;
  readonly entries: number;
  readonly hits: number;
  readonly synMisses: number;
  readonly nonSynMisses: number;
  readonly expired: number;
  readonly resetsSent: number;
}

const { values } = parseArgs({
  options: { url: { type: 'string', default: '' }, interval: { type: 'string', default: '100' } },
});

/** The sum of a metric over all its label sets in the text format, where these contain `labels`. */
function sum(text: string, metric: string, labels = ''): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `))
    .filter((line) => line.includes(labels))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** The metrics as text; undefined where the balancer does not answer, which is for others to report. */
function read(url: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    get(url, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('close', () => resolve(response.complete ? text : undefined));
    }).on('error', () => resolve(undefined));
  });
}

function report(text: string): void {
  const sample: TableSample = {
    timeMs: Date.now(),
    entries: sum(text, 'hushlb_conntrack_entries'),
    hits: sum(text, 'hushlb_conntrack_hits_total'),
    synMisses: sum(text, 'hushlb_conntrack_misses_total', 'kind="syn"'),
    nonSynMisses: sum(text, 'hushlb_conntrack_misses_total', 'kind="non_syn"'),
    expired: sum(text, 'hushlb_conntrack_expired_total'),
    resetsSent: sum(text, 'hushlb_resets_sent_total'),
  };
  process.stdout.write(`${JSON.stringify(sample)}\n`);
}

for (;;) {
  const text = await read(values.url);
  if (text !== undefined) report(text);
  await sleep(Number(values.interval));
}
