/**
 * The sequence diagram's layout and the markup that it is drawn with.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { buildLadder, type Ladder } from '../../lab/ladder.ts';
import { drawing, element, escapeText } from '../../report/markup.ts';
import { layOut, NARROW, type SequenceLayout, WIDE } from '../../report/sequence-layout.ts';
import { HUNG, KEPT, RESET_BY_STRANGER, ROLES, START_MS, story } from '../lab/story.ts';
import { overLongCable, RACE } from './evidence.ts';

function sample(timeMs: number, entries: number, expired: number) {
  const rest = { nonSynMisses: 0, hits: 0, synMisses: 60, resetsSent: 0 };
  return { timeMs: START_MS + timeMs, entries, expired, ...rest };
}

const SAMPLES = [sample(350, 60, 0), sample(2700, 0, 60), sample(3900, 30, 60)];

function ladderOf(packets: ReturnType<typeof story>, samples = SAMPLES): Ladder {
  return buildLadder({ packets, samples, roles: ROLES, clientPort: 40001 });
}

function arrowsLabelled(layout: SequenceLayout, label: string) {
  return layout.arrows.filter(({ row }) => row.label === label);
}

describe('layOut', () => {
  for (const [name, measures] of Object.entries({ WIDE, NARROW })) {
    it(`${name}: lanes, rows and the table keep their order and stay inside`, () => {
      const layout = layOut(ladderOf(story(RESET_BY_STRANGER)), measures);
      const xs = layout.lanes.map(({ x }) => x);
      assert.deepEqual(
        layout.lanes.map(({ label }) => label),
        ['client', 'balancer', 'b2', 'b3'],
      );
      assert.deepEqual(
        xs,
        xs.toSorted((a, b) => a - b),
      );
      assert.ok(layout.tableX !== null && layout.tableX > xs[3]);
      assert.ok(layout.width >= layout.tableX + measures.tableWidth);
      const inTime = layout.times.toSorted((a, b) => a.ms - b.ms).map(({ y }) => y);
      assert.deepEqual(
        inTime,
        inTime.toSorted((a, b) => a - b),
      );
      assert.equal(new Set(inTime).size, inTime.length, 'two rows at one height');
      assert.ok(inTime.every((y) => y > measures.headHeight && y < layout.height));
    });
  }

  it('marks a long silence, between the packets around it', () => {
    const layout = layOut(ladderOf(story(KEPT)), WIDE);
    assert.deepEqual(
      layout.gaps.map(({ ms }) => ms),
      [3599.6],
    );
    const [answer, request] = [arrowsLabelled(layout, '200 OK')[0], arrowsLabelled(layout, 'GET /').at(-1)];
    assert.ok(layout.gaps[0].fromY > answer.fromY && layout.gaps[0].toY < request!.fromY);
  });

  it('fills the table’s lane as far as the table is full', () => {
    const { table } = layOut(ladderOf(story(KEPT)), WIDE);
    assert.deepEqual(
      table.map(({ fill, title, remarks }) => [fill, title, remarks]),
      [
        [1, '60 entries', []],
        [0, '0 entries', ['60 expired silently']],
        [0.5, '30 entries', []],
      ],
    );
    for (const [i, { untilY }] of table.slice(0, -1).entries()) assert.ok(untilY < table[i + 1].y);
  });

  it('says of the table only what is new', () => {
    const samples = [sample(350, 60, 0), sample(900, 60, 0), sample(3900, 60, 0)];
    assert.equal(layOut(ladderOf(story(KEPT), samples), WIDE).table.length, 1);
  });

  it('has no lane for a table that nobody looked at', () => {
    assert.equal(layOut(ladderOf(story(KEPT), []), WIDE).tableX, null);
  });

  it('draws what arrives at once level', () => {
    for (const { fromY, toY } of layOut(ladderOf(story(KEPT)), WIDE).arrows) assert.equal(fromY, toY);
  });

  it('lets the request and the FIN cross that meet on the cable', () => {
    const layout = layOut(ladderOf(overLongCable(story(RACE)), []), WIDE);
    const [fin] = arrowsLabelled(layout, 'FIN-ACK');
    const request = arrowsLabelled(layout, 'GET /').at(-1)!;
    assert.ok(fin.fromY < request.fromY, 'the FIN leaves first');
    assert.ok(fin.toY > request.fromY, 'it arrives after the request left');
    assert.ok(request.toY > fin.fromY, 'and the request after the FIN left');
    // At the client's lane the FIN is below the request, at the server's above it: the lines cross.
    assert.deepEqual([fin.toX, fin.fromX], [request.fromX, request.toX]);
    for (const { fromY, toY } of layout.arrows) assert.ok(toY > fromY && toY <= layout.height);
  });

  it('ends an arrow that nobody received before the next lane', () => {
    const layout = layOut(ladderOf(story(HUNG)), WIDE);
    const lost = layout.arrows.filter(({ hop }) => hop.to === null);
    assert.equal(lost.length, 2);
    for (const { fromX, toX } of lost) assert.ok(toX > fromX && toX < layout.lanes[1].x);
  });
});

describe('element', () => {
  it('escapes texts and attributes', () => {
    const { markup } = element('text', { class: '"><script>' }, `<b> & 'c'`);
    assert.equal(markup, '<text class="&quot;&gt;&lt;script&gt;">&lt;b&gt; &amp; &#39;c&#39;</text>');
  });

  it('takes markup as it is, leaves out what is undefined and rounds', () => {
    const { markup } = element('g', { x: 1.23456, y: undefined }, element('circle', { r: 2 }));
    assert.equal(markup, '<g x="1.23"><circle r="2"/></g>');
  });

  it('a drawing is named by its title and description', () => {
    const { markup } = drawing({ id: 'a', title: 't', description: 'd', width: 1.5, height: 2, className: 'c' });
    assert.match(markup, /aria-labelledby="a-title a-desc"><title id="a-title">t<\/title><desc id="a-desc">d<\/desc>/);
  });

  it('no text brings forth what XML does not allow', () => {
    const property = fc.property(fc.string({ unit: 'binary' }), fc.string(), (a, b) => {
      const text = escapeText(`${a}\ud800${b}\u0000\u001b`);
      assert.doesNotMatch(text, /[<>"']/);
      assert.doesNotMatch(text, /&(?!(?:amp|lt|gt|quot|#39);)/);
      // XML 1.0, section 2.2.
      assert.doesNotMatch(text, /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u);
    });
    fc.assert(property, { numRuns: 1000 });
  });
});
