/**
 * `hushlb conntrack`: what the connection tables of a running balancer hold. A client of the admin API (admin/conntrack-routes.ts).
 */
import type { Argv, CommandModule } from 'yargs';
import { clientText } from '../lb/client-text.ts';
import type { ConntrackEntry } from '../lb/worker-requests.ts';
import { type AdminArguments, jsonOption, withAdminOptions, withDaemon } from './admin-options.ts';
import { briefMs, type Column, columnLines } from './columns.ts';
import { UsageError } from './errors.ts';
import { labelled, terminalWidth, wrap } from './terminal.ts';

interface FilterArguments extends AdminArguments {
  readonly service: string | undefined;
  readonly backend: string | undefined;
  readonly client: string | undefined;
  readonly divergent: boolean;
  readonly json: boolean;
}

interface ListArguments extends FilterArguments {
  readonly limit: number;
}

interface FlushArguments extends FilterArguments {
  readonly all: boolean;
}

interface ShowArguments extends AdminArguments {
  readonly service: string;
  readonly client: string;
  readonly json: boolean;
}

interface Shown extends ConntrackEntry {
  readonly byHash: string | null;
  readonly expiresAt: string;
}

export const conntrackCommand: CommandModule = {
  command: 'conntrack',
  describe: 'See, and forget, connections of a running balancer',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 conntrack list|show|flush\n\nThe connection table is a cache: which backend each connection was sent to. Whatever is ' +
          'forgotten is placed by hash again with its next packet, mostly to the same backend.',
      )
      .command(listCommand)
      .command(showCommand)
      .command(flushCommand)
      .demandCommand(1, 1, 'expected list, show or flush'),
  handler: () => {},
};

function withFilter<T>(yargs: Argv<T>) {
  return withAdminOptions(yargs)
    .option('service', { alias: 's', type: 'string', requiresArg: true, describe: 'Only of this service' })
    .option('backend', { alias: 'b', type: 'string', requiresArg: true, describe: 'Only of this backend' })
    .option('client', { type: 'string', requiresArg: true, describe: 'Only of this client: ADDRESS or ADDRESS:PORT' })
    .option('divergent', {
      type: 'boolean',
      default: false,
      describe: 'Only those that name another backend than the hash would: they break if the table is lost',
    })
    .option('json', jsonOption);
}

const listCommand: CommandModule<object, ListArguments> = {
  command: 'list',
  describe: 'List entries',
  builder: (yargs) =>
    withFilter(yargs)
      .usage(
        '$0 conntrack list [--service NAME] [--backend NAME] [--client ADDRESS[:PORT]]\n\nLists entries of the connection tables ' +
          'of all workers. Marks: + has seen a second packet, so that a flood cannot push it out; x is closing, FIN or RST was ' +
          'seen; ! names another backend than the hash would (IPv4, no round-robin). Of IPv6 clients the table keeps a digest: ' +
          'they are found by their address, and listed without it.',
      )
      .option('limit', { type: 'number', default: 1000, requiresArg: true, describe: 'At most so many entries' })
      .example('$0 conntrack list --backend b2', 'who is at b2')
      .example('$0 conntrack list --divergent --limit 0', 'how many connections the table alone keeps in place'),
  handler: list,
};

const showCommand: CommandModule<object, ShowArguments> = {
  command: 'show <service> <client>',
  describe: 'Show the entries of one client',
  builder: (yargs) =>
    withAdminOptions(yargs)
      .usage(
        "$0 conntrack show SERVICE ADDRESS[:PORT]\n\nShows what a client's connections to a service are known by: the backend in the " +
          'table, the backend that the hash alone would choose, and when the entry expires. Looking does not count as a packet.',
      )
      .positional('service', { type: 'string', demandOption: true, describe: 'Name of the service' })
      .positional('client', { type: 'string', demandOption: true, describe: 'ADDRESS, ADDRESS:PORT or [IPV6]:PORT' })
      .option('json', jsonOption)
      .example('$0 conntrack show web 198.18.1.7:51514', 'one connection')
      .example('$0 conntrack show web 2001:db8::7', 'all connections of a client'),
  handler: show,
};

const flushCommand: CommandModule<object, FlushArguments> = {
  command: 'flush',
  describe: 'Forget entries',
  builder: (yargs) =>
    withFilter(yargs)
      .usage(
        '$0 conntrack flush (--service NAME | --backend NAME | --client ADDRESS[:PORT] | --divergent | --all)\n\nForgets entries ' +
          'silently: nobody is sent anything, and the next packet of such a connection is placed by hash. With onMiss: reset or ' +
          'drop that packet is refused, and the connection breaks.',
      )
      .option('all', { type: 'boolean', default: false, describe: 'Everything; needed where nothing else is given' })
      .example('$0 conntrack flush --client 198.18.1.7', 'one client')
      .example('$0 conntrack flush --all', 'as after a restart'),
  handler: flush,
};

function queryText(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== false);
  return new URLSearchParams(given.map(([key, value]) => [key, String(value)] as [string, string])).toString();
}

