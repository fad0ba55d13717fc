/**
 * Draws one connection's ladder as an SVG: a lane for each host, one for the balancer's table, an arrow for each leg of a
 * packet's way. The same numbers as the terminal's ladder (lab/draw.ts), for screens. report/page.ts puts two of them
 * into the page: one for wide screens, one for phones.
 */
import { hostLabel } from '../lab/draw.ts';
import type { Ladder } from '../lab/ladder.ts';
import { drawing, element, join, type Markup } from './markup.ts';
import {
  type Arrow,
  type Gap,
  type Lane,
  layOut,
  type Measures,
  NARROW,
  type SequenceLayout,
  type TableState,
} from './sequence-layout.ts';
import { seconds } from './words.ts';

export interface SequenceOptions {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  readonly measures: Measures;
  /** Whose table the table's lane is, for people. */
  readonly tableOf: string;
  /** Addresses of hosts, for the lanes' heads; those without have none. */
  readonly addresses: ReadonlyMap<string, string>;
}

const HEAD_LENGTH = 9;
const HEAD_HALF = 4.5;
/** A label stands so far above its arrow. */
const LABEL_LIFT = 6;
/** Width of a character over the font's size, where no one can measure: ours are a little narrower. */
const CHARACTER = 0.57;
/** Over the arrow's ends, before it is cut. */
const OVERHANG = 10;
const TABLE_PAD = 10;

export function drawSequence(ladder: Ladder, { id, title, measures, tableOf, addresses }: SequenceOptions): Markup {
  const layout = layOut(ladder, measures);
  const narrow = measures === NARROW;
  return drawing(
    {
      id,
      title,
      description: describe(ladder),
      width: layout.width,
      height: layout.height,
      className: `sequence ${narrow ? 'narrow' : 'wide'}`,
    },
    join(layout.gaps.map((gap) => drawGapBand(gap, layout))),
    drawTable(layout, tableOf),
    join(layout.lanes.map((lane) => drawLane(lane, layout, narrow ? undefined : addresses.get(lane.host)))),
    join(layout.gaps.map((gap) => drawGapLabel(gap, layout))),
    join(layout.times.map(({ y, ms }) => drawTime(y, ms, layout))),
    // Lines first, so that no line crosses a label.
    join(layout.arrows.map(drawArrow)),
    join(layout.arrows.map((arrow) => drawLabel(arrow, layout))),
  );
}

/** In words, for those who don't see it; the page's table has every packet. */
function describe({ rows, columns, clientPort }: Ladder): string {
  const packets = rows.filter(({ kind }) => kind === 'packet').length;
  const reset = rows.find((row) => row.kind === 'packet' && row.reset);
  const first =
    reset?.kind === 'packet'
      ? ` The first RST comes from ${hostLabel(reset.hops[0].from)} at ${seconds(reset.timeMs)}.`
      : '';
  return (
    `${packets} packets of the connection from client port ${clientPort} between ${columns.map(hostLabel).join(', ')}, ` +
    `from top to bottom in time.${first} The table below the drawing lists them.`
  );
}

function line(x1: number, y1: number, x2: number, y2: number, className: string): Markup {
  return element('line', { x1, y1, x2, y2, class: className });
}

function text(x: number, y: number, className: string, ...words: readonly (Markup | string)[]): Markup {
  return element('text', { x, y, class: className }, ...words);
}

function drawLane({ label, x, host }: Lane, layout: SequenceLayout, address: string | undefined): Markup {
  const { headHeight } = layout.measures;
  const top = headHeight - 4;
  const solid = (from: number, to: number): Markup => line(x, from, x, to, 'lifeline');
  const parts: Markup[] = [
    text(
      x,
      address === undefined ? headHeight - 14 : 20,
      `lane-name${host.startsWith('lb') ? ' balancer' : ''}`,
      label,
    ),
    ...(address === undefined ? [] : [text(x, 38, 'lane-address', address)]),
  ];
  let from = top;
  for (const gap of layout.gaps) {
    parts.push(solid(from, gap.fromY), line(x, gap.fromY, x, gap.toY, 'lifeline asleep'));
    from = gap.toY;
  }
  parts.push(solid(from, layout.height - 2), element('circle', { cx: x, cy: top, r: 3, class: 'lane-start' }));
  return join(parts);
}

