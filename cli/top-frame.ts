/**
 * One picture of `hushlb top`: what has happened between two answers of GET /v1/status, as lines that fit a terminal. Pure.
 */
import type { BackendStatus, ServiceStatus, Status } from '../admin/status-schema.ts';
import { briefMs, type Column, columnLines } from './columns.ts';
import { cut } from './terminal.ts';

/** A second each. */
export interface BackendRates {
  readonly name: string;
  readonly packets: number;
  /** Of the service's packets in this while; of its slots where there were none. */
  readonly share: number;
  /** What people want of it and what is known of it: `active`, `draining`, `down` … */
  readonly state: string;
  readonly isWell: boolean;
}

export interface ServiceRates {
  readonly name: string;
  readonly packets: number;
  /** New connections, of UDP unknown flows. */
  readonly opened: number;
  /** Packets of connections that the table had forgotten. */
  readonly missed: number;
  /** Null: it has no table. */
  readonly entries: number | null;
  readonly backends: readonly BackendRates[];
}

export interface Rates {
  readonly services: readonly ServiceRates[];
}

/** Busiest first, services and backends. Counts that went down began anew. */
export function ratesOf(before: Status, after: Status, seconds: number): Rates {
  const old = new Map(before.services.map((service) => [service.name, service]));
  const services = after.services.map((service) => serviceRates(old.get(service.name), service, seconds));
  return { services: services.sort((a, b) => b.packets - a.packets) };
}

function serviceRates(before: ServiceStatus | undefined, now: ServiceStatus, seconds: number): ServiceRates {
  const known = new Map(before?.backends.map((backend) => [backend.name, backend]));
  const rate = (from: number | undefined, to: number): number => Math.max(0, to - (from ?? to)) / seconds;
  const packets = now.backends.map((backend) => rate(known.get(backend.name)?.packets, backend.packets));
  const sum = packets.reduce((total, count) => total + count, 0);
  const backends = now.backends.map((backend, i) => ({
    name: backend.name,
    packets: packets[i],
    share: sum > 0 ? packets[i] / sum : backend.share,
    ...stateOf(backend),
  }));
  const opened = ({ misses }: ServiceStatus): number => misses.syn + misses.datagram;
  return {
    name: now.name,
    packets: sum,
    opened: rate(before && opened(before), opened(now)),
    missed: rate(before?.misses.nonSyn, now.misses.nonSyn),
    entries: now.conntrack?.entries ?? null,
    backends: backends.sort((a, b) => b.packets - a.packets),
  };
}

function stateOf({ state, health, reachable }: BackendStatus): { state: string; isWell: boolean } {
  const found = [
    ...(health.state === 'down' ? ['down'] : []),
    ...(health.flapping ? ['flapping'] : []),
    ...(reachable ? [] : ['unreachable']),
  ];
  const words = [...(state === 'draining' ? [state] : []), ...found];
  if (words.length === 0) return { state: health.state === 'up' ? 'up' : 'active', isWell: true };
  return { state: words.join(', '), isWell: found.length === 0 };
}

export type Mark = 'title' | 'service' | 'backend' | 'bad';

export interface Line {
  readonly text: string;
  readonly mark: Mark;
}

const WIDE_FROM = 64;

/** At most `height` lines of at most `width` characters; the last says what found no room. */
export function frameLines(status: Status, rates: Rates, width: number, height: number): Line[] {
  const all = [...headLines(status, rates, width), ...tableLines(rates, width)];
  if (all.length <= height) return all;
  const shown = all.slice(0, Math.max(0, height - 1));
  return [...shown, { text: cut(`… ${all.length - shown.length} more lines`, width), mark: 'title' }];
}

function headLines(
  { interface: name, io, mode, uptimeSeconds, problems }: Status,
  rates: Rates,
  width: number,
): Line[] {
  const total = (of: (service: ServiceRates) => number): number =>
    rates.services.reduce((sum, one) => sum + of(one), 0);
  const facts = [`hushlb ${name}`, io, mode, `up ${briefMs(uptimeSeconds * 1000)}`];
  const sums = `${number(total(({ packets }) => packets))} packets/s, ${number(total(({ opened }) => opened))} new/s`;
  const [worst] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more: hushlb status)` : '';
  return [
    { text: cut(facts.join('  '), width), mark: 'title' },
    { text: cut(sums, width), mark: 'title' },
    ...(worst === undefined ? [] : [{ text: cut(`${worst.message}${more}`, width), mark: 'bad' as const }]),
    { text: '', mark: 'backend' },
  ];
}

const WIDE: readonly Column[] = [
  { title: 'service' },
  { title: 'packets/s', align: 'right' },
  { title: 'new/s', align: 'right' },
  { title: 'misses/s', align: 'right' },
  { title: 'entries', align: 'right' },
  { title: 'share', align: 'right' },
  { title: 'state' },
];

/** For narrow terminals; a service's entries stand in the place of a share. */
const NARROW: readonly Column[] = [
  { title: 'service' },
  { title: 'pkt/s', align: 'right' },
  { title: 'share', align: 'right' },
  { title: 'state' },
];

function tableLines({ services }: Rates, width: number): Line[] {
  const isWide = width >= WIDE_FROM;
  const nameWidth = Math.max(8, Math.floor(width / 4));
  const rows: { cells: string[]; mark: Mark }[] = services.flatMap((service) => [
    { cells: serviceCells(service, isWide, nameWidth), mark: 'service' as const },
    ...service.backends.map((backend) => ({
      cells: backendCells(backend, isWide, nameWidth),
      mark: backend.isWell ? ('backend' as const) : ('bad' as const),
    })),
  ]);
  const [title, ...lines] = columnLines(
    isWide ? WIDE : NARROW,
    rows.map(({ cells }) => cells),
    width,
  );
  return [{ text: title, mark: 'title' }, ...lines.map((text, i) => ({ text, mark: rows[i].mark }))];
}

function serviceCells(
  { name, packets, opened, missed, entries }: ServiceRates,
  isWide: boolean,
  room: number,
): string[] {
  const shown = cut(name, room);
  if (!isWide) return [shown, number(packets), '', entries === null ? '' : `${number(entries)} entries`];
  return [shown, number(packets), number(opened), number(missed), entries === null ? '-' : number(entries), '', ''];
}

function backendCells({ name, packets, share, state }: BackendRates, isWide: boolean, room: number): string[] {
  const shown = `  ${cut(name, room - 2)}`;
  const percent = `${(share * 100).toFixed(1)} %`;
  return isWide ? [shown, number(packets), '', '', '', percent, state] : [shown, number(packets), percent, state];
}

/** `0.4`, `12`, `1,234`, `1.23M`. */
function number(value: number): string {
  if (value > 0 && value < 10) return value.toFixed(1);
  if (value >= 1_000_000) return `${(value / 1_000_000).toFixed(2)}M`;
  return Math.round(value).toLocaleString('en-US');
}
