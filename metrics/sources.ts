/**
 * What the metrics are read from, asked anew at every scrape: whoever is in it has its series, and whoever is not has none.
 * lb/exporter.ts fills it in; metrics/ knows none of the parts behind it.
 */
import type { CounterLayout } from './counters.ts';

export interface ExpositionSources {
  readonly version: string;
  layout(): CounterLayout;
  /** One array a worker (`allocateCounters`). */
  readonly workers: readonly Float64Array[];
  tables(): readonly TableStatus[];
  deviceCounters(): readonly DeviceCounter[];
  steering(): SteeringStatus;
  configuration(): ConfigurationStatus;
  /** Workers that were replaced. */
  workerRestarts(): number;
  backends(): readonly BackendStatus[];
}

/** The lookup table of a service as it is in force. */
export interface TableStatus {
  readonly service: string;
  readonly fingerprint: string;
  readonly tableSize: number;
  readonly slots: readonly { readonly backend: string; readonly count: number }[];
}

/** Packets for the VIPs by where the steering sent them, since the process started. */
export interface SteeringStatus {
  readonly toSocket: number;
  /** To the kernel: no service has the port. */
  readonly otherPort: number;
  /** To the kernel: the receive queue has no socket. */
  readonly noSocket: number;
}

/** Something that a device counts by itself, such as `rx_dropped`; `value` never goes down. */
export interface DeviceCounter {
  /** A receive queue's number; of packet sockets, a worker's. */
  readonly queue: number;
  readonly event: string;
  readonly value: number;
}

/** What runs, and how it came to that. */
export interface ConfigurationStatus {
  readonly generation: number;
  /** By the wall clock; the start counts as a change. */
  readonly lastChangeMs: number;
  readonly lastReloadGood: boolean;
  readonly changes: readonly {
    readonly kind: string;
    readonly result: 'applied' | 'refused';
    readonly count: number;
  }[];
  readonly unsaved: number;
  /** Two hex digits (lb/seed-check.ts). */
  readonly seedCheck: string;
  readonly services: readonly ServiceStatus[];
}

export interface ServiceStatus {
  readonly service: string;
  readonly vip: string;
  readonly protocol: string;
  readonly port: string;
  readonly scheduler: string;
  readonly hash: string;
  readonly onMiss: string;
  readonly onExpiry: string;
  readonly backends: readonly { readonly backend: string; readonly address: string; readonly draining: boolean }[];
}

/** What health checks know of a backend. */
export interface BackendStatus {
  readonly service: string;
  readonly backend: string;
  readonly up: boolean;
  /** Null where the backend has no health check, and is taken for up. */
  readonly checked: BackendChecks | null;
}

export interface BackendChecks {
  readonly checks: number;
  readonly failures: number;
  /** Null before the first check. */
  readonly lastSeconds: number | null;
}
