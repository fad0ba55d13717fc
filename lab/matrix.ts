/**
 * The matrix as data: what may stand between client and server, in every ordering of the three idle timeouts. What a
 * connection is put through in a cell, and what comes of it, is described here; lab/matrix-rows.ts lists the rows,
 * lab/matrix-run.ts runs them on live traffic, lab/matrix-verdict.ts judges, lab/matrix-report.ts draws `MatrixResult`.
 */
import type { WebServer } from './backends.ts';
import type { Outcome } from './connections.ts';
import type { Timeouts } from './scenario.ts';

export type Side = keyof Timeouts;

/** An ordering, the shortest idle timeout first. */
export type Ordering = readonly [Side, Side, Side];

/** The same as those of the simulated matrix, which a test holds against this one. */
export const ORDERINGS: readonly Ordering[] = [
  ['client', 'balancer', 'server'],
  ['client', 'server', 'balancer'],
  ['balancer', 'client', 'server'],
  ['balancer', 'server', 'client'],
  ['server', 'client', 'balancer'],
  ['server', 'balancer', 'client'],
];

/** 'c<b<s': as a column is headed. */
export function orderingLabel(ordering: Ordering): string {
  return ordering.map((side) => side[0]).join('<');
}

/** Shortest to longest, in milliseconds. Whole seconds: the kernel's connection tracking knows no others. */
const TIMEOUTS_MS = [2000, 4000, 6000] as const;

export function timeoutsOf(ordering: Ordering): Timeouts {
  const of = (side: Side): number => TIMEOUTS_MS[ordering.indexOf(side)];
  return { client: of('client'), balancer: of('balancer'), server: of('server') };
}

/** One way on the long cable, which makes the race between a request and a FIN a wide one. */
export const CABLE_MS = 250;
/** How long before an end a connection is still used, where it should still be good. */
const MARGIN_MS = 500;

/**
 * When a client sends again. `last`: at the last moment at which the connection should still be good. `race`: where the
 * other end closes before the client gives up, while its FIN is under way. `fresh`: behind a layer-7 balancer, over a new
 * connection, while the FIN of the server behind it is under way.
 */
export type MomentKind = 'last' | 'race' | 'fresh';

export interface Moment {
  readonly kind: MomentKind;
  /** From the first answer's arrival to the second request. */
  readonly pauseMs: number;
}

/**
 * The moments of a cell. `closer` is who ends the client's connections when they idle: the server, or a layer-7 balancer,
 * which has the servers' connections to lose besides.
 *
 * The closer's clock starts when its answer leaves, one cable's length before the client's; a request arrives as much
 * later as it was sent. So it meets the FIN on the cable where it is sent up to two lengths before the client's own clock
 * shows the closer's timeout: the middle is aimed at. Behind a layer-7 balancer at the end of the long cable it is two
 * more on the way there, from which the server's clock and the cable's next stretch run likewise.
 */
export function momentsOf({ client, balancer, server }: Timeouts, closer: 'server' | 'balancer'): Moment[] {
  const closesMs = closer === 'server' ? server : balancer;
  const moments: Moment[] =
    client < closesMs
      ? [{ kind: 'last', pauseMs: client }]
      : [
          { kind: 'last', pauseMs: closesMs - 2 * CABLE_MS - MARGIN_MS },
          { kind: 'race', pauseMs: closesMs - CABLE_MS },
        ];
  return closer === 'server' ? moments : [...moments, { kind: 'fresh', pauseMs: server - 3 * CABLE_MS }];
}

/** How a connection ended; `closed-in-time`: the client saw the FIN before it sent, and lost nothing. */
export type CellOutcome = Outcome | 'closed-in-time';

/** The worst first. A cell is remembered by its worst outcome. */
export const BY_SEVERITY: readonly CellOutcome[] = [
  'error',
  'reset-by-unknown',
  'hung',
  'reset-by-balancer',
  'reset-by-backend',
  'bad-gateway',
  'closed-by-balancer',
  'closed-by-server',
  'closed-in-time',
  'kept',
];

export type OutcomeCounts = Readonly<Partial<Record<CellOutcome, number>>>;

export interface MomentResult extends Moment {
  readonly outcomes: OutcomeCounts;
}

export interface MatrixCell {
  readonly ordering: Ordering;
  /** In milliseconds. */
  readonly timeouts: Timeouts;
  readonly moments: readonly MomentResult[];
  /** Over all moments. */
  readonly outcomes: OutcomeCounts;
  /** The worst of what happened, and what had to be the worst. */
  readonly verdict: CellOutcome;
  readonly promised: CellOutcome;
  readonly held: boolean;
  /** A line for each way in which the promise was broken. */
  readonly broken: readonly string[];
}

export interface MatrixRowResult {
  readonly name: string;
  /** What stands between client and server, in a few words. */
  readonly summary: string;
  /** In the order of ORDERINGS. */
  readonly cells: readonly MatrixCell[];
  /** RSTs of the balancer's own making, by the captures; null where nothing is between. */
  readonly balancerResets: number | null;
  /** Of the row as a whole: frames that the captures lost, RSTs of who promised to send none. */
  readonly broken: readonly string[];
  readonly held: boolean;
}

/** What `hushlb lab matrix --json` writes. */
export interface MatrixResult {
  readonly orderings: readonly Ordering[];
  readonly settings: {
    /** At each moment of each cell. */
    readonly connections: number;
    readonly seed: number;
    readonly webServer: WebServer;
    /** One way, in milliseconds. */
    readonly cableMs: number;
  };
  readonly rows: readonly MatrixRowResult[];
  readonly held: boolean;
}
