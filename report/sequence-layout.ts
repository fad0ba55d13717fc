/**
 * Where everything of a sequence diagram stands: lanes from left to right, rows from top to bottom, and time in between.
 * Numbers only, in pixels; report/sequence.ts draws them.
 *
 * Rows are as far apart as people need to read them, whatever the time between them; a long silence is a gap, marked with
 * its length. An arrow is level, as nearly all packets of the lab arrive at once. It slopes where a packet was under way
 * for a while: so do a request and a FIN cross that meet on a long cable.
 */
import { holdingText, hostLabel, tableRemarks, wrap } from '../lab/draw.ts';
import type { Hop, Ladder, PacketRow, TableRow } from '../lab/ladder.ts';

/** The sizes of a kind of page: for wide screens, and for phones. */
export interface Measures {
  readonly timeWidth: number;
  /** Between lifelines, at the least and at the most. */
  readonly leastSpacing: number;
  readonly mostSpacing: number;
  readonly tableWidth: number;
  /** The whole, where lanes have room in it. */
  readonly width: number;
  readonly rowHeight: number;
  readonly gapHeight: number;
  readonly headHeight: number;
  readonly lineHeight: number;
  /** Characters of a remark that fit into the table's lane. */
  readonly tableColumns: number;
}

export const WIDE: Measures = {
  timeWidth: 84,
  leastSpacing: 120,
  mostSpacing: 300,
  tableWidth: 176,
  width: 960,
  rowHeight: 34,
  gapHeight: 54,
  headHeight: 58,
  lineHeight: 16,
  tableColumns: 23,
};

export const NARROW: Measures = {
  timeWidth: 46,
  leastSpacing: 62,
  mostSpacing: 110,
  tableWidth: 80,
  width: 344,
  rowHeight: 36,
  gapHeight: 50,
  headHeight: 34,
  lineHeight: 12.5,
  tableColumns: 14,
};

export interface Lane {
  readonly host: string;
  readonly label: string;
  readonly x: number;
}

export interface Arrow {
  readonly hop: Hop;
  readonly row: PacketRow;
  readonly fromX: number;
  readonly fromY: number;
  readonly toX: number;
  readonly toY: number;
}

/** What the table's lane says at a moment, and how full it is from here to the next one. */
export interface TableState {
  readonly row: TableRow;
  readonly y: number;
  readonly untilY: number;
  readonly title: string;
  readonly remarks: readonly string[];
  /** 0 to 1, of the fullest. */
  readonly fill: number;
}

export interface Gap {
  readonly fromY: number;
  readonly toY: number;
  readonly ms: number;
}

export interface SequenceLayout {
  readonly measures: Measures;
  readonly width: number;
  readonly height: number;
  readonly lanes: readonly Lane[];
  readonly arrows: readonly Arrow[];
  readonly times: readonly { readonly y: number; readonly ms: number }[];
  readonly gaps: readonly Gap[];
  /** Left edge of the table's lane; null where nobody looked at a table. */
  readonly tableX: number | null;
  readonly table: readonly TableState[];
}

/** A silence worth a mark. */
const GAP_MS = 800;
/** Packets that take less time than this arrive at once, to the eye; the shortest of long cables takes 5 ms. */
const UNDER_WAY_MS = 3;
const LANE_MARGIN = 14;

export function layOut(ladder: Ladder, measures: Measures): SequenceLayout {
  const hasTable = ladder.rows.some(({ kind }) => kind === 'table');
  const tableWidth = hasTable ? measures.tableWidth + LANE_MARGIN : 0;
  const lanesLeft = measures.timeWidth + measures.leastSpacing / 2;
  const room = measures.width - lanesLeft - measures.leastSpacing / 2 - tableWidth;
  const gaps = Math.max(1, ladder.columns.length - 1);
  const spacing = Math.min(measures.mostSpacing, Math.max(measures.leastSpacing, room / gaps));
  const lanes = ladder.columns.map((host, i) => ({ host, label: hostLabel(host), x: lanesLeft + i * spacing }));
  const lanesRight = lanesLeft + (ladder.columns.length - 1) * spacing + measures.leastSpacing / 2;

  const rows = placeRows(ladder, measures);
  const bottom = rows.bottom + measures.rowHeight / 2;
  return {
    measures,
    width: lanesRight + tableWidth,
    height: bottom + 2,
    lanes,
    arrows: rows.packets.flatMap(({ row, y }) => {
      const yAt = (ms: number, flightMs: number): number =>
        flightMs >= UNDER_WAY_MS ? yOfTime(ms, rows.packets, bottom) : y;
      return row.hops.map((hop) => arrowOf(hop, row, lanes, yAt));
    }),
    times: [...rows.packets, ...rows.tables].map(({ row, y }) => ({ y, ms: row.timeMs })),
    gaps: rows.gaps,
    tableX: hasTable ? lanesRight + LANE_MARGIN : null,
    table: tableStates(rows.tables, bottom, measures),
  };
}

