/**
 * What health checks know of each backend, as metrics. metrics/exposition.ts registers them; lb/observe.ts says what is known.
 */
import { Counter, Gauge } from 'prom-client';

/** `checked`: null where the backend has no health check, and is taken for up. */
export interface BackendStatus {
  readonly service: string;
  readonly backend: string;
  readonly up: boolean;
  readonly checked: Checked | null;
}

export interface Checked {
  readonly checks: number;
  readonly failures: number;
  /** Null before the first check. */
  readonly lastSeconds: number | null;
}

interface HealthMetric {
  readonly type: typeof Counter | typeof Gauge;
  readonly name: string;
  readonly help: string;
  samples(): Iterable<readonly [{ readonly service: string; readonly backend: string }, number]>;
}

/** `backends` is asked at every scrape. Labels are service and backend. */
export function healthMetrics(backends: () => readonly BackendStatus[]): readonly HealthMetric[] {
  const ofChecked = (value: (checked: Checked) => number | null): HealthMetric['samples'] =>
    function* () {
      for (const { service, backend, checked } of backends()) {
        const sample = checked && value(checked);
        if (sample !== null) yield [{ service, backend }, sample];
      }
    };
  return [
    {
      type: Gauge,
      name: 'backend_up',
      help: 'Whether the backend is up: 0 if its health checks found it down, else 1, also where it has none.',
      samples: () => backends().map(({ service, backend, up }) => [{ service, backend }, up ? 1 : 0] as const),
    },
    {
      type: Counter,
      name: 'backend_health_checks_total',
      help: 'Health checks of a backend that have ended.',
      samples: ofChecked(({ checks }) => checks),
    },
    {
      type: Counter,
      name: 'backend_health_check_failures_total',
      help: 'Of hushlb_backend_health_checks_total those that failed.',
      samples: ofChecked(({ failures }) => failures),
    },
    {
      type: Gauge,
      name: 'backend_health_check_seconds',
      help: 'Time that the last health check of a backend took, up to its timeout.',
      samples: ofChecked(({ lastSeconds }) => lastSeconds),
    },
  ];
}
