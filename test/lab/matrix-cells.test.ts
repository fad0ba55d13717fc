/**
 * The matrix without a network: its promises are those of virtual time and can break, captures name who did it, and the
 * table fits.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IPV4 } from '../../lab/addresses.ts';
import type { Paint } from '../../lab/draw.ts';
import type { ExchangeReport } from '../../lab/keepalive-client.ts';
import { type CellOutcome, type MatrixResult, type MatrixRowResult, ORDERINGS } from '../../lab/matrix.ts';
import { beforeNat } from '../../lab/matrix-nat.ts';
import { planRow } from '../../lab/matrix-plan.ts';
import { describeMatrix } from '../../lab/matrix-report.ts';
import { MATRIX_ROWS, type MatrixRow, slugOf } from '../../lab/matrix-rows.ts';
import { type End, judgeCells, judgeRow } from '../../lab/matrix-verdict.ts';
import type { Packet } from '../../lab/packets.ts';
import { BALANCER_ADDRESS, backendAddress, CLIENT_ADDRESS, VIP } from '../../lab/topology.ts';
import { ORDERINGS as SIMULATED_ORDERINGS, simulateMatrix } from '../../simulate/matrix.ts';
import { settings } from '../simulate/settings.ts';
import {
  HUNG,
  HUNG_UNTIL_FIN,
  KEPT,
  RACED,
  RESET_BY_BALANCER,
  RESET_BY_STRANGER,
  ROLES,
  START_MS,
  story,
} from './story.ts';

function rowNamed(name: string): MatrixRow {
  const row = MATRIX_ROWS.find((each) => each.name === name);
  assert.ok(row !== undefined, name);
  return row;
}

/** The same balancer under both names: the lab's and the simulation's. */
const SHARED = [
  ['stateless', 'stateless'],
  ['stateless, no table', 'stateless, no table'],
  ['round-robin', 'round-robin'],
  ['SYN-only', 'stateful'],
  ['silent drop', 'silent drop'],
] as const;

describe('the promises', () => {
  it('are those of virtual time, in the same orderings', () => {
    assert.deepEqual(ORDERINGS, SIMULATED_ORDERINGS);
    const simulated = simulateMatrix(settings());
    for (const [here, there] of SHARED) {
      const cells = simulated.find(({ name }) => name === there)?.cells.map(({ outcome }) => outcome);
      const promised = rowNamed(here).promised.map((outcome) => (outcome === 'closed-by-server' ? 'raced' : outcome));
      assert.deepEqual(promised, cells, here);
    }
  });

  it('differ from row to row where it matters: where the balancer forgets first', () => {
    const stateless = rowNamed('stateless').promised;
    for (const name of ['round-robin', 'SYN-only', 'silent drop', 'NAT, by chance', 'NAT, not loose']) {
      const { promised } = rowNamed(name);
      for (const [cell, ordering] of ORDERINGS.entries()) {
        assert.equal(promised[cell] === stateless[cell], ordering[0] !== 'balancer', `${name}, ${ordering}`);
      }
    }
  });
});

/** All connections of a row, ended as promised. */
function asPromised(row: MatrixRow): End[] {
  return planRow(row, 12, 1).map(({ cell, moment }, i) => ({ cell, moment, outcome: endOf(row, cell, moment, i) }));
}

function endOf(row: MatrixRow, cell: number, moment: End['moment'], i: number): CellOutcome {
  const forgets = ORDERINGS[cell][0] === 'balancer';
  if (moment === 'fresh') return row.promised[cell] === 'bad-gateway' ? 'bad-gateway' : 'kept';
  if (moment === 'race') return row.between.kind === 'nginx' ? 'closed-by-balancer' : lostInRace(row, cell);
  if (!forgets || (row.byChance && i % 3 === 0)) return 'kept';
  return row.forgotten;
}

function lostInRace({ between, promised }: MatrixRow, cell: number): CellOutcome {
  return between.kind === 'nft' ? promised[cell] : 'closed-by-server';
}

function brokenCells(row: MatrixRow, ends: readonly End[]): number[] {
  return judgeCells(row, ends).flatMap(({ held }, cell) => (held ? [] : [cell]));
}

