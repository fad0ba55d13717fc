/**
 * From a row's captures and its client's reports to its cells: what became of each connection, counted, and whether the
 * cell is what the row promised. lab/matrix-run.ts calls it.
 */
import type { Addresses } from './addresses.ts';
import { type Connection, countOwnResets, judgeConnections, type Roles } from './connections.ts';
import { CLOSED_IN_TIME } from './http-connection.ts';
import type { ExchangeReport } from './keepalive-client.ts';
import {
  BY_SEVERITY,
  CABLE_MS,
  type CellOutcome,
  type MatrixCell,
  type MatrixRowResult,
  type MomentKind,
  type MomentResult,
  ORDERINGS,
  type OutcomeCounts,
  timeoutsOf,
} from './matrix.ts';
import { beforeNat } from './matrix-nat.ts';
import { momentsOfRow, type Planned } from './matrix-plan.ts';
import type { MatrixRow } from './matrix-rows.ts';
import type { Packet } from './packets.ts';

/** What a row's run brings home. */
export interface RowEvidence {
  readonly plan: readonly Planned[];
  readonly reports: readonly ExchangeReport[];
  readonly packets: readonly Packet[];
  readonly framesLost: number;
  readonly roles: Roles;
  readonly backends: readonly string[];
  readonly addresses: Addresses;
}

export function judgeRow(row: MatrixRow, evidence: RowEvidence): MatrixRowResult {
  const { plan, reports, framesLost, roles, backends, addresses } = evidence;
  const translated = row.between.kind === 'nft';
  const seen = evidence.packets.map((packet) => (translated ? beforeNat(packet, { backends, addresses }) : packet));
  // A layer-7 balancer has connections of its own to the servers, whose ports may be the same.
  const packets = seen.filter(({ source, destination }) => [source, destination].includes(roles.clientAddress));
  const connections = new Map(judgeConnections(reports, packets, roles).map((each) => [each.id, each]));
  const outcomes = plan.map(({ cell, moment, paced }) => ({
    cell,
    moment,
    outcome: outcomeOf(connections.get(paced.connection)),
  }));
  const balancerResets = roles.balancer === null ? null : countOwnResets(packets, roles.balancer);
  const cells = judgeCells(row, outcomes);
  const broken = [
    ...(framesLost > 0 ? [`the captures lost ${framesLost} frames`] : []),
    ...(keepsQuiet(row) && balancerResets !== 0 ? [`the balancer sent ${balancerResets} RSTs, promised none`] : []),
  ];
  const held = broken.length === 0 && cells.every((cell) => cell.held);
  return { name: row.name, summary: row.summary, cells, balancerResets, broken, held };
}

function outcomeOf(connection: Connection | undefined): CellOutcome {
  if (connection === undefined) return 'error';
  if (connection.error === CLOSED_IN_TIME) return CLOSED_IN_TIME;
  return hungUntilClosed(connection) ? 'hung' : connection.outcome;
}

/** No race: the request reached no server, an answer was overdue, and then the server closed for its own reasons. */
function hungUntilClosed({ outcome, backendAfter, secondRequestMs, secondEndMs }: Connection): boolean {
  const waitedMs = (secondEndMs ?? 0) - (secondRequestMs ?? 0);
  return outcome === 'closed-by-server' && backendAfter === null && waitedMs >= 2 * CABLE_MS;
}

/** hushlb makes no RST of its own, except in its stateful mode. */
function keepsQuiet({ between }: MatrixRow): boolean {
  return between.kind === 'hushlb' && between.mode === 'stateless';
}

/** One connection's end. */
export interface End {
  readonly cell: number;
  readonly moment: MomentKind;
  readonly outcome: CellOutcome;
}

/** The cells of a row, in the order of ORDERINGS. */
export function judgeCells(row: MatrixRow, ends: readonly End[]): MatrixCell[] {
  return momentsOfRow(row).map((planned, cell) => {
    const ordering = ORDERINGS[cell];
    const own = ends.filter((end) => end.cell === cell);
    const moments = planned.map((moment): MomentResult => {
      return { ...moment, outcomes: countOutcomes(own.filter((end) => end.moment === moment.kind)) };
    });
    const outcomes = countOutcomes(own);
    const verdict = BY_SEVERITY.find((outcome) => outcomes[outcome] !== undefined) ?? 'error';
    const promised = row.promised[cell];
    const broken = [
      ...(verdict === promised ? [] : [`promised ${promised} as the worst; seen: ${verdict}`]),
      ...moments.flatMap((moment) => strays(moment, allowed(row, cell, moment.kind))),
    ];
    const timeouts = timeoutsOf(ordering);
    return { ordering, timeouts, moments, outcomes, verdict, promised, held: broken.length === 0, broken };
  });
}

/**
 * How connections may end that send at a moment of a cell. A race is meant to be met; one that was missed by chance ends
 * without harm, and the cell's verdict asks that not all were.
 */
function allowed(row: MatrixRow, cell: number, moment: MomentKind): CellOutcome[] {
  const forgets = ORDERINGS[cell][0] === 'balancer';
  if (moment === 'last') {
    if (!forgets) return ['kept'];
    return row.byChance ? [row.forgotten, 'kept'] : [row.forgotten];
  }
  if (moment === 'fresh') return row.promised[cell] === 'bad-gateway' ? ['bad-gateway', 'kept'] : ['kept'];
  const race = row.between.kind === 'nginx' ? 'closed-by-balancer' : 'closed-by-server';
  return ['kept', 'closed-in-time', race, ...(forgets ? [row.forgotten, row.promised[cell]] : [])];
}

const MOMENT_WORDS: Readonly<Record<MomentKind, string>> = {
  last: 'at the last moment',
  race: 'as the FIN came',
  fresh: 'over a new connection',
};

function strays({ kind, outcomes }: MomentResult, allowedOutcomes: readonly CellOutcome[]): string[] {
  return BY_SEVERITY.filter((outcome) => outcomes[outcome] !== undefined && !allowedOutcomes.includes(outcome)).map(
    (outcome) =>
      `${MOMENT_WORDS[kind]}: promised ${[...new Set(allowedOutcomes)].join(' or ')}; seen: ${outcomes[outcome]} ${outcome}`,
  );
}

function countOutcomes(ends: readonly End[]): OutcomeCounts {
  const counts = BY_SEVERITY.map((outcome) => [outcome, ends.filter((end) => end.outcome === outcome).length] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}
