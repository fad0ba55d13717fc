/**
 * What became of each connection, and whose doing it was: what the client program saw, set beside what the captures
 * prove. lab/claims.ts checks promises against the result.
 */
import { FIN, RST } from '../wire/tcp.ts';
import type { ExchangeReport } from './keepalive-client.ts';
import { type Packet, packetIdentity } from './packets.ts';

/**
 * How the connection's second exchange ended: `kept` answered on the same connection; `reset-by-…` ended by an RST whose
 * sender the captures name (`unknown`: they don't); `closed-by-…` ended in order, without an answer, by a FIN whose sender
 * they name; `bad-gateway` answered with a captured 502; `hung` no answer in time; `error` anything else.
 */
export const OUTCOMES = [
  'kept',
  'reset-by-backend',
  'reset-by-balancer',
  'reset-by-unknown',
  'closed-by-server',
  'closed-by-balancer',
  'bad-gateway',
  'hung',
  'error',
] as const;
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
  /** null where clients and servers talk directly. */
  readonly balancer: string | null;
  /** A second balancer, which takes over. */
  readonly spare?: string;
}

function isBalancer(host: string, { balancer, spare }: Roles): boolean {
  return host === balancer || host === spare;
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
  const requests = requestsAtBackends(packets, roles);
  return {
    id: first.connection,
    clientPort: first.localPort,
    backendBefore: requests.find(({ timeMs }) => timeMs < secondStart)?.host ?? null,
    backendAfter: requests.find(({ timeMs }) => timeMs >= secondStart)?.host ?? null,
    outcome: outcomeOf(first, second, packets, reset?.sent.host ?? null, roles),
    resetBy: reset?.sent.host ?? null,
    error,
    secondRequestMs: second?.sentAtMs ?? null,
    secondEndMs: second?.endedAtMs ?? null,
    reset,
  };
}

/** Of packets of one connection, those with a request, where they arrived. */
export function requestsAtBackends(packets: readonly Packet[], roles: Roles): Packet[] {
  return packets.filter(
    ({ host, direction, payloadLength }) =>
      host !== roles.client && !isBalancer(host, roles) && direction === 'in' && payloadLength > 0,
  );
}

const BAD_GATEWAY = 502;
const RESET_ERRORS = new Set(['ECONNRESET', 'EPIPE']);

function outcomeOf(
  first: ExchangeReport,
  second: ExchangeReport | undefined,
  packets: readonly Packet[],
  resetBy: string | null,
  roles: Roles,
): Outcome {
  if (first.error !== null || second === undefined) return 'error';
  const toClient = packets.filter(({ host, direction }) => host === roles.client && direction === 'in');
  if (second.error === null) {
    // An answer that is none of HTTP has no status.
    if (second.status === 200 || second.status === null) return 'kept';
    const captured = toClient.some(({ httpLine }) => httpLine?.includes(` ${BAD_GATEWAY} `));
    return second.status === BAD_GATEWAY && captured ? 'bad-gateway' : 'error';
  }
  if (second.error === 'hung') return 'hung';
  if (second.error === 'closed') {
    const goodbye = toClient.find(({ flags }) => (flags & FIN) !== 0);
    const sender = goodbye && senderOf(goodbye, packets, roles);
    if (sender !== undefined) return isBalancer(sender.host, roles) ? 'closed-by-balancer' : 'closed-by-server';
    // Node calls an RST an orderly end where data came with it (libuv takes a hang-up behind a short read for the end).
    if (goodbye !== undefined || resetBy === null) return 'error';
  } else if (!RESET_ERRORS.has(second.error)) {
    return 'error';
  }
  if (resetBy === null) return 'reset-by-unknown';
  return isBalancer(resetBy, roles) ? 'reset-by-balancer' : 'reset-by-backend';
}

/** The first RST that reached the client, and the same RST where it first left a host. */
function findReset(packets: readonly Packet[], roles: Roles): Connection['reset'] {
  const arrived = packets.find(
    (packet) => isReset(packet) && packet.host === roles.client && packet.direction === 'in',
  );
  if (arrived === undefined) return null;
  const sent = senderOf(arrived, packets, roles);
  return sent === undefined ? null : { sent, arrived };
}

/** The same packet where it first left a host, on its way to the client. */
function senderOf(arrived: Packet, packets: readonly Packet[], roles: Roles): Packet | undefined {
  // Captures are drained apart but stamped by one clock, so what was sent later did not cause what arrived earlier.
  return packets.find(
    (packet) =>
      packet.direction === 'out' &&
      packet.host !== roles.client &&
      packet.timeMs <= arrived.timeMs &&
      packetIdentity(packet) === packetIdentity(arrived),
  );
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
