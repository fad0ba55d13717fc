/**
 * The page: one file of HTML, with its style and drawings inside and nothing to fetch, which needs no script. Made from
 * report/model.ts's data alone. report/report.ts calls it.
 */
import { Eta } from 'eta';
import { hostLabel, tableText } from '../lab/draw.ts';
import type { Ladder, PacketRow } from '../lab/ladder.ts';
import type { MatrixResult } from '../lab/matrix.ts';
import { evidenceOf, footnotes } from '../lab/report.ts';
import { titleOf } from '../lab/scenario.ts';
import type { Topology } from '../lab/topology.ts';
import { GENERATOR } from './directory.ts';
import { matrixView } from './heat-map.ts';
import type { About, ReportData, RunPart } from './model.ts';
import { outcomeParts, outcomesInWords } from './outcomes.ts';
import { drawSequence } from './sequence.ts';
import { NARROW, WIDE } from './sequence-layout.ts';
import { STYLE } from './style.ts';
import { ABOUT, BADGE, BAR, MATRIX, NETWORKS, OVERVIEW, PAGE, RUN } from './templates.ts';
import { drawTopology } from './topology.ts';
import { plural, seconds, size, span } from './words.ts';

const TITLE = 'What idle timeouts do to connections';

/** The whole page. */
export function renderPage({ runs, matrix }: ReportData): string {
  const eta = new Eta({ autoEscape: true, autoTrim: false });
  const templates = {
    page: PAGE,
    about: ABOUT,
    overview: OVERVIEW,
    badge: BADGE,
    bar: BAR,
    networks: NETWORKS,
    run: RUN,
    matrix: MATRIX,
  };
  for (const [name, template] of Object.entries(templates)) eta.loadTemplate(`@${name}`, template);
  const parts = runs?.parts ?? [];
  const networks = networksOf(parts);
  return eta.render('@page', {
    generator: GENERATOR,
    title: TITLE,
    lead: [leadOf(parts), matrixLead(matrix?.result)].filter((text) => text !== '').join(' '),
    style: STYLE,
    abouts: [runs, matrix].flatMap((part) => (part === null ? [] : [aboutOf(part.about)])),
    networks: networks.map(networkView),
    matrix: matrix && matrixView(matrix.result),
    runs: parts.map((part) => runView(part, networks)),
  });
}

function leadOf(parts: readonly RunPart[]): string {
  if (parts.length === 0) return '';
  const connections = parts.reduce((sum, { result }) => sum + result.connections.length, 0);
  const broken = parts.filter(({ result }) => !result.promise.held).length;
  const promises = broken === 0 ? 'Every promise held' : `${plural(broken, 'promise')} of ${parts.length} broke`;
  return `${plural(parts.length, 'run')} on live traffic, ${plural(connections, 'connection')}. ${promises}.`;
}

function matrixLead(result: MatrixResult | undefined): string {
  if (result === undefined) return '';
  const cells = result.rows.flatMap((row) => row.cells);
  const held = cells.filter((cell) => cell.held).length;
  return `A matrix of ${cells.length} cells, ${held === cells.length ? 'all' : held} as promised.`;
}

function aboutOf({ command, versions, kernel, machine, finishedMs }: About): object {
  const isoDate = new Date(finishedMs).toISOString();
  return {
    command,
    kernel,
    machine,
    isoDate,
    date: `${isoDate.slice(0, 16).replace('T', ' ')} UTC`,
    versions: versions.map(([program, version]) => `${program} ${version}`).join(' · '),
  };
}

interface Network {
  readonly id: string;
  readonly topology: Topology;
  readonly parts: RunPart[];
}

/** Each network once, with the runs that used it. */
function networksOf(parts: readonly RunPart[]): Network[] {
  const networks = new Map<string, Network>();
  for (const part of parts) {
    const key = JSON.stringify(part.topology);
    const network = networks.get(key) ?? { id: `network-${networks.size + 1}`, topology: part.topology, parts: [] };
    networks.set(key, network);
    network.parts.push(part);
  }
  return [...networks.values()];
}

function networkView({ id, topology, parts }: Network): object {
  const names = topology.hosts.map(({ name }) => name);
  const balancers = names.filter((name) => name.startsWith('lb')).length;
  const servers = names.filter((name) => /^b\d+$/.test(name)).length;
  const cable = names.includes('cable') ? ', a long cable' : '';
  const title = `Client, router, ${plural(balancers, 'balancer')}, ${plural(servers, 'server')}${cable}`;
  const draw = (narrow: boolean): string =>
    drawTopology(topology, { id: `${id}-${narrow ? 'narrow' : 'wide'}`, title, narrow }).markup;
  return {
    id,
    title,
    wide: draw(false),
    narrow: draw(true),
    runs: parts.map((part) => ({ id: part.id, title: titleOf(part) })),
  };
}

