/** Metrics of health checks: who is up, and what the checks themselves cost and say. */
import type { Metric } from './metric.ts';
import type { BackendChecks } from './sources.ts';

function ofChecked(value: (checked: BackendChecks) => number | null): Metric['samples'] {
  return function* ({ backends }) {
    for (const { service, backend, checked } of backends()) {
      const sample = checked && value(checked);
      if (sample !== null) yield [{ service, backend }, sample];
    }
  };
}

const labels = ['service', 'backend'];

export const HEALTH_METRICS: readonly Metric[] = [
  {
    name: 'hushlb_backend_up',
    type: 'gauge',
    labels,
    help: 'Whether the backend is up: 0 if its health checks found it down, else 1, also where it has none.',
    means:
      '0: new connections avoid it, unless all of its service are down (`allDown`). What people want of it is another metric.',
    moves:
      'To 0: the log line `backend down` has the reason ([health.md](health.md)). For all backends of a service at once: suspect the check, or the network between.',
    samples: ({ backends }) =>
      backends().map(({ service, backend, up }) => [{ service, backend }, up ? 1 : 0] as const),
  },
  {
    name: 'hushlb_backend_health_checks_total',
    type: 'counter',
    labels,
    help: 'Health checks of a backend that have ended.',
    means: 'Its rate is one by the interval. Backends without a health check have no series.',
    moves:
      'Slower than the interval says: checks take longer than it, or 512 are under way at a time and the others wait.',
    samples: ofChecked(({ checks }) => checks),
  },
  {
    name: 'hushlb_backend_health_check_failures_total',
    type: 'counter',
    labels,
    help: 'Of hushlb_backend_health_checks_total those that failed.',
    means: 'Single ones change nothing: it takes `fall` in a row.',
    moves:
      'Now and then at a backend that stays up: it is slow at times, or the way to it loses packets. Look before it goes down.',
    samples: ofChecked(({ failures }) => failures),
  },
  {
    name: 'hushlb_backend_health_check_seconds',
    type: 'gauge',
    labels,
    help: 'Time that the last health check of a backend took, up to its timeout.',
    means: 'From the first packet to the verdict, with the time that an external program takes to start.',
    moves: 'Towards the timeout: the backend will be down soon. At all backends: the balancer itself is short of CPU.',
    samples: ofChecked(({ lastSeconds }) => lastSeconds),
  },
];
