/**
 * The metrics as Prometheus sees them: a registry whose metrics read their sources when they are scraped, so that counting
 * a packet costs nothing but its slot. The daemon creates one and hands it to server.ts.
 *
 * Everything is present from the first scrape, with value 0: a rate needs a start, and `hushlb_resets_sent_total 0` is a
 * statement.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { CATALOGUE } from './catalogue.ts';
import type { Metric } from './metric.ts';
import type { ExpositionSources } from './sources.ts';

/** A registry of its own: nothing is shared with other registries in the process. */
export function createExposition(sources: ExpositionSources): Registry {
  const registry = new Registry();
  for (const { metrics } of CATALOGUE) {
    for (const metric of metrics) define(registry, metric, sources);
  }
  collectDefaultMetrics({ register: registry });
  return registry;
}

function define(registry: Registry, { name, type, help, labels, samples }: Metric, sources: ExpositionSources): void {
  const Type: typeof Counter | typeof Gauge = type === 'counter' ? Counter : Gauge;
  const metric: Counter | Gauge = new Type({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      metric.reset();
      for (const [values, value] of samples(sources)) metric.inc(values, value);
    },
  });
}
