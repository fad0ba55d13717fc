/**
 * The ladder: rows from packets and samples, and how they are drawn. Golden pictures, made by hand from lab/ladder.ts's
 * rules and looked at.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawLadder, type Paint, wrap } from '../../lab/draw.ts';
import { buildLadder, type Ladder, type TableRow } from '../../lab/ladder.ts';
import type { TableSample } from '../../lab/table-probe.ts';
import { HUNG, KEPT, RESET_BY_BALANCER, RESET_BY_STRANGER, ROLES, START_MS, story } from './story.ts';

function sample(timeMs: number, entries: number, expired: number, nonSynMisses = 0): TableSample {
  return { timeMs: START_MS + timeMs, entries, expired, nonSynMisses, hits: 0, synMisses: 60, resetsSent: 0 };
}

const SAMPLES = [
  sample(-50, 0, 0),
  sample(50, 12, 0),
  sample(350, 60, 0),
  sample(450, 60, 0),
  sample(2500, 30, 30),
  sample(2700, 0, 60),
  sample(3550, 0, 60),
  sample(3900, 60, 60, 60),
];

function ladderOf(lines: string, samples = SAMPLES): Ladder {
  return buildLadder({ packets: story(lines), samples, roles: ROLES, clientPort: 40001 });
}

const plain: Paint = (_style, text) => text;

function picture(text: string): string[] {
  return text.replace(/^\n/, '').trimEnd().split('\n');
}

describe('buildLadder', () => {
  it('joins the legs of one packet’s way into a row', () => {
    const [syn, synAck] = ladderOf(KEPT).rows;
    assert.deepEqual(syn, {
      kind: 'packet',
      timeMs: 0,
      label: 'SYN',
      reset: false,
      hops: [
        { from: 'client', to: 'lb', tunnel: null, sentMs: 0, arrivedMs: 0.1 },
        { from: 'lb', to: 'b2', tunnel: 'IPIP', sentMs: 0.2, arrivedMs: 0.3 },
      ],
    });
    assert.deepEqual(synAck.kind === 'packet' && synAck.hops, [
      { from: 'b2', to: 'client', tunnel: null, sentMs: 0.5, arrivedMs: 0.6 },
    ]);
  });

  it('tells what happened to the balancer at its moment, with the table as it was last seen then', () => {
    const event = { timeMs: START_MS + 500, text: 'b4 is added' };
    const input = { packets: story(KEPT), samples: SAMPLES, roles: ROLES, clientPort: 40001, event };
    const ladder = buildLadder(input);
    const [first, ...rest] = ladder.rows.filter((row): row is TableRow => row.kind === 'table');
    assert.deepEqual([first.timeMs, first.event, first.entries], [500, 'b4 is added', 60]);
    assert.ok(rest.length > 0 && rest.every((row) => row.event === undefined));
    assert.match(drawLadder(ladder, 100, plain).join('\n'), / 0\.500 s .*b4 is added, table: 60 entries/);

    const without = drawLadder(buildLadder({ ...input, tableless: true }), 100, plain).join('\n');
    assert.match(without, / 0\.500 s .* b4 is added /);
    assert.doesNotMatch(without, /table/);
  });

  it('tells the table’s state at its fullest, as soon as it is at its emptiest, and at the end', () => {
    const tables = ladderOf(KEPT).rows.filter((row): row is TableRow => row.kind === 'table');
    const told = tables.map(({ timeMs, entries, expired, nonSynMisses, idleMs }) => [
      timeMs,
      entries,
      expired,
      nonSynMisses,
      idleMs === null ? null : Math.round(idleMs),
    ]);
    assert.deepEqual(told, [
      [350, 60, 0, 0, null],
      [2700, 0, 60, 0, 2698],
      [3900, 60, 0, 60, null],
    ]);
  });

  it('counts RSTs that the balancer made, for anyone, while the table emptied, and none that it passed on', () => {
    const made = story('2400 lb>client RST 1 0', 40002);
    const passedOn = story('2500 client>lb>b1 RST 7 0', 40003);
    const packets = [...story(KEPT), ...made, ...passedOn].sort((a, b) => a.timeMs - b.timeMs);
    const { rows } = buildLadder({ packets, samples: SAMPLES, roles: ROLES, clientPort: 40001 });
    const goodbyes = rows.flatMap((row) => (row.kind === 'table' ? [row.balancerGoodbyes] : []));
    assert.deepEqual(goodbyes, [0, 1, 0]);
  });

  it('shows a retransmission as a packet of its own, and what nobody received as lost', () => {
    const requests = ladderOf(HUNG).rows.filter((row) => row.kind === 'packet' && row.label === 'GET /');
    const ways = requests.map((row) => row.kind === 'packet' && row.hops.map(({ to }) => to));
    assert.deepEqual(ways, [['lb', 'b2'], [null], [null]]);
  });

  it('takes the retransmission that arrives for what it is, not for the first try', () => {
    const { rows } = ladderOf('0 client>nowhere SYN 100 0\n210 client>lb>b2 SYN 100 0', []);
    const ways = rows.map((row) => row.kind === 'packet' && row.hops.map(({ to }) => to));
    assert.deepEqual(ways, [[null], ['lb', 'b2']]);
  });

  it('gives the second leg a row of its own where the balancer took its time', () => {
    const { rows } = ladderOf('0 client>lb SYN 100 0\n150 lb>b2 SYN 100 0', []);
    assert.deepEqual(
      rows.map(({ timeMs }) => timeMs),
      [0, 150],
    );
  });

  it('leaves bare ACKs out, but for the handshake’s, and says how many', () => {
    const ladder = ladderOf(KEPT);
    assert.equal(ladder.bareAcksLeftOut, 2);
    assert.equal(ladder.rows.filter((row) => row.kind === 'packet' && row.label === 'ACK').length, 1);
  });

  it('gives a column to the backends that the connection met, and to no other', () => {
    assert.deepEqual(ladderOf(KEPT).columns, ['client', 'lb', 'b2']);
    assert.deepEqual(ladderOf(RESET_BY_STRANGER).columns, ['client', 'lb', 'b2', 'b3']);
  });

  it('has nothing to say of a connection that nobody captured', () => {
    const ladder = buildLadder({ packets: [], samples: SAMPLES, roles: ROLES, clientPort: 1 });
    assert.deepEqual(ladder.rows, []);
    assert.doesNotThrow(() => drawLadder(ladder, 80, plain));
  });
});

describe('drawLadder', () => {
  it('round-robin at 80 columns', () => {
    assert.deepEqual(
      drawLadder(ladderOf(RESET_BY_STRANGER), 80, plain),
      picture(`
     time client              balancer                b2                   b3
  0.000 s    │──────── SYN ──────▶│──── [IPIP] SYN ───▶│                    │
  0.001 s    │◀─────────────── SYN-ACK ────────────────│                    │
  0.001 s    │──────── ACK ──────▶│──── [IPIP] ACK ───▶│                    │
  0.001 s    │─────── GET / ─────▶│─── [IPIP] GET / ──▶│                    │
  0.002 s    │◀──────────────── 200 OK ────────────────│                    │
  0.350 s    │            table: 60 entries            │                    │
             ┊             … 2.7 s idle …              ┊                    ┊
  2.700 s    │ table: 0 entries (60 expired silently)  │                    │
  3.602 s    │─────── GET / ─────▶│────────────── [IPIP] GET / ────────────▶│
  3.603 s    │◀──────────────────────── RST from b3 ────────────────────────│
  3.900 s    │  table: 60 entries (60 non-SYN misses)  │                    │
`),
    );
  });

  it('syn-only at 60 columns', () => {
    assert.deepEqual(
      drawLadder(ladderOf(RESET_BY_BALANCER, [...SAMPLES.slice(0, -1), sample(3900, 0, 60, 1)]), 60, plain),
      picture(`
     time client               balancer                 b2
  0.000 s    │──────── SYN ───────▶│───── [IPIP] SYN ───▶│
  0.001 s    │◀──────────────── SYN-ACK ─────────────────│
  0.001 s    │──────── ACK ───────▶│───── [IPIP] ACK ───▶│
  0.001 s    │─────── GET / ──────▶│──── [IPIP] GET / ──▶│
  0.002 s    │◀───────────────── 200 OK ─────────────────│
  0.350 s    │             table: 60 entries             │
             ┊              … 2.7 s idle …               ┊
  2.700 s    │  table: 0 entries (60 expired silently)   │
  3.602 s    │─────── GET / ──────▶│                     │
  3.603 s    │◀ RST from balancer ─│                     │
  3.900 s    │     table: 0 entries (1 non-SYN miss)     │
`),
    );
  });

  it('a list where columns have no room', () => {
    assert.deepEqual(
      drawLadder(ladderOf(RESET_BY_STRANGER), 40, plain),
      picture(`
  0.000 s  SYN: client ─▶ balancer
           ─[IPIP]▶ b2
  0.001 s  SYN-ACK: b2 ─▶ client
  0.001 s  ACK: client ─▶ balancer
           ─[IPIP]▶ b2
  0.001 s  GET /: client ─▶ balancer
           ─[IPIP]▶ b2
  0.002 s  200 OK: b2 ─▶ client
  0.350 s  table: 60 entries
           … 2.7 s idle …
  2.700 s  table: 0 entries (60 expired
           silently)
  3.602 s  GET /: client ─▶ balancer
           ─[IPIP]▶ b3
  3.603 s  RST: b3 ─▶ client
  3.900 s  table: 60 entries (60 non-SYN
           misses)
`),
    );
  });

  it('stays within every width', () => {
    for (let width = 40; width <= 120; width++) {
      for (const lines of [KEPT, RESET_BY_STRANGER, RESET_BY_BALANCER, HUNG]) {
        for (const line of drawLadder(ladderOf(lines), width, plain)) {
          assert.ok([...line].length <= width, `${width} columns: ${line}`);
        }
      }
    }
  });

  it('paints the RST and nothing else as bad', () => {
    const bad: string[] = [];
    drawLadder(ladderOf(RESET_BY_STRANGER), 80, (style, text) => {
      if (style === 'bad') bad.push(text);
      return text;
    });
    assert.equal(bad.length, 1);
    assert.match(bad[0], /^◀─+ RST from b3 ─+$/);
  });
});

describe('wrap', () => {
  it('breaks at spaces and keeps long words whole', () => {
    assert.deepEqual(wrap('a bb ccc dddddddd e', 6), ['a bb', 'ccc', 'dddddddd', 'e']);
  });
});