function laneBounds({ lanes, measures }: SequenceLayout): { left: number; right: number } {
  const half = measures.leastSpacing / 2;
  return { left: lanes[0].x - half + 6, right: (lanes.at(-1) ?? lanes[0]).x + half - 6 };
}

function drawGapBand({ fromY, toY }: Gap, layout: SequenceLayout): Markup {
  const { left, right } = laneBounds(layout);
  return element('rect', { x: left, y: fromY, width: right - left, height: toY - fromY, rx: 6, class: 'gap' });
}

function drawGapLabel({ fromY, toY, ms }: Gap, layout: SequenceLayout): Markup {
  const { left, right } = laneBounds(layout);
  return text((left + right) / 2, (fromY + toY) / 2 + 4, 'gap-label halo', `${(ms / 1000).toFixed(1)} s idle`);
}

function drawTime(y: number, ms: number, { measures }: SequenceLayout): Markup {
  return text(measures.timeWidth - 14, y + 4, 'time', measures === NARROW ? (ms / 1000).toFixed(3) : seconds(ms));
}

function kindOf({ row, hop }: Arrow): string {
  if (row.reset) return ' reset';
  if (hop.to === null) return ' lost';
  return isServerError(row.label) ? ' failure' : '';
}

function isServerError(label: string): boolean {
  return /^5\d\d\b/.test(label);
}

function drawArrow(arrow: Arrow): Markup {
  const { hop, row, fromX, fromY, toX, toY } = arrow;
  const kind = kindOf(arrow);
  const length = Math.hypot(toX - fromX, toY - fromY) || 1;
  const [ux, uy] = [(toX - fromX) / length, (toY - fromY) / length];
  const [endX, endY] = [toX - ux * HEAD_LENGTH, toY - uy * HEAD_LENGTH];
  const isFirst = row.hops[0] === hop;
  return element(
    'g',
    {},
    element('title', {}, describeHop(arrow)),
    ...(hop.tunnel === null ? [] : [line(fromX + ux * 6, fromY + uy * 6, toX - ux * 6, toY - uy * 6, 'tunnel')]),
    line(fromX, fromY, endX, endY, `arrow${kind}`),
    hop.to === null ? cross(toX, toY) : head(toX, toY, ux, uy, kind),
    ...(row.reset && isFirst ? [element('circle', { cx: fromX, cy: fromY, r: 5, class: 'reset-origin' })] : []),
  );
}

function head(x: number, y: number, ux: number, uy: number, kind: string): Markup {
  const back = (side: number): string =>
    [x - ux * HEAD_LENGTH - uy * side, y - uy * HEAD_LENGTH + ux * side].map((value) => value.toFixed(2)).join(',');
  const points = `${x.toFixed(2)},${y.toFixed(2)} ${back(HEAD_HALF)} ${back(-HEAD_HALF)}`;
  return element('polygon', { points, class: `head${kind}` });
}

function cross(x: number, y: number): Markup {
  return join([line(x - 5, y - 5, x + 5, y + 5, 'arrow lost'), line(x - 5, y + 5, x + 5, y - 5, 'arrow lost')]);
}

function describeHop({ hop, row }: Arrow): string {
  const tunnel = hop.tunnel === null ? '' : ` inside ${hop.tunnel}`;
  const sent = `${row.label}${tunnel}: left ${hostLabel(hop.from)} at ${seconds(hop.sentMs)}`;
  if (hop.to === null || hop.arrivedMs === null) return `${sent}, and no host saw it arrive`;
  return `${sent}, reached ${hostLabel(hop.to)} ${((hop.arrivedMs - hop.sentMs) * 1000).toFixed(0)} µs later`;
}

