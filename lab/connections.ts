/**
 * What became of each connection, and whose doing it was: what the client program saw, set beside what the captures
 * prove. lab/scenarios.ts checks promises against the result.
 */
import { RST } from '../wire/tcp.ts';
import type { ExchangeReport } from './keepalive-client.ts';
import { type Packet, packetIdentity } from './packets.ts';

/**
 * How the connection's second exchange ended: `kept` answered on the same connection; `reset-by-…` ended by an RST whose
 * sender the captures name (`unknown`: they don't); `hung` no answer in time; `error` anything else.
 */
export const OUTCOMES = ['kept', 'reset-by-backend', 'reset-by-balancer', 'reset-by-unknown', 'hung', 'error'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface Connection {
  /** In the order of opening, from 0. */
  readonly id: number;
  readonly clientPort: number;
  /** Where its first request arrived, and its second one; null where none was seen to. */
  readonly backendBefore: string | null;
  readonly backendAfter: string | null;
  readonly outcome: Outcome;
  /** The host that sent the RST which ended it. */
  readonly resetBy: string | null;
  /** What the client program was told: 'ECONNRESET' and its like, null where all went well. */
  readonly error: string | null;
  /** Wall clock; from the second request to its end. */
  readonly secondRequestMs: number | null;
  readonly secondEndMs: number | null;
  /** The RST at the host that sent it and as it reached the client. */
  readonly reset: { readonly sent: Packet; readonly arrived: Packet } | null;
}

/** Which host plays which part. */
export interface Roles {
  readonly client: string;
  readonly clientAddress: string;
  readonly balancer: string;
}

/** One `Connection` for each that the client reported, by id. `packets` are in the order of their times. */
export function judgeConnections(
  reports: readonly ExchangeReport[],
  packets: readonly Packet[],
  roles: Roles,
): Connection[] {
  const byPort = groupByClientPort(packets, roles.clientAddress);
  return reports
    .filter(({ round }) => round === 'first')
    .sort((a, b) => a.connection - b.connection)
    .map((first) => {
      const second = reports.find((report) => report.round === 'second' && report.connection === first.connection);
      return judge(first, second, byPort.get(first.localPort) ?? [], roles);
    });
}

function judge(
  first: ExchangeReport,
  second: ExchangeReport | undefined,
  packets: readonly Packet[],
  roles: Roles,
): Connection {
  const error = first.error ?? second?.error ?? null;
  const reset = error === null ? null : findReset(packets, roles);
  const secondStart = second?.sentAtMs ?? Number.POSITIVE_INFINITY;
  const requests = packets.filter(
    ({ host, direction, payloadLength }) =>
      host !== roles.client && host !== roles.balancer && direction === 'in' && payloadLength > 0,
  );
  return {
    id: first.connection,
    clientPort: first.localPort,
    backendBefore: requests.find(({ timeMs }) => timeMs < secondStart)?.host ?? null,
    backendAfter: requests.find(({ timeMs }) => timeMs >= secondStart)?.host ?? null,
    outcome: outcomeOf(first, second, reset?.sent.host ?? null, roles),
    resetBy: reset?.sent.host ?? null,
    error,
    secondRequestMs: second?.sentAtMs ?? null,
    secondEndMs: second?.endedAtMs ?? null,
    reset,
  };
}

const RESET_ERRORS = new Set(['ECONNRESET', 'EPIPE']);

function outcomeOf(
  first: ExchangeReport,
  second: ExchangeReport | undefined,
  resetBy: string | null,
  roles: Roles,
): Outcome {
  if (first.error !== null || second === undefined) return 'error';
  if (second.error === null) return second.status === 200 ? 'kept' : 'error';
  if (second.error === 'hung') return 'hung';
  if (!RESET_ERRORS.has(second.error)) return 'error';
  if (resetBy === null) return 'reset-by-unknown';
  return resetBy === roles.balancer ? 'reset-by-balancer' : 'reset-by-backend';
}

/** The first RST that reached the client, and the same RST where it first left a host. */
function findReset(packets: readonly Packet[], roles: Roles): Connection['reset'] {
  const arrived = packets.find(
    (packet) => isReset(packet) && packet.host === roles.client && packet.direction === 'in',
  );
  if (arrived === undefined) return null;
  // Captures are drained apart but stamped by one clock, so what was sent later did not cause what arrived earlier.
  const sent = packets.find(
    (packet) =>
      packet.direction === 'out' &&
      packet.host !== roles.client &&
      packet.timeMs <= arrived.timeMs &&
      packetIdentity(packet) === packetIdentity(arrived),
  );
  return sent === undefined ? null : { sent, arrived };
}

export function isReset(packet: Packet): boolean {
  return (packet.flags & RST) !== 0;
}

/** Packets by the port of the client's end, whichever way they go. */
export function groupByClientPort(packets: readonly Packet[], clientAddress: string): Map<number, Packet[]> {
  const groups = new Map<number, Packet[]>();
  for (const packet of packets) {
    const port = packet.source === clientAddress ? packet.sourcePort : packet.destinationPort;
    const group = groups.get(port);
    if (group === undefined) groups.set(port, [packet]);
    else group.push(packet);
  }
  return groups;
}

/** RSTs of the host's own making: it was seen to send them and not to receive and pass them on. */
export function countOwnResets(packets: readonly Packet[], host: string): number {
  return countOwn(packets, host, RST);
}

/** Packets with any of these flags that the host made itself. */
export function countOwn(packets: readonly Packet[], host: string, flags: number): number {
  const received = new Set<string>();
  let own = 0;
  for (const packet of packets) {
    if (packet.host !== host || (packet.flags & flags) === 0) continue;
    if (packet.direction === 'in') received.add(packetIdentity(packet));
    else if (!received.has(packetIdentity(packet))) own++;
  }
  return own;
}
