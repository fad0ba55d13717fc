/** Metrics of the packet device and of the process. */
import type { Metric } from './metric.ts';

export const DEVICE_METRICS: readonly Metric[] = [
  {
    name: 'hushlb_device_events_total',
    type: 'counter',
    labels: ['queue', 'event'],
    help: 'What the packet device counted by itself: packets dropped before or after the balancer saw them.',
    means:
      'By queue `rx_dropped`, `rx_ring_full`, `fill_ring_empty` (lost before a worker saw them) and `tx_dropped` (lost after it); with `queue="all"` what the steering program counts: `steered_to_socket`, `vip_other_port_to_kernel`, `no_socket_to_kernel`. A sum over `event` means nothing.',
    moves:
      "The first four: the workers don't keep up, or the card doesn't: a larger `afXdp.ringSize`, more workers, [tuning](performance.md#tuning). `no_socket_to_kernel`: a receive queue without a worker, restart hushlb. `steered_to_socket` stands still: nothing arrives for the services.",
    samples: ({ deviceCounters }) =>
      deviceCounters().map(({ queue, event, value }) => [{ queue, event }, value] as const),
  },
  {
    name: 'hushlb_build_info',
    type: 'gauge',
    labels: ['version'],
    help: 'Always 1: its label is the version that runs.',
    means: 'Which balancers are upgraded already.',
    moves: 'With an upgrade. Absent: the process is gone, or nobody reaches its `metrics.listen`.',
    samples: ({ version }) => [[{ version }, 1]],
  },
  {
    name: 'hushlb_worker_restarts_total',
    type: 'counter',
    labels: [],
    help: 'Workers that failed and were replaced: their connection tables began anew.',
    means:
      'The thread of a worker ended by an error, and another took its place with its queues and its counters. Its connections are hashed again: they stay where they were, unless backends have changed since they began.',
    moves: 'Read the log: the line `worker failed` has the cause. Five of one worker in 10 s end the process.',
    samples: ({ workerRestarts }) => [[{}, workerRestarts()]],
  },
];