async function list(options: ListArguments): Promise<void> {
  const { service, backend, client, divergent, limit, json } = options;
  if (!(Number.isInteger(limit) && limit >= 0)) throw new UsageError('--limit: expected a whole number');
  const query = queryText({ service, backend, client, divergent, limit });
  const answer = await withDaemon(options, (daemon) => daemon.request('GET', `/v1/conntrack?${query}`));
  if (json) return write(`${JSON.stringify(answer)}\n`);
  const { entries, matched } = answer as { entries: ConntrackEntry[]; matched: number };
  write(listText(entries, matched, terminalWidth()));
}

export function listText(entries: readonly ConntrackEntry[], matched: number, width: number): string {
  const columns = columnsOf(entries, width);
  const rows = entries.map((entry) => columns.map(({ cell }) => cell(entry)));
  const lines = entries.length === 0 ? [] : columnLines(columns, rows, width);
  const rest = matched - entries.length;
  const entriesText = matched === 1 ? 'entry' : 'entries';
  const more = rest > 0 && entries.length > 0 ? `, ${rest} not shown (--limit)` : '';
  const digests = entries.some(({ client: address }) => address === null) ? wrap(DIGESTS, width) : [];
  return [...lines, `${matched} ${entriesText}${more}`, ...digests, ''].join('\n');
}

const DIGESTS =
  '[IPv6]: of these clients the table keeps a digest, not the address: --client ADDRESS lists the entries of one';

const WIDE_FROM = 72;

interface EntryColumn extends Column {
  cell(entry: ConntrackEntry): string;
}

function columnsOf(entries: readonly ConntrackEntry[], width: number): EntryColumn[] {
  const isWide = width >= WIDE_FROM;
  const service: EntryColumn = {
    title: 'service',
    cell: ({ service: name, servicePort }) => (servicePort === undefined ? name : `${name}:${servicePort}`),
  };
  const idle: EntryColumn = { title: 'idle', align: 'right', cell: ({ idleMs }) => briefMs(idleMs) };
  return [
    ...(isWide || !isOfOne(entries) ? [service] : []),
    { title: 'client', cell: fromText },
    { title: 'backend', cell: ({ backend }) => backend },
    ...(isWide ? [idle] : []),
    { title: 'left', align: 'right', cell: ({ remainingMs }) => briefMs(remainingMs) },
    { title: '', cell: marksOf },
  ];
}

function marksOf({ proven, closing, divergent }: ConntrackEntry): string {
  return `${proven ? '+' : ''}${closing ? 'x' : ''}${divergent === true ? '!' : ''}`;
}

function fromText({ client, port }: ConntrackEntry): string {
  return client === null ? `[IPv6]:${port}` : clientText(client, port);
}

function isOfOne(entries: readonly ConntrackEntry[]): boolean {
  return entries.every(({ service, servicePort }) => service === entries[0].service && servicePort === undefined);
}

async function show({ service, client, json, ...options }: ShowArguments): Promise<void> {
  const path = `/v1/conntrack/${encodeURIComponent(service)}/${encodeURIComponent(client)}`;
  const answer = await withDaemon(options, (daemon) => daemon.request('GET', path));
  if (json) return write(`${JSON.stringify(answer)}\n`);
  const { entries, byHash, port } = answer as { entries: Shown[]; byHash: string | null; port: number | null };
  const width = terminalWidth();
  if (entries.length === 0) {
    const hash = byHash === null ? [] : ([['by hash', `${byHash} gets its next packet`]] as const);
    const what = port === null ? 'no connection of this client is in the table' : 'this connection is not in the table';
    return write(labelled([['table', what], ...hash], width));
  }
  write(entries.map((entry) => labelled(shownRows(entry), width)).join('\n'));
}

function shownRows(entry: Shown): [string, string][] {
  const { service, servicePort, backend, byHash, idleMs, remainingMs, expiresAt, proven, closing, worker } = entry;
  const hash =
    byHash === null
      ? 'nobody can say: round-robin, or no backend serves'
      : byHash === backend
        ? `${byHash}, the same: the connection survives the loss of the table`
        : `${byHash}, another: the connection breaks if the table is lost`;
  return [
    ['client', fromText(entry)],
    ['service', servicePort === undefined ? service : `${service}, port ${servicePort}`],
    ['table', backend],
    ['by hash', hash],
    ['last packet', `${briefMs(idleMs)} ago`],
    ['expires', `in ${briefMs(remainingMs)} without a packet, at ${expiresAt}`],
    [
      'state',
      `${closing ? 'closing: FIN or RST was seen' : proven ? 'proven by a second packet' : 'one packet so far'}`,
    ],
    ['worker', String(worker)],
  ];
}

async function flush(options: FlushArguments): Promise<void> {
  const { service, backend, client, divergent, all, json } = options;
  if (all === (divergent || [service, backend, client].some((value) => value !== undefined))) {
    throw new UsageError('expected --service, --backend, --client or --divergent, or --all and none of them');
  }
  const query = queryText({ service, backend, client, divergent, all });
  const answer = await withDaemon(options, (daemon) => daemon.request('DELETE', `/v1/conntrack?${query}`));
  if (json) return write(`${JSON.stringify(answer)}\n`);
  const { flushed } = answer as { flushed: number };
  write(`${flushed} ${flushed === 1 ? 'entry' : 'entries'} forgotten\n`);
}

function write(text: string): void {
  process.stdout.write(text);
}
