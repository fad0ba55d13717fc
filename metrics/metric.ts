/**
 * One metric as data: what Prometheus is told of it, what docs/metrics.md says to people, and where its samples come from. The
 * metrics stand in files by topic (traffic.ts, connections.ts, configuration.ts, health.ts, device.ts) and together in catalogue.ts.
 *
 * Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for counters, `_info` for a gauge of 1 whose
 * labels say something.
 */
import { sumSlots } from './counters.ts';
import type { ExpositionSources } from './sources.ts';

export interface Metric {
  /** In full, so that a search for what a graph shows ends here. */
  readonly name: `hushlb_${string}`;
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  /** One sentence, shown with every scrape. */
  readonly help: string;
  /** For docs/metrics.md: what a value says of the balancer and the network. */
  readonly means: string;
  /** For docs/metrics.md: what to do when it moves, or when it should and doesn't. */
  readonly moves: string;
  samples(sources: ExpositionSources): Iterable<Sample>;
}

/** Labels are given in full by every sample. */
export type Labels = Readonly<Record<string, string | number>>;
export type Sample = readonly [Labels, number];
type Samples = Metric['samples'];

/** A slot of every service's block, summed over the workers; `labels` beside the service's. */
export function perService(...slots: { readonly slot: number; readonly labels?: Labels }[]): Samples {
  return function* ({ layout, workers }) {
    const { services, serviceBase } = layout();
    for (const [i, { name }] of services.entries()) {
      for (const { slot, labels } of slots) {
        yield [{ service: name, ...labels }, sumSlots(workers, serviceBase[i] + slot)];
      }
    }
  };
}

/** A slot of every backend's block, summed over the workers. */
export function perBackend(slot: number): Samples {
  return function* ({ layout, workers }) {
    const { services, backendBase } = layout();
    for (const [i, { name, backends }] of services.entries()) {
      for (const [j, backend] of backends.entries()) {
        yield [{ service: name, backend }, sumSlots(workers, backendBase[i][j] + slot)];
      }
    }
  };
}
