/**
 * Draws a network of the lab (lab/topology.ts) with its addresses: hosts in columns by their distance from the client, or
 * below each other for phones. Only what the description says is drawn; nothing here knows a host by its address.
 */

import { addressesOf as addressesIn } from '../lab/addresses.ts';
import { hostLabel } from '../lab/draw.ts';
import type { HostDescription, Topology } from '../lab/topology.ts';
import { drawing, element, join, type Markup } from './markup.ts';

interface Box {
  readonly host: HostDescription;
  readonly lines: readonly Line[];
  readonly x: number;
  readonly y: number;
  readonly height: number;
}

interface Line {
  readonly text: string;
  readonly className: string;
}

const WIDE = { box: 224, columnGap: 36, rowGap: 14, indent: 0 };
const NARROW = { box: 268, columnGap: 0, rowGap: 12, indent: 22 };
const HEAD = 26;
const LINE = 17;
const FOOT = 8;
const MARGIN = 2;
/** Where a cable leaves a box that stands above those it goes to. */
const RAIL = 11;

export interface TopologyOptions {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  readonly narrow: boolean;
}

export function drawTopology(topology: Topology, { id, title, narrow }: TopologyOptions): Markup {
  const boxes = narrow ? stack(topology) : columns(topology);
  const right = (narrow ? NARROW : WIDE).box + MARGIN;
  return drawing(
    {
      id,
      title,
      description: describe(topology),
      width: Math.max(...boxes.map(({ x }) => x)) + right,
      height: Math.max(...boxes.map(({ y, height }) => y + height)) + MARGIN,
      className: `topology ${narrow ? 'narrow' : 'wide'}`,
    },
    join(cablesOf(topology, boxes, narrow)),
    join(boxes.map((box) => drawBox(box, narrow ? NARROW.box : WIDE.box))),
  );
}

function describe({ hosts }: Topology): string {
  return hosts.map((host) => `${hostLabel(host.name)}: ${addressesOf(host).join(', ') || 'no address'}`).join('; ');
}

function addressesOf({ addresses }: HostDescription): string[] {
  return Object.values(addresses).flat();
}

/** Each host's distance from the first one, in cables, in the order of a walk along them. */
function walk(topology: Topology): { host: HostDescription; distance: number }[] {
  const found: { host: HostDescription; distance: number }[] = [];
  const visit = (name: string, distance: number): void => {
    const host = topology.hosts.find((each) => each.name === name);
    if (host === undefined || found.some((each) => each.host === host)) return;
    found.push({ host, distance });
    for (const neighbour of neighboursOf(name, topology)) visit(neighbour, distance + 1);
  };
  for (const { name } of topology.hosts) visit(name, 0);
  return found;
}

function neighboursOf(name: string, { cables }: Topology): string[] {
  return cables.flatMap(([a, b]) => (a.host === name ? [b.host] : b.host === name ? [a.host] : []));
}

function columns(topology: Topology): Box[] {
  const walked = walk(topology);
  const { vip } = addressesIn(topology.family ?? 4);
  const heights = new Map<number, number>();
  const boxes = walked.map(({ host, distance }) => {
    const lines = linesOf(host, vip);
    const height = heightOf(lines);
    const y = heights.get(distance) ?? MARGIN;
    heights.set(distance, y + height + WIDE.rowGap);
    return { host, lines, height, y, x: MARGIN + distance * (WIDE.box + WIDE.columnGap), distance };
  });
  const tallest = Math.max(...heights.values());
  // Each column stands in the middle.
  return boxes.map(({ distance, ...box }) => ({ ...box, y: box.y + (tallest - (heights.get(distance) ?? 0)) / 2 }));
}

function stack(topology: Topology): Box[] {
  const { vip } = addressesIn(topology.family ?? 4);
  let y = MARGIN;
  return walk(topology).map(({ host, distance }) => {
    const lines = linesOf(host, vip);
    const height = heightOf(lines);
    const box = { host, lines, height, y, x: MARGIN + distance * NARROW.indent };
    y += height + NARROW.rowGap;
    return box;
  });
}

function heightOf(lines: readonly Line[]): number {
  return HEAD + lines.length * LINE + FOOT;
}

function linesOf({ addresses, routes = [], bridges = {} }: HostDescription, vip: string): Line[] {
  const lines: Line[] = Object.entries(addresses).flatMap(([name, list]) =>
    list.map((address) => ({
      text: `${name.padEnd(6)} ${address}`,
      className: address.startsWith(`${vip}/`) ? 'address vip' : 'address',
    })),
  );
  const ports = Object.entries(bridges).map(([name, list]) => ({
    text: `${name} joins ${list.join(' ')}`,
    className: 'route',
  }));
  const hops = routes.flatMap(({ to, via }) =>
    [via]
      .flat()
      .map((hop) => ({ text: `${to} → ${hop}`, className: to.startsWith(`${vip}/`) ? 'route vip' : 'route' })),
  );
  if (lines.length === 0) lines.push({ text: 'no address: delays packets', className: 'route' });
  return [...lines, ...ports, ...hops];
}

function drawBox({ host, lines, x, y, height }: Box, width: number): Markup {
  const kind = host.name.startsWith('lb') ? ' balancer' : '';
  return element(
    'g',
    { class: `host${kind}` },
    element('rect', { x, y, width, height, rx: 9 }),
    element('text', { x: x + 14, y: y + 19, class: 'host-name' }, hostLabel(host.name)),
    ...lines.map(({ text, className }, i) =>
      element('text', { x: x + 14, y: y + HEAD + 13 + i * LINE, class: className }, text),
    ),
  );
}

/** Lines that run level out of a box and level into the next; for phones, down from one and level into the others. */
function cablesOf({ cables }: Topology, boxes: readonly Box[], narrow: boolean): Markup[] {
  return cables.map(([a, b]) => {
    const ends = [a.host, b.host].map((name) => boxes.find(({ host }) => host.name === name));
    const [near, far] = ends.sort((one, other) => (one?.x ?? 0) - (other?.x ?? 0));
    if (near === undefined || far === undefined) return join([]);
    const farY = far.y + (narrow ? HEAD / 2 + 2 : far.height / 2);
    const d = narrow
      ? `M ${near.x + RAIL} ${near.y + near.height} V ${farY} H ${far.x}`
      : `M ${near.x + WIDE.box} ${near.y + near.height / 2} h ${WIDE.columnGap / 2} V ${farY} H ${far.x}`;
    return element('path', { d, class: 'cable' });
  });
}
