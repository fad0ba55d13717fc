/**
 * From evidence to findings: what a run captured and was told, turned into what it shows. lab/scenarios.ts holds it
 * against the promise.
 */
import { FIN, RST } from '../wire/tcp.ts';
import type { WebServer } from './backends.ts';
import type { BalancerSettings } from './balancer.ts';
import type { CapturedFrame } from './captures.ts';
import { type ChangeEvidence, type ChangeFindings, describeChange } from './change.ts';
import {
  type Connection,
  countOwnResets,
  groupByClientPort,
  judgeConnections,
  type Outcome,
  type Roles,
  requestsAtBackends,
} from './connections.ts';
import type { ExchangeReport } from './keepalive-client.ts';
import { buildLadder, type Ladder, type LadderInput } from './ladder.ts';
import { type Packet, parsePackets } from './packets.ts';
import type { TableSample } from './table-probe.ts';
import { measureUpload, type UploadFindings } from './too-big.ts';
import type { Topology } from './topology.ts';

/** All that a run brings home. */
export interface Evidence {
  /** The network that it ran on. */
  readonly topology: Topology;
  readonly roles: Roles;
  readonly backends: readonly string[];
  /** How many connections, or sessions, the client was to open. */
  readonly connectionsAsked: number;
  /** null where no hushlb took part. */
  readonly settings: BalancerSettings | null;
  readonly webServer: WebServer;
  readonly reports: readonly ExchangeReport[];
  readonly samples: readonly TableSample[];
  readonly frames: readonly CapturedFrame[];
  readonly framesLost: number;
  /** Wall clock at which the client was told to send again; of sessions, 0. */
  readonly secondRoundMs: number;
  /** Requests that sessions sent in all; 0 for other plots, which send two a connection. */
  readonly requests: number;
  /** Where the balancer's configuration changed. */
  readonly change?: ChangeEvidence;
  /** Where the client sent much. */
  readonly upload?: { readonly bytes: number };
}

export interface BalancerFindings extends BalancerSettings {
  /** RSTs that left it by its cable, and those that its metrics count. */
  readonly resetsCaptured: number;
  readonly resetsCounted: number;
  readonly entriesAtPeak: number;
  readonly entriesBeforeSecond: number;
  readonly expired: number;
  readonly hits: number;
  readonly synMisses: number;
  readonly nonSynMisses: number;
}

export interface Findings {
  readonly backends: readonly string[];
  readonly webServer: WebServer;
  readonly balancer: BalancerFindings | null;
  readonly connectionsAsked: number;
  readonly connections: readonly Connection[];
  readonly requests: number;
  /** Connections whose packets arrived at more than one backend. */
  readonly strays: number;
  /** Packets of backends that passed the balancer. */
  readonly answersAtBalancer: number;
  /** Connections that the balancer which died had opened; 0 where none did. */
  readonly openedByTheDead: number;
  /** Connections on which a server answered data with RST: it had closed them, or closed them with that unread. */
  readonly sentTooLate: number;
  /** How often the client sent the second request of a connection, at the least. */
  readonly leastAttempts: number;
  /** Of the connection that the ladder shows: milliseconds from each attempt at the second request to the next. */
  readonly attemptGapsMs: readonly number[];
  readonly framesCaptured: number;
  readonly framesLost: number;
  /** Where the balancer's configuration changed. */
  readonly change?: ChangeFindings;
  /** Where the client sent much. */
  readonly upload?: UploadFindings;
  /** Of one connection, which tells the story; null where nothing was captured. */
  readonly ladder: Ladder | null;
}

/** `shows` is how the connection ended that the ladder prefers. */
export function examine(evidence: Evidence, shows: Outcome): Findings {
  const { roles, samples, secondRoundMs, change, topology } = evidence;
  const upload =
    evidence.upload &&
    measureUpload(evidence.frames, roles, evidence.backends, { ...evidence.upload, family: topology.family ?? 4 });
  const captured = parsePackets(evidence.frames);
  // A layer-7 balancer has connections of its own to the backends, whose ports may be the same.
  const packets = captured.filter(({ source, destination }) => [source, destination].includes(roles.clientAddress));
  const connections = judgeConnections(evidence.reports, packets, roles);
  const byPort = groupByClientPort(packets, roles.clientAddress);
  const shown = chooseShown(connections, byPort, shows, change?.backend);
  const attempts = connections.map((connection) => attemptTimes(connection, byPort, roles));
  const shownAttempts = shown === undefined ? [] : attemptTimes(shown, byPort, roles);
  const beforeSecond = samples.findLast(({ timeMs }) => timeMs <= secondRoundMs);
  const last = samples.at(-1);
  const balancers = [roles.balancer, roles.spare ?? null].filter((host) => host !== null);
  return {
    backends: evidence.backends,
    webServer: evidence.webServer,
    balancer: evidence.settings && {
      ...evidence.settings,
      resetsCaptured: balancers.reduce((sum, host) => sum + countOwnResets(packets, host), 0),
      resetsCounted: last?.resetsSent ?? 0,
      entriesAtPeak: Math.max(0, ...samples.map(({ entries }) => entries)),
      entriesBeforeSecond: beforeSecond?.entries ?? 0,
      expired: last?.expired ?? 0,
      hits: last?.hits ?? 0,
      synMisses: last?.synMisses ?? 0,
      nonSynMisses: last?.nonSynMisses ?? 0,
    },
    connectionsAsked: evidence.connectionsAsked,
    connections,
    requests: evidence.requests,
    strays: [...byPort.values()].filter((group) => backendsMet(group, evidence.backends).size > 1).length,
    answersAtBalancer: packets.filter(
      ({ host, direction, destination }) =>
        direction === 'in' && balancers.includes(host) && destination === roles.clientAddress,
    ).length,
    openedByTheDead: roles.spare === undefined ? 0 : countVia(connections, byPort, roles.balancer),
    sentTooLate: countSentTooLate(captured, evidence.backends),
    leastAttempts: connections.length === 0 ? 0 : Math.min(...attempts.map(({ length }) => length)),
    attemptGapsMs: shownAttempts.slice(1).map((timeMs, i) => Math.round(timeMs - shownAttempts[i])),
    framesCaptured: evidence.frames.length,
    framesLost: evidence.framesLost,
    ...(change === undefined ? {} : { change: { ...change, newConnections: newConnections(evidence, byPort) } }),
    ...(upload === undefined ? {} : { upload }),
    ladder:
      shown === undefined
        ? null
        : buildLadder({
            packets,
            samples,
            roles,
            clientPort: shown.clientPort,
            ...(evidence.settings?.conntrack === false ? { tableless: true } : {}),
            ...eventOf(shown, change, upload),
          }),
  };
}

