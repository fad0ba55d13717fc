/**
 * The counters as Prometheus sees them: a registry whose metrics read the slots when they are scraped, so that counting
 * a packet costs nothing but its slot. The daemon creates one and hands it to server.ts.
 *
 * Everything is present from the first scrape, with value 0: a rate needs a start, and `hushlb_resets_sent_total 0` is a
 * statement.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import {
  BACKEND_BYTES,
  BACKEND_PACKETS,
  type CounterLayout,
  SERVICE_DATAGRAM_MISSES,
  SERVICE_ENTRIES,
  SERVICE_EVICTED,
  SERVICE_EXPIRED,
  SERVICE_EXPIRY_RESETS_SENT,
  SERVICE_HITS,
  SERVICE_MSS_CLAMPED,
  SERVICE_NON_SYN_MISSES,
  SERVICE_QUIC_ROUTED,
  SERVICE_REFUSED,
  SERVICE_RELATED,
  SERVICE_RESETS_SENT,
  SERVICE_SYN_MISSES,
  SERVICE_UNFINISHED_CHECKSUMS,
  sumSlots,
} from './counters.ts';
import { type BackendStatus, healthMetrics } from './health.ts';

/** The lookup table of a service as it is in force. */
export interface TableStatus {
  readonly service: string;
  readonly fingerprint: string;
  readonly tableSize: number;
  readonly slots: readonly { readonly backend: string; readonly count: number }[];
}

/** Something that a device counts by itself, such as `rx_dropped`; `value` never goes down. */
export interface DeviceCounter {
  /** A receive queue's number, or 'all' for what is counted before a queue is chosen. */
  readonly queue: number | 'all';
  readonly event: string;
  readonly value: number;
}

export interface ExpositionSources {
  readonly version: string;
  /** Asked at every scrape, as all that follows: whoever is in it has its series, and whoever is not has none. */
  layout(): CounterLayout;
  /** One array a worker (`allocateCounters`). */
  readonly workers: readonly Float64Array[];
  tables(): readonly TableStatus[];
  deviceCounters(): readonly DeviceCounter[];
  backends(): readonly BackendStatus[];
}

type Labels = Record<string, string | number>;
type Samples = () => Iterable<readonly [Labels, number]>;