function runView(part: RunPart, networks: readonly Network[]): object {
  const { id, name, variant, story, settings, result, capture } = part;
  const outcomes = outcomeParts(result);
  const what = result.requests > 0 ? 'session' : 'connection';
  return {
    id,
    name,
    variant,
    story,
    settings,
    held: result.promise.held,
    claims: result.promise.claims,
    outcomes,
    outcomesInWords: outcomesInWords(outcomes),
    outcomeTitle: `What became of ${plural(result.connections.length, what)}`,
    facts: factsOf(part),
    times: timesOf(part),
    sequence: result.ladder === null || result.ladder.rows.length === 0 ? null : sequenceView(part, result.ladder),
    capture: {
      file: capture.file,
      href: encodeURIComponent(capture.file),
      size: `${plural(capture.packets, 'packet')}, ${size(capture.bytes)}, ${plural(capture.comments, 'comment')}`,
      filters: [
        ...(capture.filter === null ? [] : [['the connection above', capture.filter]]),
        ...(capture.comments === 0 ? [] : [['packets that decide', 'frame.comment']]),
        ['RSTs', 'tcp.flags.reset == 1'],
      ],
    },
    networkId: networks.find(({ parts }) => parts.includes(part))?.id,
  };
}

function factsOf({ result }: RunPart): string[] {
  const { balancer, requests, sentTooLate, attemptGapsMs } = result;
  return [
    ...(balancer === null
      ? []
      : [
          `RSTs of the balancer: ${balancer.resetsCaptured} captured, ${balancer.resetsCounted} by its own count.`,
          `Its table: ${balancer.entriesAtPeak} entries at most, ${balancer.expired} expired, ${balancer.synMisses} SYN misses, ` +
            `${balancer.nonSynMisses} non-SYN misses.`,
        ]),
    ...(requests > 0
      ? [`${requests} requests in all; ${sentTooLate} came to a server that had just closed the connection.`]
      : []),
    ...(attemptGapsMs.length > 0
      ? [`Waits before the request is sent again: ${attemptGapsMs.map((wait) => `${wait} ms`).join(', ')}.`]
      : []),
  ];
}

function timesOf({ timeouts, silenceMs }: RunPart): object[] {
  const { client, balancer, server } = timeouts;
  const longest = Math.max(client, balancer ?? 0, server, silenceMs ?? 0, 1);
  const bar = (label: string, className: string, ms: number): object => ({
    label,
    className,
    value: span(ms),
    width: Math.round((ms / longest) * 1000) / 10,
  });
  return [
    bar('client', 'client', client),
    ...(balancer === null ? [] : [bar('balancer', 'balancer', balancer)]),
    bar('server', 'server', server),
    ...(silenceMs === null ? [] : [bar('silence', 'silence', silenceMs)]),
  ];
}

function sequenceView({ id, topology, result }: RunPart, ladder: Ladder): object {
  const total = result.connections.length;
  const shown = result.connections.find(({ clientPort }) => clientPort === ladder.clientPort);
  const title = `One of ${total}, from client port ${ladder.clientPort}, as captured at each host`;
  const addresses = new Map(
    topology.hosts.map(({ name, addresses: byInterface }) => [name, byInterface.eth0?.[0]?.split('/')[0] ?? '']),
  );
  // Of two balancers, the one that takes over is watched (lab/plots.ts).
  const watched = topology.hosts.findLast(({ name }) => name.startsWith('lb'))?.name ?? 'lb';
  const draw = (kind: 'wide' | 'narrow'): string =>
    drawSequence(ladder, {
      id: `${id}-sequence-${kind}`,
      title,
      measures: kind === 'wide' ? WIDE : NARROW,
      tableOf: hostLabel(watched),
      addresses,
    }).markup;
  return {
    title,
    wide: draw('wide'),
    narrow: draw('narrow'),
    notes: [[...footnotes(ladder), ...evidenceOf(shown)].join(' ')].filter((note) => note !== ''),
    columns: ladder.columns.map(hostLabel),
    rows: ladder.rows.map((row) =>
      row.kind === 'table'
        ? { className: 'table-row', label: '', wide: `${seconds(row.timeMs)}: ${tableText(row)}`, at: [] }
        : {
            className: row.reset ? 'reset' : '',
            label: `${row.label}${tunnelOf(row)}`,
            wide: null,
            at: ladder.columns.map((host) => timeAt(host, row)),
          },
    ),
  };
}

/** Of a packet that was in one on any of its legs. */
function tunnelOf({ hops }: PacketRow): string {
  const tunnel = hops.find((hop) => hop.tunnel !== null)?.tunnel ?? null;
  return tunnel === null ? '' : ` (${tunnel})`;
}

/** When the packet left a host, or reached it. */
function timeAt(host: string, { hops }: PacketRow): string {
  const left = hops.find(({ from }) => from === host);
  const reached = hops.find(({ to }) => to === host);
  const ms = reached?.arrivedMs ?? left?.sentMs;
  if (ms === undefined) return '';
  const lost = left !== undefined && left.to === null ? ', lost' : '';
  return `${(ms / 1000).toFixed(6)} s${lost}`;
}