/** What happened to the balancer, or to the shown connection, at one moment. */
function eventOf(
  { clientPort }: Connection,
  change: ChangeEvidence | undefined,
  upload: UploadFindings | undefined,
): Pick<LadderInput, 'event'> {
  if (change !== undefined) return { event: { timeMs: change.timeMs, text: describeChange(change) } };
  const telling = upload?.told.find((each) => each.clientPort === clientPort);
  if (telling === undefined) return {};
  const isHeard = upload?.heard.some((each) => each.clientPort === clientPort);
  const text = `ICMP to the client: ${telling.mtu} bytes fit${isHeard ? '' : ', lost on the way'}`;
  return { event: { timeMs: telling.timeMs, text } };
}

/** Those that were opened after the change. */
function newConnections({ reports, roles }: Evidence, byPort: Groups): ChangeFindings['newConnections'] {
  return reports
    .filter(({ round }) => round === 'new')
    .map(({ localPort: clientPort, error }) => {
      const [request] = requestsAtBackends(byPort.get(clientPort) ?? [], roles);
      return { clientPort, backend: request?.host ?? null, error };
    });
}

type Groups = ReadonlyMap<number, readonly Packet[]>;

/** The one with the fewest packets of those that ended so, of `backend` if it has any: short, and without accidents. */
function chooseShown(
  connections: readonly Connection[],
  byPort: Groups,
  shows: Outcome,
  backend: string | undefined,
): Connection | undefined {
  const length = ({ clientPort }: Connection): number => byPort.get(clientPort)?.length ?? 0;
  const shortest = connections.filter(({ outcome }) => outcome === shows).sort((a, b) => length(a) - length(b));
  return shortest.find(({ backendBefore }) => backendBefore === backend) ?? shortest[0] ?? connections[0];
}

function backendsMet(packets: readonly Packet[], backends: readonly string[]): Set<string> {
  return new Set(
    packets.flatMap(({ host, direction }) => (direction === 'in' && backends.includes(host) ? [host] : [])),
  );
}

/** Connections whose first packets passed `host`. */
function countVia(connections: readonly Connection[], byPort: Groups, host: string | null): number {
  return connections.filter(
    ({ clientPort, secondRequestMs }) =>
      byPort.get(clientPort)?.some((packet) => packet.host === host && packet.timeMs < (secondRequestMs ?? 0)) ?? false,
  ).length;
}

/**
 * RSTs of a backend on a connection that was its own: it had said something there, an answer or FIN. A server that closes
 * with data in its socket that it has not read says RST at once, and no FIN (RFC 1122, 4.2.2.13).
 */
function countSentTooLate(packets: readonly Packet[], backends: readonly string[]): number {
  const own = new Set<string>();
  const reset = new Set<string>();
  for (const { host, direction, flags, payloadLength, ...packet } of packets) {
    if (direction !== 'out' || !backends.includes(host)) continue;
    const connection = `${host} ${packet.destination} ${packet.destinationPort}`;
    if ((flags & FIN) !== 0 || payloadLength > 0) own.add(connection);
    if ((flags & RST) !== 0 && own.has(connection)) reset.add(connection);
  }
  return reset.size;
}

/** When the client sent the second request of a connection, or the beginning of a long one, and sent it again. */
function attemptTimes(connection: Connection, byPort: Groups, roles: Roles): number[] {
  const since = connection.secondRequestMs ?? Number.POSITIVE_INFINITY;
  const sent = (byPort.get(connection.clientPort) ?? [])
    .filter(({ host, direction }) => host === roles.client && direction === 'out')
    .filter(({ payloadLength, timeMs }) => payloadLength > 0 && timeMs >= since);
  return sent.filter(({ sequence }) => sequence === sent[0].sequence).map(({ timeMs }) => timeMs);
}
