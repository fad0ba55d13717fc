/**
 * An explanation in words: rows of a label and a text, for whatever width there is. cli/explain.ts prints them.
 */
import type { Encap } from '../lb/config.ts';
import type { Answer } from './explain.ts';
import type { EntryFacts, Explanation, ServiceFacts } from './explanation.ts';
import { endpointText } from './flow.ts';
import type { OuterHeader } from './outer-header.ts';

export type Row = readonly [label: string, text: string];

/** What is, and what would be: of that the rows that differ, and what comes of it. */
export interface AnswerText {
  readonly title: string;
  readonly now: readonly Row[];
  readonly whatIf: readonly Row[];
}

export function answerText({ flow, opens, from, now, whatIf }: Answer): AnswerText {
  const packet = flow.protocol === 'udp' ? 'datagram' : opens ? 'SYN' : 'in mid-connection';
  const title = `${endpointText(flow.client)} to ${endpointText(flow.to)}, ${flow.protocol}, ${packet}`;
  const rows = rowsOf(now, opens, from);
  if (whatIf === null) return { title, now: rows, whatIf: [] };
  const known = new Set(rows.map(([label, text]) => `${label} ${text}`));
  const differing = rowsOf(whatIf.would, opens, from).filter(([label, text]) => !known.has(`${label} ${text}`));
  return {
    title,
    now: rows,
    whatIf: [['what if', whatIf.texts.join(', ')], ...differing, ['then', effectText(whatIf.effect)]],
  };
}

function effectText({ breaks, why }: NonNullable<Answer['whatIf']>['effect']): string {
  return `${breaks === null ? 'the connection may break' : breaks ? 'the connection breaks' : 'nothing breaks'}: ${why}`;
}

function rowsOf(explanation: Explanation, opens: boolean, from: Answer['from']): Row[] {
  const { service, others, verdict, reason, notes } = explanation;
  if (service === null)
    return [
      ['service', noneText(others)],
      ['verdict', `${verdict}: ${reason}`],
    ];
  return [
    ['service', serviceText(service)],
    ['table', tableText(explanation, opens, from)],
    ['hash', hashText(explanation)],
    ['slot', slotText(explanation)],
    ['backend', backendText(explanation)],
    ...outerRows(explanation),
    ...notes.map((note): Row => ['note', note]),
  ];
}

function noneText(others: readonly ServiceFacts[]): string {
  if (others.length === 0) return 'none: no service has this VIP';
  const known = others.map(({ name, protocol, ports }) => `${name} (${protocol} ${ports})`);
  return `none: of this VIP there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ')}`;
}

function serviceText({ name, vip, protocol, ports }: ServiceFacts): string {
  return `${name}: ${vip} ${protocol}, ${ports === 'all' ? 'all ports' : `port ${ports}`}`;
}

function tableText({ table }: Explanation, opens: boolean, from: Answer['from']): string {
  if (table === null) return 'not asked';
  const { finding, entry } = table;
  if (finding === 'no-table') return 'none: conntrack is off';
  if (finding === 'hit' && entry !== null) return `hit: ${entryText(entry)}`;
  if (finding === 'syn') return 'not asked: a SYN opens a connection, whatever the table has';
  if (opens) return 'miss: its first datagram';
  if (entry !== null) return `miss, though there is an entry: ${entryText(entry)}`;
  return from === 'file' ? 'miss: it has no entry' : 'miss: no worker has an entry';
}

function entryText({ backend, isKnown, worker, idleMs, remainingMs }: EntryFacts): string {
  if (!isKnown) return `${backend ?? 'whoever had the turn'}, as its first packet left it`;
  const parts = [
    backend,
    worker !== null && `worker ${worker}`,
    idleMs !== null && `idle for ${seconds(idleMs)}`,
    remainingMs !== null && `forgotten in ${seconds(remainingMs)} without a packet`,
  ];
  return parts.filter(Boolean).join(', ');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function hashText({ hash, anyOf }: Explanation): string {
  if (hash === null) return anyOf.length > 0 ? 'not asked: the scheduler is round-robin' : 'not asked';
  return `${hash.by} with seed ${hash.seed}: ${hash.value}`;
}

function slotText({ slot, table }: Explanation): string {
  if (slot === null) return 'none';
  const place = `${slot.number} of ${slot.of}`;
  if (slot.backend === null) return `${place}, which is nobody's`;
  return table?.finding === 'hit' ? `${place}, not asked; it is ${slot.backend}'s` : `${place}: ${slot.backend}`;
}

function backendText({ backend, anyOf, verdict, reason }: Explanation): string {
  if (anyOf.length > 0) return `one of ${anyOf.join(', ')}: whose turn it is, only the workers know`;
  const exit = verdict === 'forward' ? '' : `${verdict}: ${reason}`;
  if (backend === null) return `none; ${exit}`;
  const { name, address, weight, state, isDown } = backend;
  const facts = [
    `${name}, ${address}`,
    weight !== 1 && `weight ${weight}`,
    state === 'draining' && 'draining: no new connections',
    isDown && 'down',
    exit,
  ];
  return facts.filter(Boolean).join(', ');
}

const ENCAPS: Record<Encap, string> = { l2: 'L2', ipip: 'IP in IP', gue: 'GUE', gre: 'GRE' };
const PROTOCOLS: Readonly<Record<number, string>> = { 4: 'IPv4', 41: 'IPv6', 17: 'UDP', 47: 'GRE' };

function outerRows({ outer, room }: Explanation): Row[] {
  if (outer === null) return [['outer', 'nothing is sent']];
  const rows: Row[] = [['outer', outerText(outer)]];
  if (outer.destinationMac !== null) rows.push(['frame', `${outer.sourceMac} to ${outer.destinationMac}`]);
  if (room !== null) {
    const { mtu, largest } = room;
    const headers = outer.bytes === 0 ? '' : `, of which the headers take ${outer.bytes}`;
    const way = `${outer.destinationMac === null ? 'if ' : ''}the way has an MTU of ${mtu}`;
    rows.push(['room', `${largest} bytes for a packet, ${way}${headers}`]);
  }
  return rows;
}

function outerText({ encap, source, destination, protocol, ttl, flowLabel, ...udp }: OuterHeader): string {
  if (encap === 'l2') return 'L2: no header, the frame goes to the MAC of the next hop';
  const isIpv6 = destination?.includes(':') === true;
  const from = source ?? `the balancer's own ${isIpv6 ? 'IPv6' : 'IPv4'} address on the way`;
  const hops = isIpv6 ? 'hop limit' : 'TTL';
  const parts = [
    `${ENCAPS[encap]}: ${from} to ${destination}`,
    protocol !== null && `protocol ${protocol} (${PROTOCOLS[protocol]})`,
    udp.port !== null && `ports ${udp.sourcePort} to ${udp.port}`,
    udp.variant === 1 && 'variant 1',
    ttl === null ? `${hops} of the client's packet` : `${hops} ${ttl}`,
    flowLabel !== null && `flow label 0x${flowLabel.toString(16).padStart(5, '0')}`,
  ];
  return parts.filter(Boolean).join(', ');
}
