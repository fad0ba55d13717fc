/**
 * How a running balancer is, all of it at one moment: what runs, who serves, what was counted, and what is wrong, worst first.
 * Made from the control plane for admin/status-routes.ts; nothing is asked of the workers, whose counters are shared memory.
 */
import type { ControlPlane } from '../lb/control-plane.ts';
import { describe } from '../lb/next-hops.ts';
import { portText } from '../lb/ports.ts';
import { slotCounts } from '../lb/service-table.ts';
import { VERSION } from '../lb/version.ts';
import { DEVICE_COUNTERS } from '../lb/worker-device.ts';
import {
  BACKEND_BYTES,
  BACKEND_PACKETS,
  SERVICE_DATAGRAM_MISSES,
  SERVICE_ENTRIES,
  SERVICE_EVICTED,
  SERVICE_EXPIRED,
  SERVICE_HITS,
  SERVICE_NON_SYN_MISSES,
  SERVICE_REFUSED,
  SERVICE_RESETS_SENT,
  SERVICE_SYN_MISSES,
  sumSlots,
} from '../metrics/counters.ts';
import { problemsIn } from './status-problems.ts';
import type { BackendStatus, ServiceStatus, Status } from './status-schema.ts';

/** Of one service, or of all. `nowMs`: the wall clock. */
export function statusOf(control: ControlPlane, nowMs: number, service?: string): Status {
  const { device, parts } = control;
  const { prepared, state } = parts;
  const services = prepared.config.services.flatMap(({ name }, i) =>
    service === undefined || service === name ? [serviceStatus(control, i)] : [],
  );
  const unsaved = [...control.unsaved()];
  return {
    version: VERSION,
    pid: process.pid,
    startedAt: device.startedAt.toISOString(),
    uptimeSeconds: Math.max(0, Math.round((nowMs - device.startedAt.getTime()) / 1000)),
    interface: device.interface,
    io: device.io,
    xdp: device.xdp,
    zeroCopy: device.zeroCopy,
    mode: prepared.config.mode,
    file: control.file,
    generation: state.generation,
    lastChange: control.lastChange(),
    unsaved,
    problems: problemsIn(services, unsaved),
    services,
    workers: device.queues.map((queues, worker) => ({ worker, queues: [...queues] })),
    device: device.counters.map((row, queue) => ({
      queue,
      ...(Object.fromEntries(DEVICE_COUNTERS.map((name, i) => [name, row[i]])) as Record<
        (typeof DEVICE_COUNTERS)[number],
        number
      >),
    })),
  };
}

function serviceStatus(control: ControlPlane, i: number): ServiceStatus {
  const { prepared, counters } = control.parts;
  const service = prepared.config.services[i];
  const table = prepared.tables[i];
  const base = prepared.layout.serviceBase[i];
  const count = (slot: number): number => sumSlots(counters, base + slot);
  const { enabled, capacity, idleTimeoutMs } = service.conntrack;
  return {
    name: service.name,
    vip: service.vip,
    protocol: service.protocol,
    ports: portText(service.ports),
    scheduler: service.scheduler,
    hash: service.hash,
    encap: service.encap,
    profile: service.profile,
    onMiss: service.onMiss,
    onExpiry: service.onExpiry,
    allDown: service.allDown,
    onDown: service.onDown,
    fingerprint: table.fingerprint,
    tableSize: table.tableSize,
    conntrack: enabled
      ? { entries: count(SERVICE_ENTRIES), capacity: capacity * control.device.queues.length, idleTimeoutMs }
      : null,
    hits: count(SERVICE_HITS),
    misses: {
      syn: count(SERVICE_SYN_MISSES),
      nonSyn: count(SERVICE_NON_SYN_MISSES),
      datagram: count(SERVICE_DATAGRAM_MISSES),
    },
    expired: count(SERVICE_EXPIRED),
    evicted: count(SERVICE_EVICTED),
    refused: count(SERVICE_REFUSED),
    resetsSent: count(SERVICE_RESETS_SENT),
    drops: dropsOf(control, i),
    backends: service.backends.map((_, j) => backendStatus(control, i, j)),
  };
}

/** By reason, those that happened. */
function dropsOf({ parts: { prepared, counters } }: ControlPlane, i: number): Record<string, number> {
  const { exits, exitBase } = prepared.layout;
  const drops = exits.flatMap(({ verdict, reason }, exit) => {
    const packets = verdict === 'drop' ? sumSlots(counters, exitBase[i] + exit) : 0;
    return packets === 0 ? [] : [[reason, packets] as const];
  });
  return Object.fromEntries(drops);
}

function backendStatus({ parts, health }: ControlPlane, i: number, j: number): BackendStatus {
  const { prepared, hops, counters } = parts;
  const service = prepared.config.services[i];
  const table = prepared.tables[i];
  const { name, address, weight, state } = service.backends[j];
  const base = prepared.layout.backendBase[i][j];
  const slots = slotCounts(table).get(name) ?? 0;
  const way = hops.way(address);
  return {
    name,
    address,
    weight,
    state,
    health: { ...health.of(service.name, name) },
    serving: table.serving.includes(name),
    slots,
    share: slots / table.tableSize,
    packets: sumSlots(counters, base + BACKEND_PACKETS),
    bytes: sumSlots(counters, base + BACKEND_BYTES),
    reachable: way.kind === 'hop',
    nextHop: describe(way),
  };
}