function drawLabel(arrow: Arrow, layout: SequenceLayout): Markup {
  const { hop, row, fromX, fromY, toX, toY } = arrow;
  const font = layout.measures === NARROW ? 10.5 : 13;
  const level = fromY === toY;
  const long = row.reset ? `${row.label} from ${hostLabel(row.hops[0].from)}` : row.label;
  const plain = hop.to === null ? `${row.label}, lost` : long;
  const inTunnel = hop.tunnel === null ? 0 : hop.tunnel.length;
  const width = (plain.length + inTunnel) * font * CHARACTER;
  const span = Math.abs(toX - fromX) - HEAD_LENGTH + OVERHANG;
  // Of crossing arrows the middles meet: a label stays near its sender.
  const along = level ? 0.5 : 0.3;
  const x = Math.max(layout.measures.timeWidth + width / 2 - 8, fromX + (toX - fromX) * along);
  const fits = width <= span;
  const shown =
    fits || row.reset || hop.to === null ? plain : shortened(plain, Math.floor(span / font / CHARACTER) - inTunnel);
  const words: (Markup | string)[] = [
    ...(hop.tunnel === null ? [] : [element('tspan', { class: 'tunnel-name' }, hop.tunnel), ' ']),
    shown,
  ];
  const angle = (Math.atan2(toY - fromY, toX - fromX) * 180) / Math.PI;
  const upright = Math.abs(angle) > 90 ? angle - 180 * Math.sign(angle) : angle;
  const y = fromY + (toY - fromY) * along;
  return element(
    'text',
    {
      x,
      y: y - LABEL_LIFT,
      class: `label halo${kindOf(arrow)}`,
      transform: level ? undefined : `rotate(${upright.toFixed(2)} ${x.toFixed(2)} ${y.toFixed(2)})`,
    },
    ...words,
  );
}

/** The whole of it is in the arrow's title and in the table. */
function shortened(label: string, length: number): string {
  return label.length <= length ? label : `${label.slice(0, Math.max(3, length - 1))}…`;
}

function drawTable(layout: SequenceLayout, tableOf: string): Markup {
  const { tableX, measures, table, height } = layout;
  if (tableX === null) return join([]);
  const narrow = measures === NARROW;
  const { tableWidth, headHeight } = measures;
  const middle = tableX + tableWidth / 2;
  return join([
    element('rect', {
      x: tableX,
      y: headHeight - 6,
      width: tableWidth - 1,
      height: height - headHeight + 4,
      rx: 8,
      class: 'table-lane',
    }),
    text(middle, narrow ? headHeight - 14 : 20, 'lane-name table-name', 'table'),
    ...(narrow ? [] : [text(middle, 38, 'lane-address', `of ${tableOf}`)]),
    ...table.map((state) => drawState(state, tableX, measures)),
  ]);
}

function drawState({ y, untilY, title, remarks, fill }: TableState, x: number, measures: Measures): Markup {
  const { tableWidth, lineHeight, rowHeight } = measures;
  const pad = measures === NARROW ? 5 : TABLE_PAD;
  const top = y - rowHeight / 2 + 2;
  const height = Math.max(0, untilY - top);
  return join([
    ...(fill > 0
      ? [element('rect', { x, y: top, width: (tableWidth - 1) * fill, height, rx: 4, class: 'table-fill' })]
      : []),
    line(x, top, x + tableWidth - 1, top, 'table-step'),
    text(x + pad, y + 4, fill > 0 ? 'table-entries' : 'table-entries empty', title),
    ...remarks.map((remark, i) => text(x + pad, y + 4 + lineHeight * (i + 1), 'table-remark', remark)),
  ]);
}
