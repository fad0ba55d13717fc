/**
 * A balancer's status for people, in a terminal of any width: what is wrong first, then each service with its backends. Made for
 * `hushlb status` (cli/status.ts). Pure.
 *
 * ```
 *   hushlb 0.1.0 on eth0  af-xdp, native XDP  stateless  up 3 h 12 min  generation 4
 *   warning: not saved, a restart would lose it: drain web b2; hushlb save writes it to the file
 *
 *   web  198.18.10.1 tcp port 80  maglev  fingerprint 2ab6f1a3a2e7ab70
 *   (a table of its backends)
 *   60 of 1048576 entries  1204 hits  60 new connections  0 evicted  0 RSTs sent  0 dropped
 * ```
 */
import type { BackendStatus, ServiceStatus, Status } from '../admin/status-schema.ts';
import { boxedTable, boxedWidth } from './boxed-table.ts';
import { cut, wrap } from './terminal.ts';

export function statusText(status: Status, nowMs: number, width: number): string {
  const blocks = [
    [...headLines(status, nowMs, width), ...problemLines(status, width)],
    ...status.services.map((service) => serviceLines(service, width)),
  ];
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function headLines({ lastChange, ...status }: Status, nowMs: number, width: number): string[] {
  const xdp = status.xdp === 'off' ? '' : `, ${status.xdp} XDP`;
  const facts = [
    `hushlb ${status.version} on ${status.interface}`,
    `${status.io}${xdp}${status.zeroCopy ? ', zero-copy' : ''}`,
    status.mode,
    `up ${timeText(status.uptimeSeconds)}`,
    `generation ${status.generation}`,
  ];
  if (lastChange === null) return fill(facts, width);
  const age = timeText(Math.max(0, (nowMs - Date.parse(lastChange.at)) / 1000));
  return [...fill(facts, width), ...wrap(`last change: ${lastChange.change}, ${age} ago, id ${lastChange.id}`, width)];
}

function problemLines({ problems }: Status, width: number): string[] {
  return problems.flatMap(({ severity, message }) => wrap(`${severity}: ${message}`, width));
}

function serviceLines(service: ServiceStatus, width: number): string[] {
  const { name, vip, protocol, ports, scheduler, fingerprint } = service;
  const port = ports === 'all' ? 'all ports' : `port${ports.includes('-') ? 's' : ''} ${ports}`;
  const facts = [cut(name, width), `${vip} ${protocol} ${port}`, scheduler, `fingerprint ${fingerprint}`];
  return [...fill(facts, width), backendTable(service.backends, width), ...fill(countsOf(service), width)];
}

function countsOf(service: ServiceStatus): string[] {
  const { conntrack, hits, misses, evicted, refused, resetsSent, drops } = service;
  const dropped = Object.entries(drops).map(([reason, packets]) => `${packets} ${reason}`);
  const lost = service.onMiss === 'forward' ? 'picked up again' : 'not in the table';
  return [
    conntrack === null ? 'no table' : `${conntrack.entries} of ${conntrack.capacity} entries`,
    ...(conntrack === null ? [] : [`${compact(hits)} hits`]),
    ...(service.protocol === 'udp'
      ? [`${compact(misses.datagram)} new flows`]
      : [`${compact(misses.syn)} new connections`, `${compact(misses.nonSyn)} ${lost}`]),
    `${compact(evicted)} evicted`,
    ...(refused > 0 ? [`${compact(refused)} without room in the table`] : []),
    `${compact(resetsSent)} RSTs sent`,
    dropped.length === 0 ? '0 dropped' : `dropped: ${dropped.join(', ')}`,
  ];
}

type Row = Readonly<Record<string, string>>;

/** The first that fits. */
const COLUMNS: readonly (readonly string[])[] = [
  ['backend', 'address', 'state', 'weight', 'share', 'packets', 'bytes'],
  ['backend', 'address', 'state', 'weight', 'share', 'packets'],
  ['backend', 'address', 'state', 'weight', 'share'],
  ['backend', 'state', 'weight', 'share', 'packets'],
  ['backend', 'state', 'share'],
];
const LEFT_ALIGNED = ['backend', 'address', 'state'];

function backendTable(backends: readonly BackendStatus[], width: number): string {
  const rows = backends.map(rowOf);
  const columns = COLUMNS.find((candidate) => boxedWidth(candidate, rows) <= width) ?? COLUMNS[COLUMNS.length - 1];
  return boxedTable(columns, rows, width, ['backend'], LEFT_ALIGNED);
}

function rowOf(backend: BackendStatus): Row {
  return {
    backend: backend.name,
    address: backend.address,
    state: stateText(backend),
    weight: String(backend.weight),
    share: backend.serving ? `${(backend.share * 100).toFixed(1)} %` : '-',
    packets: compact(backend.packets),
    bytes: bytesText(backend.bytes),
  };
}

/** What people want of it and what was found, the worst first. */
function stateText({ state, health, reachable }: BackendStatus): string {
  if (!reachable) return 'unreachable';
  if (health.state === 'down') return state === 'draining' ? 'down, draining' : 'down';
  if (state === 'draining') return 'draining';
  return health.state === 'up' ? 'up' : 'active';
}

/** As many of the parts as fit on a line, two spaces between them. */
function fill(parts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 2 + part.length <= width) lines[lines.length - 1] = `${last}  ${part}`;
    else lines.push(...wrap(part, width));
  }
  return lines;
}

const UNITS = ['', 'k', 'M', 'G', 'T', 'P'];

/** Three digits and a unit of a thousand: `1204`, `12.3 M`. */
function compact(value: number): string {
  if (value < 10_000) return String(value);
  let unit = 0;
  let rest = value;
  for (; rest >= 999.5 && unit < UNITS.length - 1; unit++) rest /= 1000;
  return `${rest.toFixed(rest < 99.95 ? 1 : 0)} ${UNITS[unit]}`;
}

function bytesText(bytes: number): string {
  return bytes < 10_000 ? `${bytes} B` : `${compact(bytes)}B`;
}

function timeText(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days ${hours % 24} h`;
}
