/**
 * Draws a ladder (lab/ladder.ts) as text: a column and a lifeline for each host, an arrow for each leg of a packet's way,
 * the balancer's table in its own lines. Where the terminal is too narrow for that, a list of the same rows.
 */
import type { Hop, Ladder, LadderRow, TableRow } from './ladder.ts';

export type Style = 'plain' | 'dim' | 'strong' | 'good' | 'bad' | 'table';
/** Colours a text, or returns it as it is. */
export type Paint = (style: Style, text: string) => string;

const TIME_WIDTH = 9;
const FIRST_LIFELINE = TIME_WIDTH + 4;
const WIDEST_SPACING = 26;
const ARROW_ENDS = 2;

/** What people call a host of the lab. */
export function hostLabel(host: string): string {
  return host.startsWith('lb') ? host.replace('lb', 'balancer') : host;
}

/** Lines of at most `width` columns. */
export function drawLadder(ladder: Ladder, width: number, paint: Paint): string[] {
  const spacing = Math.min(
    WIDEST_SPACING,
    Math.floor((width - FIRST_LIFELINE - lastNameRoom(ladder)) / Math.max(1, ladder.columns.length - 1)),
  );
  if (spacing - 1 < longestLabel(ladder) + ARROW_ENDS) return listRows(ladder, width, paint);

  const lifelines = new Map(ladder.columns.map((host, i) => [host, FIRST_LIFELINE + i * spacing]));
  const lines = [header(lifelines, paint)];
  for (const row of ladder.rows) lines.push(...drawRow(row, lifelines, width, paint));
  return lines;
}

function lastNameRoom(ladder: Ladder): number {
  return Math.ceil(hostLabel(ladder.columns.at(-1) ?? '').length / 2) + 1;
}

function longestLabel(ladder: Ladder): number {
  const lengths = ladder.rows.flatMap((row) =>
    row.kind === 'packet' ? row.hops.map((hop) => hopLabel(row.label, hop).length) : [],
  );
  return Math.max(0, ...lengths);
}

function hopLabel(label: string, hop: Hop): string {
  return hop.tunnel === null ? label : `[${hop.tunnel}] ${label}`;
}

/** One line of cells, each a character with a style. */
class Canvas {
  readonly #cells: { character: string; style: Style }[] = [];

