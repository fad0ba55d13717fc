/**
 * One connection's story as rows: which packet went from whom to whom, and what the balancer's table held in between.
 * Built from captures and probe samples only. lab/draw.ts draws it, `--json` writes it as it is.
 */
import { ACK, FIN, RST } from '../wire/tcp.ts';
import { countOwn, isReset, type Roles } from './connections.ts';
import type { TunnelKind } from './ip-headers.ts';
import { flagNames, type Packet, packetIdentity } from './packets.ts';
import type { TableSample } from './table-probe.ts';

/** One leg of a packet's walk, between two hosts that captured it. */
export interface Hop {
  readonly from: string;
  /** null: no host saw it arrive. */
  readonly to: string | null;
  readonly tunnel: TunnelKind | null;
  /** Milliseconds since the first packet of the ladder; the arrival is null where `to` is. */
  readonly sentMs: number;
  readonly arrivedMs: number | null;
}

export interface PacketRow {
  readonly kind: 'packet';
  /** Milliseconds since the first packet of the ladder. */
  readonly timeMs: number;
  readonly label: string;
  readonly reset: boolean;
  readonly hops: readonly Hop[];
}

/** What a sample said of the table; `expired` and the like are counted since the row of the table before. */
export interface TableRow {
  readonly kind: 'table';
  readonly timeMs: number;
  /** What happened to the balancer at this moment, where something did. */
  readonly event?: string;
  /** The balancer has no table: the row says what happened, and nothing else. */
  readonly tableless?: true;
  readonly entries: number;
  readonly expired: number;
  readonly nonSynMisses: number;
  /** How long the connection had been silent by then; null where that is not worth a word. */
  readonly idleMs: number | null;
  /** RSTs and FINs of the balancer's own, to anyone, that were captured since the row of the table before. */
  readonly balancerGoodbyes: number;
}

export type LadderRow = PacketRow | TableRow;

export interface Ladder {
  readonly clientPort: number;
  /** Hosts from left to right: client, balancer, and the backends that this connection met. */
  readonly columns: readonly string[];
  readonly rows: readonly LadderRow[];
  /** Packets with nothing but an ACK, beyond the handshake's, that have no row. */
  readonly bareAcksLeftOut: number;
  /** Packets of data in the middle of many that went the same way, that have no row. */
  readonly dataLeftOut: number;
}

export interface LadderInput {
  /** All packets captured, in the order of their times. */
  readonly packets: readonly Packet[];
  readonly samples: readonly TableSample[];
  readonly roles: Roles;
  readonly clientPort: number;
  /** Something that happened to the balancer, such as 'b4 is added'. */
  readonly event?: { readonly timeMs: number; readonly text: string };
  /** Where the balancer has no table to tell of. */
  readonly tableless?: true;
}

/** A pause in the connection long enough to look at the table. */
const SILENCE_MS = 500;
/** Legs of one walk follow each other at once; a retransmission comes 200 ms later or more (RFC 6298, Linux' minimum). */
const SAME_WALK_MS = 100;

export function buildLadder({ packets, samples, roles, clientPort, event, tableless }: LadderInput): Ladder {
  const own = packets.filter(({ sourcePort, destinationPort }) => [sourcePort, destinationPort].includes(clientPort));
  const walks = findWalks(own);
  const telling = withoutBareAcks(walks, roles);
  const drawn = withoutBulk(telling);
  const startMs = drawn[0]?.startMs ?? 0;
  const rows: LadderRow[] = [];
  let told: TableSample | undefined;
  const tellTable = (sample: TableSample, idleMs: number | null, happened?: typeof event): void => {
    const since = told ?? sample;
    told = sample;
    rows.push({
      kind: 'table',
      timeMs: microseconds((happened ?? sample).timeMs - startMs),
      ...(happened === undefined ? {} : { event: happened.text }),
      ...(tableless === undefined ? {} : { tableless }),
      entries: sample.entries,
      expired: sample.expired - since.expired,
      nonSynMisses: sample.nonSynMisses - since.nonSynMisses,
      idleMs,
      balancerGoodbyes: countOwn(
        packets.filter(({ timeMs }) => timeMs > since.timeMs && timeMs <= sample.timeMs),
        roles.balancer ?? '',
        RST | FIN,
      ),
    });
  };
  for (const [i, walk] of drawn.entries()) {
    rows.push({
      kind: 'packet',
      timeMs: microseconds(walk.startMs - startMs),
      label: labelOf(walk.packet),
      reset: isReset(walk.packet),
      hops: walk.hops.map((hop) => sinceStart(hop, startMs)),
    });
    const nextMs = drawn[i + 1]?.startMs ?? Number.POSITIVE_INFINITY;
    if (event !== undefined && event.timeMs > walk.startMs && event.timeMs < nextMs) {
      const sample = samples.findLast(({ timeMs }) => timeMs <= event.timeMs);
      if (sample !== undefined) tellTable(sample, null, event);
      continue;
    }
    if (tableless) continue;
    const silence = nextMs - walk.startMs > SILENCE_MS;
    const between = silence ? samples.filter(({ timeMs }) => timeMs > walk.startMs && timeMs < nextMs) : [];
    const last = between.at(-1);
    if (last === undefined) continue;
    if (nextMs === Number.POSITIVE_INFINITY) {
      tellTable(last, null);
    } else {
      const fullest = between.reduce((best, sample) => (sample.entries > best.entries ? sample : best));
      // Afterwards only: a sample from before the table filled up is no end of the story.
      const emptiest = between
        .filter(({ timeMs }) => timeMs > fullest.timeMs)
        .reduce((best, sample) => (sample.entries < best.entries ? sample : best), fullest);
      tellTable(fullest, null);
      if (emptiest.timeMs > fullest.timeMs) tellTable(emptiest, microseconds(emptiest.timeMs - walk.startMs));
    }
  }
  return {
    clientPort,
    columns: columnsOf(drawn, roles),
    rows,
    bareAcksLeftOut: walks.length - telling.length,
    dataLeftOut: telling.length - drawn.length,
  };
}