interface Placed<Row> {
  readonly row: Row;
  readonly y: number;
}

interface PlacedRows {
  readonly packets: readonly Placed<PacketRow>[];
  readonly tables: readonly Placed<TableRow>[];
  readonly gaps: readonly Gap[];
  readonly bottom: number;
}

function placeRows({ rows }: Ladder, measures: Measures): PlacedRows {
  const packets: Placed<PacketRow>[] = [];
  const tables: Placed<TableRow>[] = [];
  const gaps: Gap[] = [];
  let y = measures.headHeight + measures.rowHeight;
  for (const row of rows) {
    if (row.kind === 'table') {
      if (saysNothingNew(row, tables.at(-1)?.row)) continue;
      tables.push({ row, y });
      y += Math.max(measures.rowHeight, (1 + remarksOf(row, measures).length) * measures.lineHeight + 12);
      continue;
    }
    const before = packets.at(-1);
    const silenceMs = before === undefined ? 0 : row.timeMs - before.row.timeMs;
    if (before !== undefined && silenceMs > GAP_MS) {
      y = Math.max(y, before.y + measures.gapHeight + measures.rowHeight / 2);
      gaps.push({ fromY: before.y + measures.rowHeight / 3, toY: y - measures.rowHeight * 0.75, ms: silenceMs });
    }
    packets.push({ row, y });
    y += measures.rowHeight;
  }
  return { packets, tables, gaps, bottom: y - measures.rowHeight / 2 };
}

function saysNothingNew(row: TableRow, before: TableRow | undefined): boolean {
  return row.event === undefined && row.entries === before?.entries && tableRemarks(row).length === 0;
}

function arrowOf(
  hop: Hop,
  row: PacketRow,
  lanes: readonly Lane[],
  yAt: (ms: number, flightMs: number) => number,
): Arrow {
  const laneOf = (host: string): number => lanes.findIndex((lane) => lane.host === host);
  const from = laneOf(hop.from);
  const fromX = lanes[from].x;
  const fromY = yAt(hop.sentMs, hop.sentMs - row.timeMs);
  if (hop.to === null || hop.arrivedMs === null) {
    // Lost on the way to the neighbour: to the right, but for the last lane.
    const neighbour = lanes[from + 1] ?? lanes[from - 1] ?? lanes[from];
    return { hop, row, fromX, fromY, toX: fromX + (neighbour.x - fromX) * 0.6, toY: fromY };
  }
  return { hop, row, fromX, fromY, toX: lanes[laneOf(hop.to)].x, toY: yAt(hop.arrivedMs, hop.arrivedMs - row.timeMs) };
}

/** Between the rows before and after that moment, as far as the time between them has gone by. */
function yOfTime(ms: number, packets: readonly Placed<PacketRow>[], bottom: number): number {
  const i = packets.findLastIndex(({ row }) => row.timeMs <= ms);
  const before = packets[Math.max(0, i)];
  const after = packets[i + 1];
  if (after === undefined) return Math.min(bottom, before.y + (bottom - before.y) / 2);
  const share = (ms - before.row.timeMs) / (after.row.timeMs - before.row.timeMs);
  return before.y + share * (after.y - before.y);
}

function remarksOf(row: TableRow, { tableColumns }: Measures): string[] {
  const event = row.event === undefined ? [] : [row.event];
  return [...event, ...tableRemarks(row)].flatMap((remark) => wrap(remark, tableColumns));
}

function tableStates(tables: readonly Placed<TableRow>[], bottom: number, measures: Measures): TableState[] {
  const fullest = Math.max(1, ...tables.map(({ row }) => row.entries));
  return tables.map(({ row, y }, i) => ({
    row,
    y,
    untilY: tables[i + 1] === undefined ? bottom : tables[i + 1].y - measures.rowHeight / 2,
    title: holdingText(row),
    remarks: remarksOf(row, measures),
    fill: row.entries / fullest,
  }));
}