  put(column: number, text: string, style: Style): void {
    for (const [i, character] of [...text].entries()) {
      while (this.#cells.length <= column + i) this.#cells.push({ character: ' ', style: 'plain' });
      this.#cells[column + i] = { character, style };
    }
  }

  toLine(paint: Paint): string {
    let line = '';
    for (let i = 0; i < this.#cells.length; ) {
      const { style } = this.#cells[i];
      let run = '';
      for (; i < this.#cells.length && this.#cells[i].style === style; i++) run += this.#cells[i].character;
      line += style === 'plain' ? run : paint(style, run);
    }
    return line.trimEnd();
  }
}

type Lifelines = ReadonlyMap<string, number>;

function header(lifelines: Lifelines, paint: Paint): string {
  const canvas = new Canvas();
  canvas.put(TIME_WIDTH - 'time'.length, 'time', 'dim');
  for (const [host, column] of lifelines) {
    const name = hostLabel(host);
    canvas.put(column - Math.floor(name.length / 2), name, 'strong');
  }
  return canvas.toLine(paint);
}

function newLine(lifelines: Lifelines, timeMs: number | null, lifeline = '│'): Canvas {
  const canvas = new Canvas();
  if (timeMs !== null) canvas.put(0, seconds(timeMs).padStart(TIME_WIDTH), 'dim');
  for (const column of lifelines.values()) canvas.put(column, lifeline, 'dim');
  return canvas;
}

function drawRow(row: LadderRow, lifelines: Lifelines, width: number, paint: Paint): string[] {
  if (row.kind === 'table') return drawTable(row, lifelines, width, paint);
  const canvas = newLine(lifelines, row.timeMs);
  for (const hop of row.hops) {
    const style = row.reset ? 'bad' : 'plain';
    const label = hopLabel(row.label, hop);
    drawArrow(canvas, hop, row.reset ? `${label} from ${hostLabel(row.hops[0].from)}` : label, label, lifelines, style);
  }
  return [canvas.toLine(paint)];
}

/** The longer label where it fits. A line runs over the lifelines that the packet passes by. */
function drawArrow(canvas: Canvas, hop: Hop, long: string, short: string, lifelines: Lifelines, style: Style): void {
  const from = lifelines.get(hop.from) ?? 0;
  if (hop.to === null) {
    canvas.put(from + 1, `── ${short} ──✕`, 'bad');
    return;
  }
  const to = lifelines.get(hop.to) ?? 0;
  const left = Math.min(from, to) + 1;
  const length = Math.abs(to - from) - 1;
  canvas.put(left, '─'.repeat(length), style);
  if (to > from) canvas.put(left + length - 1, '▶', style);
  else canvas.put(left, '◀', style);
  const text = [` ${long} `, long, ` ${short} `, short].find((each) => each.length <= length - ARROW_ENDS) ?? short;
  canvas.put(left + Math.ceil((length - text.length) / 2), text, style);
}

function drawTable(row: TableRow, lifelines: Lifelines, width: number, paint: Paint): string[] {
  const lines: string[] = [];
  const columns = [...lifelines.values()];
  const write = (text: string, timeMs: number | null, style: Style, lifeline?: string): void => {
    const canvas = newLine(lifelines, timeMs, lifeline);
    const padded = ` ${text} `;
    const centred = (columns[1] ?? columns[0]) - Math.floor(padded.length / 2);
    const start = Math.max(columns[0] + 1, Math.min(centred, width - padded.length));
    canvas.put(start, padded, style);
    lines.push(canvas.toLine(paint));
  };
  if (row.idleMs !== null) write(idleText(row.idleMs), null, 'dim', '┊');
  for (const [i, line] of wrap(tableText(row), width - columns[0] - 3).entries()) {
    write(line, i === 0 ? row.timeMs : null, 'table');
  }
  return lines;
}

export function idleText(idleMs: number): string {
  return `… ${(idleMs / 1000).toFixed(1)} s idle …`;
}

export function tableText(row: TableRow): string {
  if (row.tableless) return row.event ?? holdingText(row);
  const remarks = tableRemarks(row);
  const happened = row.event === undefined ? '' : `${row.event}, `;
  const entries = `${happened}table: ${holdingText(row)}`;
  return remarks.length === 0 ? entries : `${entries} (${remarks.join(', ')})`;
}

/** What the table holds; the page says it, too. */
export function holdingText({ entries, tableless }: TableRow): string {
  if (tableless) return 'no table';
  return `${entries} ${entries === 1 ? 'entry' : 'entries'}`;
}

/** What happened to the table since the row before. */
export function tableRemarks(row: TableRow): string[] {
  const goodbyes = row.balancerGoodbyes === 0 ? 'silently' : `with ${row.balancerGoodbyes} RST or FIN`;
  return [
    ...(row.expired > 0 ? [`${row.expired} expired ${goodbyes}`] : []),
    ...(row.nonSynMisses > 0 ? [`${row.nonSynMisses} non-SYN ${row.nonSynMisses === 1 ? 'miss' : 'misses'}`] : []),
  ];
}

/** For narrow terminals: one row, one or two lines. */
function listRows(ladder: Ladder, width: number, paint: Paint): string[] {
  return ladder.rows.flatMap((row) => {
    const time = seconds(row.timeMs).padStart(TIME_WIDTH);
    if (row.kind === 'table') {
      const silence = row.idleMs === null ? [] : hang(' '.repeat(TIME_WIDTH), idleText(row.idleMs), width);
      const table = hang(time, tableText(row), width);
      return [...silence.map((line) => paint('dim', line)), ...table.map((line) => paint('table', line))];
    }
    const way = row.hops
      .map((hop, i) => {
        const to = `─${hop.tunnel === null ? '' : `[${hop.tunnel}]`}▶ ${hop.to === null ? '✕' : hostLabel(hop.to)}`;
        return i === 0 ? `${hostLabel(hop.from)} ${to}` : to;
      })
      .join(' ');
    return hang(time, `${row.label}: ${way}`, width).map((line) => (row.reset ? paint('bad', line) : line));
  });
}

/** Wraps `text` behind `head`, further lines indented as far. */
function hang(head: string, text: string, width: number): string[] {
  const indent = ' '.repeat(head.length + 2);
  return wrap(text, Math.max(10, width - indent.length)).map((line, i) => (i === 0 ? `${head}  ` : indent) + line);
}

/** Breaks a text at its spaces into lines of at most `width` columns, where no word is longer than that. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(3)} s`;
}
