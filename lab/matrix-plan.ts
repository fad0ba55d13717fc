/**
 * Where each cell of the matrix lives in a row's network, and the connections that a client opens in all cells at once.
 * One network for six cells: each has a port of its own, at the servers and at the balancer.
 */
import { type Addresses, IPV4 } from './addresses.ts';
import { type Moment, type MomentKind, momentsOf, ORDERINGS, timeoutsOf } from './matrix.ts';
import type { MatrixRow } from './matrix-rows.ts';
import type { PacedConnection } from './paced-client.ts';
import { shuffled } from './shuffled.ts';

const FIRST_PORT = 8001;
/** A layer-7 balancer listens a second time for each cell: connections to the servers that nobody else uses. */
const FRESH_OFFSET = 100;

/** The port of a cell, `cell` being its place in ORDERINGS. */
export function portOf(cell: number): number {
  return FIRST_PORT + cell;
}

export function freshPortOf(cell: number): number {
  return portOf(cell) + FRESH_OFFSET;
}

export interface Planned {
  readonly cell: number;
  readonly moment: MomentKind;
  readonly paced: PacedConnection;
}

/** Requests of one moment are sent over this time, in an order of their own. */
const SPREAD_MS = 40;
const FIRST_CLIENT_PORT = 20_000;
const SECOND_CLIENT_PORT = 40_000;
const CLIENT_PORTS = 15_000;

/** Who closes a client's idle connections in this row, by their own idle timeout. */
function closerOf({ between }: MatrixRow): 'server' | 'balancer' {
  return between.kind === 'nginx' ? 'balancer' : 'server';
}

/** The moments of each cell, in the order of ORDERINGS. */
export function momentsOfRow(row: MatrixRow): Moment[][] {
  return ORDERINGS.map((ordering) => momentsOf(timeoutsOf(ordering), closerOf(row)));
}

/** `connections` at each moment of each cell. */
export function planRow(row: MatrixRow, connections: number, seed: number, addresses: Addresses = IPV4): Planned[] {
  const items = momentsOfRow(row).flatMap((moments, cell) =>
    moments.flatMap((moment, m) => {
      const order = Array.from({ length: connections }, (_, i) => i);
      return shuffled(order, seed + 10 * cell + m).map((rank) => ({ cell, moment, rank }));
    }),
  );
  return items.map(({ cell, moment, rank }, id) => {
    const offset = (seed * 7919 + id) % CLIENT_PORTS;
    const fresh = moment.kind === 'fresh';
    const paced: PacedConnection = {
      connection: id,
      host: hostOf(row, addresses),
      port: fresh ? freshPortOf(cell) : portOf(cell),
      localPort: FIRST_CLIENT_PORT + offset,
      // A layer-7 balancer may send a GET twice, and hide what became of the first.
      method: row.between.kind === 'nginx' ? 'POST' : 'GET',
      pauseMs: moment.pauseMs + (rank * SPREAD_MS) / connections,
      freshPort: fresh ? SECOND_CLIENT_PORT + offset : null,
    };
    return { cell, moment: moment.kind, paced };
  });
}

function hostOf({ between }: MatrixRow, { vip, backend, balancer }: Addresses): string {
  if (between.kind === 'nothing') return backend('b1');
  return between.kind === 'nginx' ? balancer('lb') : vip;
}
