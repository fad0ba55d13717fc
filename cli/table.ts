/**
 * `hushlb table`: the lookup tables that a configuration leads to, without running anything. Two balancers agree if this
 * command prints the same fingerprints for both.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CommandModule } from 'yargs';
import { type LookupTable, NO_BACKEND } from '../hashing/lookup-table.ts';
import { imbalance, shares } from '../hashing/table-facts.ts';
import type { ServiceConfig } from '../lb/config.ts';
import { readConfigFile } from '../lb/config-file.ts';
import { HushlbError } from '../lb/errors.ts';
import { portPhrase } from '../lb/ports.ts';
import { lookupTableOf } from '../lb/service-table.ts';
import { boxedTable } from './boxed-table.ts';
import { configOption } from './options.ts';
import { cut, terminalWidth } from './terminal.ts';

interface TableArguments {
  readonly config: string;
  readonly service: string | undefined;
  readonly json: boolean;
}

export const tableCommand: CommandModule<object, TableArguments> = {
  command: 'table',
  describe: 'Show the lookup tables of a configuration',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 table -c FILE [--service NAME]\n\nShows how many slots of its lookup table each backend has, beside the ' +
          'share that its weight asks for. Imbalance is the largest share over what it should be: 1 is even. Balancers ' +
          'with the same fingerprint send every flow to the same backend.',
      )
      .option('config', configOption)
      .option('service', {
        alias: 's',
        type: 'string',
        requiresArg: true,
        describe: 'Only this service',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write whole tables: { services: [{ name, tableSize, fingerprint, backends, entries }] }',
      })
      .example('$0 table -c hushlb.yaml', 'shares, imbalance, fingerprints')
      .example("$0 table -c hushlb.yaml --json | jq '.services[].fingerprint'", 'to compare balancers'),
  handler: showTables,
};

async function showTables({ config: file, service: name, json }: TableArguments): Promise<void> {
  const { services } = readConfigFile(file).config;
  const shown = services.filter((service) => name === undefined || service.name === name);
  if (shown.length === 0) {
    const known = services.map((service) => service.name).join(', ');
    throw new HushlbError('SERVICE_UNKNOWN', `${file} has no service named "${name}": it has ${known}`);
  }
  // In pieces: the tables of a large configuration are longer than a string can be.
  const pieces = json ? jsonPieces(shown) : textPieces(shown, terminalWidth());
  await pipeline(Readable.from(pieces), process.stdout, { end: false });
}

function* jsonPieces(services: readonly ServiceConfig[]): Generator<string> {
  let before = '{"services":[';
  for (const service of services) {
    const { tableSize, fingerprint, backends, entries } = lookupTableOf(service);
    const indexes = Array.from(entries, (entry) => (entry === NO_BACKEND ? -1 : entry));
    yield `${before}${JSON.stringify({ name: service.name, tableSize, fingerprint, backends, entries: indexes })}`;
    before = ',\n';
  }
  yield ']}\n';
}

function* textPieces(services: readonly ServiceConfig[], width: number): Generator<string> {
  let before = '';
  for (const service of services) {
    const { name, vip, protocol, ports, tableSize, scheduler } = service;
    const table = lookupTableOf(service);
    const facts = [
      `${tableSize} slots`,
      `imbalance ${imbalance(table).toFixed(4)}`,
      `fingerprint ${table.fingerprint}`,
    ];
    yield before + fit([cut(name, width), `${vip} ${protocol} ${portPhrase(ports)}`], width);
    yield `${shareTable(service, table, width)}\n`;
    yield fit(facts, width);
    if (scheduler === 'round-robin') yield fit(['not in use:', 'the scheduler is round-robin'], width);
    before = '\n';
  }
}

/** Side by side where they fit, one below the other where not. */
function fit(parts: string[], width: number): string {
  const line = parts.join('  ');
  return `${line.length <= width ? line : parts.join('\n')}\n`;
}

const COLUMNS = ['backend', 'weight', 'slots', 'share', 'by weight'];
/** For narrow terminals. */
const FEW_COLUMNS = ['backend', 'slots', 'share'];
const WIDE_FROM = 60;

function shareTable(service: ServiceConfig, table: LookupTable, width: number): string {
  const columns = width >= WIDE_FROM ? COLUMNS : FEW_COLUMNS;
  const rows: Record<string, string>[] = shares(table).map(({ backend, weight, slots, share, fairShare }) => ({
    backend,
    weight: String(weight),
    slots: String(slots),
    share: percent(share),
    'by weight': percent(fairShare),
  }));
  for (const { name, weight, state } of service.backends) {
    if (state === 'draining') {
      rows.push({ backend: name, weight: String(weight), slots: '0', share: 'draining', 'by weight': '' });
    }
  }
  return boxedTable(columns, rows, width, ['backend']);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
