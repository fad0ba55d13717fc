/** Metrics of the connection tables: how full they are, who was found, who was forgotten and why. */
import {
  SERVICE_CAPACITY,
  SERVICE_DATAGRAM_MISSES,
  SERVICE_ENTRIES,
  SERVICE_EVICTED,
  SERVICE_EXPIRED,
  SERVICE_HITS,
  SERVICE_NON_SYN_MISSES,
  SERVICE_REFUSED,
  SERVICE_SYN_MISSES,
} from './counters.ts';
import { type Metric, perService } from './metric.ts';

export const CONNECTION_METRICS: readonly Metric[] = [
  {
    name: 'hushlb_conntrack_entries',
    type: 'gauge',
    labels: ['service'],
    help: 'Connections in the connection table now.',
    means:
      "Of all workers' tables. Connections that idled out count until the sweep has come by, a second at most, or half the idle timeout if that is longer.",
    moves:
      'Read it beside `hushlb_conntrack_capacity_entries`. A sudden fall to 0: a restart, or `hushlb conntrack flush`; nothing breaks by it in stateless mode.',
    samples: perService({ slot: SERVICE_ENTRIES }),
  },
  {
    name: 'hushlb_conntrack_capacity_entries',
    type: 'gauge',
    labels: ['service'],
    help: 'Connections that the connection table has room for: conntrack.capacity of every worker; 0 without a table.',
    means:
      'Of the tables that are there: a `conntrack.capacity` that was changed by a reload counts from the next start on.',
    moves: 'Changes with the number of workers and with a restart only.',
    samples: perService({ slot: SERVICE_CAPACITY }),
  },
  {
    name: 'hushlb_conntrack_hits_total',
    type: 'counter',
    labels: ['service'],
    help: 'Packets whose connection was in the table.',
    means: 'Packets that went to the backend that their connection has had so far.',
    moves:
      "Most packets should be hits. Few, and many `non_syn` misses: `conntrack.idleTimeout` is shorter than the clients' pauses.",
    samples: perService({ slot: SERVICE_HITS }),
  },
  {
    name: 'hushlb_conntrack_misses_total',
    type: 'counter',
    labels: ['service', 'kind'],
    help: 'Packets whose connection was not in the table: syn opens one, non_syn belongs to one that was forgotten, datagram to either.',
    means:
      '`syn` is the rate of new connections. `non_syn` are connections that were picked up by the hash: after an idle timeout, a restart, a failover, or on another worker.',
    moves:
      "A peak of `non_syn` after a restart or a failover is how it works. A steady rate beside `syn`: raise `conntrack.idleTimeout`, or accept it: they reach the same backend, as long as backends don't change. See [non-SYN misses](operations.md#non-syn-misses).",
    samples: perService(
      { slot: SERVICE_SYN_MISSES, labels: { kind: 'syn' } },
      { slot: SERVICE_NON_SYN_MISSES, labels: { kind: 'non_syn' } },
      { slot: SERVICE_DATAGRAM_MISSES, labels: { kind: 'datagram' } },
    ),
  },
  {
    name: 'hushlb_worker_non_syn_misses_total',
    type: 'counter',
    labels: ['worker'],
    help: 'The non_syn misses of all services by the worker that met them: a flow that changes queue is new to the other worker.',
    means:
      'Who picked up. A jump on one worker without `hushlb_conntrack_expired_total` before it: flows changed queue.',
    moves:
      "Somebody changed the card's queues or its indirection table (`ethtool -L`, `-X`): restart hushlb after `-L`.",
    *samples({ layout, workers }) {
      const { serviceBase } = layout();
      for (const [worker, slots] of workers.entries()) {
        const misses = serviceBase.reduce((sum, base) => sum + slots[base + SERVICE_NON_SYN_MISSES], 0);
        yield [{ worker }, misses];
      }
    },
  },
  {
    name: 'hushlb_conntrack_expired_total',
    type: 'counter',
    labels: ['service'],
    help: 'Connections forgotten after their idle timeout.',
    means: "Closed ones too: a FIN or RST shortens an entry's life to 5 seconds, and it ends here.",
    moves: 'Follows the rate of new connections. Nothing to do.',
    samples: perService({ slot: SERVICE_EXPIRED }),
  },
  {
    name: 'hushlb_conntrack_evicted_total',
    type: 'counter',
    labels: ['service'],
    help: 'Connections forgotten to make room for others.',
    means: 'Both buckets of a new connection were full. Entries that a second packet has proven are spared.',
    moves: 'The table is too small or is being flooded: [a full table](operations.md#a-full-table).',
    samples: perService({ slot: SERVICE_EVICTED }),
  },
  {
    name: 'hushlb_conntrack_refused_total',
    type: 'counter',
    labels: ['service'],
    help: 'Connections that found no room in the table and were forwarded by hash alone.',
    means: 'They work. A change of backends may send them elsewhere, since no entry keeps them.',
    moves: 'As `hushlb_conntrack_evicted_total`: [a full table](operations.md#a-full-table).',
    samples: perService({ slot: SERVICE_REFUSED }),
  },
];
