/**
 * The metrics of a running balancer: where the numbers come from that the server shows. Between lb/daemon.ts, which owns the
 * parts, and metrics/, which knows none of them.
 */
import type { SteeringCounters } from '../io/service-map.ts';
import { createExposition } from '../metrics/exposition.ts';
import { startMetricsServer } from '../metrics/server.ts';
import type { BackendStatus, ConfigurationStatus } from '../metrics/sources.ts';
import type { ChangeTally } from './change-tally.ts';
import type { ListenAddress } from './config-values.ts';
import type { ControlPlane } from './control-plane.ts';
import type { HealthView } from './health-view.ts';
import { portText } from './ports.ts';
import type { Prepared } from './prepare.ts';
import { seedCheck } from './seed-check.ts';
import { slotCounts } from './service-table.ts';
import { VERSION } from './version.ts';
import { DEVICE_COUNTERS } from './worker-device.ts';

export interface ExporterSources {
  /** The configuration in force, asked at every scrape. */
  prepared(): Prepared;
  /** One row of counter slots a worker, and one of `DEVICE_COUNTERS`. */
  readonly counters: readonly Float64Array[];
  readonly deviceCounters: readonly Float64Array[];
  /** What the steering counts; undefined while there is none yet. */
  steering(): SteeringCounters | undefined;
  readonly health: HealthView;
  readonly tally: ChangeTally;
  /** Undefined before packets flow. */
  control(): Pick<ControlPlane, 'parts' | 'unsaved'> | undefined;
  /** Workers that were replaced. */
  restarts(): number;
}

export interface Exporter {
  readonly url: string;
  close(): Promise<void>;
}

const NOT_STEERED_YET: SteeringCounters = { toSocket: 0, otherPort: 0, noSocket: 0 };

/** Throws MetricsListenError. */
export async function openExporter(sources: ExporterSources, listen: ListenAddress): Promise<Exporter> {
  const { prepared, counters, deviceCounters } = sources;
  const registry = createExposition({
    version: VERSION,
    layout: () => prepared().layout,
    workers: counters,
    tables() {
      const { config, tables } = prepared();
      return tables.map((table, i) => ({
        service: config.services[i].name,
        fingerprint: table.fingerprint,
        tableSize: table.tableSize,
        slots: Array.from(slotCounts(table), ([backend, count]) => ({ backend, count })),
      }));
    },
    deviceCounters: () =>
      deviceCounters.flatMap((row, queue) => DEVICE_COUNTERS.map((event, i) => ({ queue, event, value: row[i] }))),
    steering: () => sources.steering() ?? NOT_STEERED_YET,
    configuration: () => configuration(sources),
    workerRestarts: () => sources.restarts(),
    backends: () => backendStatuses(sources),
  });
  const server = await startMetricsServer(registry, listen);
  const host = server.host.includes(':') ? `[${server.host}]` : server.host;
  return { url: `http://${host}:${server.port}/metrics`, close: () => server.close() };
}

function backendStatuses({ prepared, health }: ExporterSources): BackendStatus[] {
  return prepared().config.services.flatMap(({ name: service, backends }) =>
    backends.map(({ name: backend }) => {
      const { state, checks, failures, lastMs } = health.of(service, backend);
      const checked = { checks, failures, lastSeconds: lastMs === null ? null : lastMs / 1000 };
      return { service, backend, up: state !== 'down', checked: state === 'unchecked' ? null : checked };
    }),
  );
}

function configuration({ prepared, control, tally }: ExporterSources): ConfigurationStatus {
  const { hashSeed, services } = prepared().config;
  const { parts, unsaved } = control() ?? {};
  return {
    generation: parts?.state.generation ?? 1,
    lastChangeMs: tally.lastChangeMs,
    lastReloadGood: tally.lastReloadGood,
    changes: tally.counts,
    unsaved: unsaved?.().length ?? 0,
    seedCheck: seedCheck(hashSeed),
    services: services.map(({ name, vip, protocol, ports, scheduler, hash, onMiss, onExpiry, backends }) => ({
      service: name,
      vip,
      protocol,
      port: portText(ports),
      scheduler,
      hash,
      onMiss,
      onExpiry,
      backends: backends.map(({ name, address, state }) => ({
        backend: name,
        address,
        draining: state === 'draining',
      })),
    })),
  };
}