describe('a cell', () => {
  for (const row of MATRIX_ROWS) {
    it(`of the row ${row.name} holds as promised, and breaks with one connection that ends otherwise`, () => {
      const ends = asPromised(row);
      assert.deepEqual(brokenCells(row, ends), []);
      for (const [i, end] of ends.entries()) {
        for (const outcome of ['error', 'reset-by-unknown'] as const) {
          assert.deepEqual(brokenCells(row, ends.with(i, { ...end, outcome })), [end.cell]);
        }
        if (end.moment !== 'last') continue;
        const other = end.outcome === 'kept' ? 'closed-by-server' : 'closed-in-time';
        assert.deepEqual(brokenCells(row, ends.with(i, { ...end, outcome: other })), [end.cell]);
      }
    });
  }

  it('breaks where no connection met the race', () => {
    const row = rowNamed('stateless');
    const missed = asPromised(row).map((end) => (end.moment === 'race' ? { ...end, outcome: 'kept' as const } : end));
    assert.deepEqual(brokenCells(row, missed), [3, 4, 5]);
  });

  it('breaks where nobody was harmed who should have been', () => {
    for (const name of ['round-robin', 'SYN-only', 'silent drop']) {
      const row = rowNamed(name);
      const kept = asPromised(row).map((end) => (end.moment === 'last' ? { ...end, outcome: 'kept' as const } : end));
      assert.deepEqual(brokenCells(row, kept), [2, 3], name);
    }
  });
});

/** One connection of the cell b<c<s, as it was captured and as the client tells it. */
function judged(
  row: MatrixRow,
  lines: string,
  second: Partial<ExchangeReport>,
  captured = (packet: Packet): Packet => packet,
): MatrixRowResult {
  const [planned] = planRow(row, 1, 1).filter(({ cell }) => cell === 2);
  const common = { event: 'exchange', localPort: 40001, status: 200, backend: 'b2', error: null } as const;
  const { connection } = planned.paced;
  return judgeRow(row, {
    plan: [planned],
    reports: [
      { ...common, connection, round: 'first', sentAtMs: START_MS, endedAtMs: START_MS + 3 },
      { ...common, connection, round: 'second', sentAtMs: START_MS + 3601, endedAtMs: START_MS + 3851, ...second },
    ],
    packets: story(lines).map(captured),
    framesLost: 0,
    roles: ROLES,
    backends: ['b1', 'b2', 'b3'],
    addresses: IPV4,
  });
}

/** The packet as it is captured where NAT has translated it: between its host and a backend. */
function behindNat(packet: Packet): Packet {
  const toBackend = packet.destination === VIP;
  const inside = packet.host.startsWith('b') || (packet.host === 'lb' && toBackend === (packet.direction === 'out'));
  if (!inside) return packet;
  const backend = backendAddress('b2');
  return toBackend
    ? { ...packet, source: BALANCER_ADDRESS, destination: backend }
    : { ...packet, source: backend, destination: BALANCER_ADDRESS };
}

describe('a row', () => {
  const lost = { status: null, backend: null };
  const reset = { ...lost, error: 'ECONNRESET' };
  const stateless = rowNamed('stateless');

  it('counts what captures and client agree on', () => {
    const outcome = (lines: string, second: Partial<ExchangeReport>): object =>
      judged(stateless, lines, second).cells[2].outcomes;
    assert.deepEqual(outcome(KEPT, {}), { kept: 1 });
    assert.deepEqual(outcome(RESET_BY_STRANGER, reset), { 'reset-by-backend': 1 });
    assert.deepEqual(outcome(RESET_BY_BALANCER, reset), { 'reset-by-balancer': 1 });
    assert.deepEqual(outcome(HUNG, { ...lost, error: 'hung' }), { hung: 1 });
    assert.deepEqual(outcome(RACED, { ...lost, error: 'closed' }), { 'closed-by-server': 1 });
    assert.deepEqual(outcome(RACED, { ...lost, error: 'closed-in-time' }), { 'closed-in-time': 1 });
  });

  it('tells a request that vanished from one that met the FIN', () => {
    const endedAtMs = START_MS + 4602;
    const { cells } = judged(stateless, HUNG_UNTIL_FIN, { ...lost, error: 'closed', endedAtMs });
    assert.deepEqual(cells[2].outcomes, { hung: 1 });
    // It reached the server, however late.
    const reached = judged(stateless, RACED, { ...lost, error: 'closed', endedAtMs });
    assert.deepEqual(reached.cells[2].outcomes, { 'closed-by-server': 1 });
    // Not overdue yet.
    const early = judged(stateless, HUNG_UNTIL_FIN, { ...lost, error: 'closed' });
    assert.deepEqual(early.cells[2].outcomes, { 'closed-by-server': 1 });
  });

  it('of a balancer that keeps quiet breaks with one RST of its own', () => {
    const resets = judged(stateless, RESET_BY_BALANCER, reset);
    assert.equal(resets.balancerResets, 1);
    assert.deepEqual(resets.broken, ['the balancer sent 1 RSTs, promised none']);
    assert.deepEqual(judged(rowNamed('SYN-only'), RESET_BY_BALANCER, reset).broken, []);
    assert.deepEqual(judged(stateless, KEPT, {}).broken, []);
  });

  it('sees through NAT who sent an RST', () => {
    const nat = rowNamed('NAT, by chance');
    const outcome = (lines: string): object =>
      judged(nat, lines.replaceAll(/(b\d)>client/g, '$1>lb>client'), reset, behindNat).cells[2].outcomes;
    assert.deepEqual(outcome(RESET_BY_STRANGER), { 'reset-by-backend': 1 });
    assert.deepEqual(outcome(RESET_BY_BALANCER), { 'reset-by-balancer': 1 });
    const [packet] = story(KEPT);
    const backend = backendAddress('b3');
    const request = { ...packet, source: BALANCER_ADDRESS, destination: backend };
    const answer = { ...packet, source: backend, destination: BALANCER_ADDRESS };
    assert.deepEqual(beforeNat(request, { backends: ['b3'], addresses: IPV4 }), {
      ...packet,
      source: CLIENT_ADDRESS,
      destination: VIP,
    });
    assert.deepEqual(beforeNat(answer, { backends: ['b3'], addresses: IPV4 }), {
      ...packet,
      source: VIP,
      destination: CLIENT_ADDRESS,
    });
    assert.deepEqual(beforeNat(packet, { backends: ['b3'], addresses: IPV4 }), packet);
  });
});