/** A registry of its own: nothing is shared with other registries in the process. */
export function createExposition(sources: ExpositionSources): Registry {
  const { workers } = sources;
  const registry = new Registry();

  const define = (
    type: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    labelNames: string[],
    samples: Samples,
  ) => {
    const metric: Counter | Gauge = new type({
      name: `hushlb_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        metric.reset();
        for (const [labels, value] of samples()) metric.inc(labels, value);
      },
    });
  };

  define(
    Counter,
    'packets_total',
    'Packets by what became of them; service is empty for packets that belong to none.',
    ['service', 'verdict', 'reason'],
    function* () {
      const layout = sources.layout();
      for (const [service, base] of layout.exitBase.entries()) {
        const name = layout.services[service]?.name ?? '';
        for (const [exit, { verdict, reason, ofService }] of layout.exits.entries()) {
          // What cannot occur would only be lines to skip: a thousand services have enough of them.
          if (ofService !== undefined && ofService !== service < layout.services.length) continue;
          yield [{ service: name, verdict, reason }, sumSlots(workers, base + exit)];
        }
      }
    },
  );

  const perBackend = (slot: number): Samples =>
    function* () {
      const { services, backendBase } = sources.layout();
      for (const [i, { name, backends }] of services.entries()) {
        for (const [j, backend] of backends.entries()) {
          yield [{ service: name, backend }, sumSlots(workers, backendBase[i][j] + slot)];
        }
      }
    };
  const ofBackend = ['service', 'backend'];
  define(Counter, 'backend_packets_total', 'Packets forwarded to a backend.', ofBackend, perBackend(BACKEND_PACKETS));
  define(
    Counter,
    'backend_bytes_total',
    'Bytes of the packets forwarded to a backend.',
    ofBackend,
    perBackend(BACKEND_BYTES),
  );

  const perService = (...slots: { slot: number; labels?: Labels }[]): Samples =>
    function* () {
      const { services, serviceBase } = sources.layout();
      for (const [i, { name }] of services.entries()) {
        for (const { slot, labels } of slots) {
          yield [{ service: name, ...labels }, sumSlots(workers, serviceBase[i] + slot)];
        }
      }
    };
  const ofService = ['service'];
  define(
    Gauge,
    'conntrack_entries',
    'Connections in the connection table now.',
    ofService,
    perService({ slot: SERVICE_ENTRIES }),
  );
  define(
    Counter,
    'conntrack_hits_total',
    'Packets whose connection was in the table.',
    ofService,
    perService({ slot: SERVICE_HITS }),
  );
  define(
    Counter,
    'conntrack_misses_total',
    'Packets whose connection was not in the table: syn opens one, non_syn belongs to one that was forgotten, datagram to either.',
    ['service', 'kind'],
    perService(
      { slot: SERVICE_SYN_MISSES, labels: { kind: 'syn' } },
      { slot: SERVICE_NON_SYN_MISSES, labels: { kind: 'non_syn' } },
      { slot: SERVICE_DATAGRAM_MISSES, labels: { kind: 'datagram' } },
    ),
  );
  define(
    Counter,
    'worker_non_syn_misses_total',
    'The non_syn misses of all services by the worker that met them: a flow that changes queue is new to the other worker.',
    ['worker'],
    function* () {
      const { serviceBase } = sources.layout();
      for (const [worker, slots] of workers.entries()) {
        const misses = serviceBase.reduce((sum, base) => sum + slots[base + SERVICE_NON_SYN_MISSES], 0);
        yield [{ worker }, misses];
      }
    },
  );
  define(
    Counter,
    'conntrack_expired_total',
    'Connections forgotten after their idle timeout.',
    ofService,
    perService({ slot: SERVICE_EXPIRED }),
  );
  define(
    Counter,
    'conntrack_evicted_total',
    'Connections forgotten to make room for others.',
    ofService,
    perService({ slot: SERVICE_EVICTED }),
  );
  define(
    Counter,
    'conntrack_refused_total',
    'Connections that found no room in the table and were forwarded by hash alone.',
    ofService,
    perService({ slot: SERVICE_REFUSED }),
  );
  define(
    Counter,
    'resets_sent_total',
    'RST segments that the balancer itself sent: 0 unless onMiss or onExpiry is reset.',
    ofService,
    perService({ slot: SERVICE_RESETS_SENT }),
  );
  define(
    Counter,
    'expiry_resets_sent_total',
    'Of hushlb_resets_sent_total those for connections that idled out, one to each side.',
    ofService,
    perService({ slot: SERVICE_EXPIRY_RESETS_SENT }),
  );

  define(
    Counter,
    'mss_clamped_total',
    'SYNs whose MSS was lowered to what fits the path to the backend (mssClamp).',
    ofService,
    perService({ slot: SERVICE_MSS_CLAMPED }),
  );
  define(
    Counter,
    'icmp_errors_forwarded_total',
    'ICMP errors about a flow of the service, sent to the backend that has it; in hushlb_packets_total they are forwarded.',
    ofService,
    perService({ slot: SERVICE_RELATED }),
  );
  define(
    Counter,
    'quic_routed_total',
    'Datagrams whose QUIC connection id named their backend (quic); they are in no other counter of the connection table.',
    ofService,
    perService({ slot: SERVICE_QUIC_ROUTED }),
  );
  define(
    Counter,
    'unfinished_checksums_total',
    'SYNs whose sender left the TCP checksum to hardware that its link lacks: backends drop them.',
    ofService,
    perService({ slot: SERVICE_UNFINISHED_CHECKSUMS }),
  );

  define(
    Gauge,
    'lookup_table_info',
    'Always 1. Balancers with equal fingerprints send the same flow to the same backend.',
    ['service', 'fingerprint', 'table_size'],
    () =>
      sources
        .tables()
        .map(({ service, fingerprint, tableSize }) => [{ service, fingerprint, table_size: tableSize }, 1] as const),
  );
  define(Gauge, 'backend_slots', "Slots of the service's lookup table that lead to a backend.", ofBackend, () =>
    sources
      .tables()
      .flatMap(({ service, slots }) => slots.map(({ backend, count }) => [{ service, backend }, count] as const)),
  );
  for (const { type, name, help, samples } of healthMetrics(sources.backends)) {
    define(type, name, help, ofBackend, samples);
  }
  define(
    Counter,
    'device_events_total',
    'What the packet device counted by itself: packets dropped before or after the balancer saw them.',
    ['queue', 'event'],
    () => sources.deviceCounters().map(({ queue, event, value }) => [{ queue, event }, value] as const),
  );
  define(Gauge, 'build_info', 'Always 1: its label is the version that runs.', ['version'], () => [
    [{ version: sources.version }, 1],
  ]);

  collectDefaultMetrics({ register: registry });
  return registry;
}
