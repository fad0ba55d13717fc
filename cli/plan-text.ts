/**
 * A plan as people read it: a block for each service that is not the same, its load in a table, at any width from 40 columns
 * on. cli/plan.ts prints it.
 */
import type { Move } from '../plan/fates.ts';
import type { BackendPlan, BackendSide, Plan, ServicePlan } from '../plan/plan.ts';
import type { Setting } from '../plan/settings.ts';
import { boxedTable } from './boxed-table.ts';
import { cut, labelled, wrap } from './terminal.ts';

/** Of a table; --json has all. */
const MOST_ROWS = 12;
const WIDE_FROM = 60;

export function planText(plan: Plan, width: number): string {
  const { services, settings, needsRestart, moves } = plan;
  const changed = services.filter(({ status, slots }) => status !== 'same' || (slots?.share ?? 0) > 0);
  const blocks = [
    ...(settings.length === 0 ? [] : [labelled(settings.map(settingRow), width)]),
    ...changed.map((service) => serviceText(service, width)),
    `${wrap(endText(needsRestart, moves, services.length - changed.length), width).join('\n')}\n`,
  ];
  return blocks.join('\n');
}

function endText(needsRestart: boolean, moves: boolean, same: number): string {
  const rest = same === 0 ? '' : `; ${same} ${same === 1 ? 'service stays' : 'services stay'} the same`;
  if (needsRestart) return `a restart is needed, after which the connection tables are empty${rest}`;
  return `${moves ? 'something moves' : 'nothing moves'}${rest}`;
}

type Row = readonly [label: string, text: string];

function settingRow({ key, before, after, note }: Setting): Row {
  return ['setting', `${key}: ${before} → ${after}${note === null ? '' : `: ${note}`}`];
}

function serviceText(service: ServicePlan, width: number): string {
  const { name, status, socket, settings, backends, slots, moves, connections, notes } = service;
  const rows: Row[] = [
    ...settings.map(settingRow),
    ...(slots === null ? [] : [['slots', slotsText(slots)] as const]),
    ...(connections === null ? [] : connectionRows(connections)),
    ...notes.map((note): Row => ['note', note]),
  ];
  const head = wrap(`${cut(name, width)}  ${socket}, ${status}`, width).join('\n');
  return [
    `${head}\n`,
    `${loadTable(backends, width)}\n`,
    ...(moves.length > 0 ? [`${movesTable(moves, width)}\n`] : []),
    labelled(rows, width),
  ].join('');
}

function slotsText({ of, moved, share }: NonNullable<ServicePlan['slots']>): string {
  if (moved === null) return `dealt anew: ${percent(share)} of all flows get another backend`;
  return `${moved} of ${of} move, ${percent(share)}`;
}

function connectionRows({ withTable, withoutTable, entries }: NonNullable<ServicePlan['connections']>): Row[] {
  const counted = entries === null ? '' : `; of the ${entries.now} entries now about ${entries.broken}`;
  return [
    ['break', `${percent(withTable)} of the connections that have an entry${counted}`],
    ['break', `${percent(withoutTable)} of those that have none`],
  ];
}

function loadTable(backends: readonly BackendPlan[], width: number): string {
  const rows = backends.map((backend) => ({
    backend: backend.name,
    weight: pair(backend, ({ weight, state }) => (state === 'draining' ? 'drains' : String(weight))),
    before: backend.before === null ? 'new' : percent(backend.before.share),
    after: backend.after === null ? 'gone' : percent(backend.after.share),
    change: signed((backend.after?.share ?? 0) - (backend.before?.share ?? 0)),
    entries: backend.entries === null ? '' : String(backend.entries),
  }));
  const entries = backends.some((backend) => backend.entries !== null) ? (['entries'] as const) : [];
  const wide = ['backend', 'weight', 'before', 'after', 'change', ...entries] as const;
  return draw(width >= WIDE_FROM ? wide : ['backend', 'before', 'after'], rows, width);
}

/** `2`, or `1 → 2` where it changes. */
function pair({ before, after }: BackendPlan, text: (side: BackendSide) => string): string {
  const texts = [before, after].flatMap((side) => (side === null ? [] : [text(side)]));
  return [...new Set(texts)].join(' → ');
}

function movesTable(moves: readonly Move[], width: number): string {
  const rows = moves.map(({ from, to, slots, share }) => ({
    from: from ?? 'nobody',
    to: to ?? 'nobody',
    slots: slots === null ? '' : String(slots),
    share: percent(share),
  }));
  return draw(moves[0].slots === null ? ['from', 'to', 'share'] : ['from', 'to', 'slots', 'share'], rows, width);
}

function draw<Column extends string>(
  columns: readonly Column[],
  all: readonly Record<Column, string>[],
  width: number,
): string {
  const rows = all.slice(0, MOST_ROWS);
  const more = all.length - rows.length;
  return `${boxedTable(columns, rows, width, NAMES)}${more > 0 ? `\nand ${more} more (--json has all)` : ''}`;
}

/** Columns that are cut where the table would be too wide. */
const NAMES: readonly string[] = ['backend', 'from', 'to'];

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function signed(share: number): string {
  const text = (share * 100).toFixed(2);
  return share > 0 ? `+${text}` : text;
}