describe('the table', () => {
  const plain: Paint = (_style, text) => text;

  function resultOf(change: (ends: End[], row: MatrixRow) => End[]): MatrixResult {
    const rows = MATRIX_ROWS.map((row): MatrixRowResult => {
      const cells = judgeCells(row, change(asPromised(row), row));
      const held = cells.every((cell) => cell.held);
      return { name: row.name, summary: row.summary, cells, balancerResets: 0, broken: [], held };
    });
    const held = rows.every((row) => row.held);
    return {
      orderings: ORDERINGS,
      settings: { connections: 12, seed: 1, webServer: 'nginx', cableMs: 250 },
      rows,
      held,
    };
  }

  it('shows the worst of each cell, and how many fared so', () => {
    const lines = describeMatrix(
      resultOf((ends) => ends),
      { width: 80, paint: plain },
    );
    assert.match(lines[0], /^ {20}c<b<s {4}c<s<b {4}b<c<s {4}b<s<c {4}s<c<b {4}s<b<c$/);
    const at = lines.findIndex((line) => line.startsWith('round-robin'));
    assert.match(lines[at], /^round-robin +kept +kept +RST srv +RST srv +race +race$/);
    assert.match(lines[at + 1], /^ {20}12 +12 +8\/12 +8\/24 +12\/24 +12\/24$/);
    assert.equal(lines.at(-1), 'Promise held in each of 66 cells.');
  });

  it('marks a cell that broke its promise, and says what was seen', () => {
    const result = resultOf((ends, { name }) =>
      name === 'stateless' ? ends.with(0, { ...ends[0], outcome: 'reset-by-balancer' }) : ends,
    );
    assert.equal(result.held, false);
    const text = describeMatrix(result, { width: 80, paint: plain }).join('\n');
    assert.match(text, /^stateless +✕RST lb +kept/m);
    assert.match(text, /Promise broken:\n {2}✕ stateless, c<b<s: promised kept as the worst; seen: RST lb\n/);
    assert.match(text, /✕ stateless, c<b<s: at the last moment: promised kept; seen: 1 RST lb/);
  });

  it('fits every width', () => {
    const bad = resultOf((ends) => ends.with(0, { ...ends[0], outcome: 'error' }));
    for (let width = 40; width <= 140; width++) {
      for (const line of describeMatrix(bad, { width, paint: plain })) {
        assert.ok([...line].length <= width, `${width} columns: ${line}`);
      }
    }
  });

  it('has a word for the command line for each row', () => {
    const slugs = MATRIX_ROWS.map(({ name }) => slugOf(name));
    assert.equal(new Set(slugs).size, slugs.length);
    for (const slug of slugs) assert.match(slug, /^[a-z0-9]+(-[a-z0-9]+)*$/);
  });
});