function sinceStart(hop: Hop, startMs: number): Hop {
  const { sentMs, arrivedMs } = hop;
  return {
    ...hop,
    sentMs: microseconds(sentMs - startMs),
    arrivedMs: arrivedMs === null ? null : microseconds(arrivedMs - startMs),
  };
}

/** Rounded to whole ones, which is what captures resolve. */
function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

/** A packet and the hosts it passed, first to last. */
interface Walk {
  readonly packet: Packet;
  readonly startMs: number;
  /** Their times are still those of the captures. */
  readonly hops: Hop[];
  endMs: number;
}

function findWalks(packets: readonly Packet[]): Walk[] {
  const arrivals = packets.filter(({ direction }) => direction === 'in');
  const walks: Walk[] = [];
  for (const sent of packets) {
    if (sent.direction !== 'out') continue;
    const identity = packetIdentity(sent);
    const arrived = arrivals.find(
      (packet) =>
        packet.host !== sent.host &&
        packet.timeMs >= sent.timeMs &&
        packet.timeMs - sent.timeMs < SAME_WALK_MS &&
        packetIdentity(packet) === identity,
    );
    const hop: Hop = {
      from: sent.host,
      to: arrived?.host ?? null,
      tunnel: sent.tunnel?.kind ?? null,
      sentMs: sent.timeMs,
      arrivedMs: arrived?.timeMs ?? null,
    };
    const endMs = arrived?.timeMs ?? sent.timeMs;
    const walk = walks.findLast(
      ({ packet, hops, endMs: end }) =>
        hops.at(-1)?.to === sent.host && sent.timeMs - end < SAME_WALK_MS && packetIdentity(packet) === identity,
    );
    if (walk === undefined) {
      walks.push({ packet: sent, startMs: sent.timeMs, hops: [hop], endMs });
    } else {
      walk.hops.push(hop);
      walk.endMs = endMs;
    }
  }
  return walks;
}

/** The handshake's ACK belongs to the story; later ones only say that a packet arrived, which its own row shows. */
function withoutBareAcks(walks: readonly Walk[], roles: Roles): Walk[] {
  const isBareAck = ({ packet }: Walk): boolean => packet.flags === ACK && packet.payloadLength === 0;
  const handshakeAck = walks.find((walk) => isBareAck(walk) && walk.packet.host === roles.client);
  return walks.filter((walk) => walk === handshakeAck || !isBareAck(walk));
}

/** Of so many packets of data one after another that went the same way, the first and the last tell enough. */
const LONG_RUN = 8;
const [RUN_START, RUN_END] = [3, 1];

function withoutBulk(walks: readonly Walk[]): Walk[] {
  const runs: Walk[][] = [];
  const wayOf = ({ packet, hops }: Walk): string | null =>
    packet.payloadLength > 0 ? hops.map(({ from, to }) => `${from}>${to}`).join() : null;
  for (const walk of walks) {
    const run = runs.at(-1);
    if (run !== undefined && wayOf(walk) !== null && wayOf(run[0]) === wayOf(walk)) run.push(walk);
    else runs.push([walk]);
  }
  return runs.flatMap((run) => (run.length < LONG_RUN ? run : [...run.slice(0, RUN_START), ...run.slice(-RUN_END)]));
}

function columnsOf(walks: readonly Walk[], roles: Roles): string[] {
  const seen = new Set(
    walks.flatMap(({ hops }) => hops.flatMap(({ from, to }) => (to === null ? [from] : [from, to]))),
  );
  // The balancer belongs to the story also where it saw nothing; one that took over, only where it did.
  const balancers = [roles.balancer, seen.has(roles.spare ?? '') ? roles.spare : null].filter((host) => host != null);
  for (const host of [roles.client, ...balancers]) seen.delete(host);
  return [roles.client, ...balancers, ...[...seen].sort()];
}

function labelOf(packet: Packet): string {
  if (packet.httpLine !== undefined) return packet.httpLine.replace(/ ?HTTP\/1\.[01] ?/, '');
  if (packet.dnsLine !== undefined) return packet.dnsLine;
  if (packet.payloadLength > 0) return `${packet.payloadLength} bytes`;
  return flagNames(packet.flags);
}
