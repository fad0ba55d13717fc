/**
 * `hushlb explain`: where a flow goes and why, from a file or from the balancer that runs, with what-ifs. The work is
 * explain/explain.ts's; this file reads the arguments and prints.
 */
import type { Argv, CommandModule } from 'yargs';
import { explainAnswer } from '../admin/explain-schema.ts';
import { type Answer, explain, subjectOf } from '../explain/explain.ts';
import { type Endpoint, type Flow, parseEndpoint, whyImpossible } from '../explain/flow.ts';
import { answerText, type Row } from '../explain/text.ts';
import type { BackendEdit, WhatIf } from '../explain/what-if.ts';
import { readConfigFile } from '../lb/config-file.ts';
import { DEFAULT_HOPS, hopsOf } from '../replay/made-up-hops.ts';
import { withDaemon } from './admin-options.ts';
import { HIGHEST_WEIGHT } from './change.ts';
import { UsageError } from './errors.ts';
import { labelled, terminalWidth, wrap } from './terminal.ts';

interface ExplainArguments {
  readonly client: string;
  readonly to: string;
  readonly file: string | undefined;
  readonly socket: string | undefined;
  readonly protocol: Flow['protocol'];
  readonly syn: boolean;
  readonly without: readonly string[];
  readonly weight: readonly string[];
  readonly drain: readonly string[];
  readonly undrain: readonly string[];
  readonly down: readonly string[];
  readonly expired: boolean;
  readonly config: string | undefined;
  readonly json: boolean;
}

/** An option that may be given several times, or with a list. */
const several = { type: 'string', array: true, nargs: 1, default: [] as string[], defaultDescription: 'none' } as const;

export const explainCommand: CommandModule<object, ExplainArguments> = {
  command: 'explain <client> <to>',
  describe: 'Say where a flow goes and why, and what would change it',
  builder: (yargs): Argv<ExplainArguments> =>
    yargs
      .usage(
        '$0 explain CLIENT:PORT VIP:PORT [-c FILE] [WHAT IF]\n\nTells the five decisions on a packet of this flow, made by the ' +
          'forwarder that carries live traffic: service, connection table, hash, slot, backend with its outer header. By ' +
          'itself the packet is one of a connection under way. Asks the balancer that runs here, or with -c a file, which has no ' +
          "connection table and no network: the table is taken to have what the connection's first packet leaves there, and the balancer's own address is not told. What " +
          'ifs are taken together, and the answer says whether the connection would break. Backends of another service are ' +
          'named with it: web/b2.',
      )
      .positional('client', { type: 'string', demandOption: true, describe: 'Such as 192.0.2.7:51514' })
      .positional('to', { type: 'string', demandOption: true, describe: 'VIP and port, such as [2001:db8::1]:80' })
      .option('socket', {
        type: 'string',
        requiresArg: true,
        describe: 'Admin socket of the balancer; by default that of the only one on this host',
      })
      .option('file', {
        alias: 'c',
        type: 'string',
        requiresArg: true,
        conflicts: 'socket',
        describe: 'Explain from this configuration file instead',
      })
      .option('protocol', {
        choices: ['tcp', 'udp'],
        default: 'tcp',
        requiresArg: true,
        describe: 'Of the flow',
      } as const)
      .option('syn', { type: 'boolean', default: false, describe: 'The packet opens a connection' })
      .option('without', { ...several, describe: 'What if this backend were removed' })
      .option('drain', { ...several, describe: 'What if it drained' })
      .option('undrain', { ...several, describe: 'What if it drained no more' })
      .option('down', { ...several, describe: 'What if health checks found it down' })
      .option('weight', { ...several, describe: 'What if it weighed so much: b1=3' })
      .option('expired', {
        type: 'boolean',
        default: false,
        describe: 'What if the table had no entry: forgotten, or another balancer',
      })
      .option('config', { type: 'string', requiresArg: true, describe: 'What if this configuration were taken over' })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { flow, opens, from, now, whatIf: { texts, would, effect } }',
      })
      // What ifs may come several times; of the other options the last counts.
      .parserConfiguration({ 'duplicate-arguments-array': true, 'dot-notation': false, 'boolean-negation': false })
      .example('$0 explain 192.0.2.7:51514 198.18.10.1:80', 'by the balancer that runs')
      .example('$0 explain 192.0.2.7:51514 198.18.10.1:80 -c hushlb.yaml', 'from a file')
      .example('$0 explain 192.0.2.7:51514 198.18.10.1:80 -c a.yaml --drain b2', 'what a drain does to it')
      // Yargs knows no type of an option that comes once or several times.
      .coerce(['socket', 'file', 'config', 'protocol'], last) as Argv<ExplainArguments>,
  handler: runExplain,
};

async function runExplain(given: ExplainArguments): Promise<void> {
  const flow = flowOf(given);
  const whatIf = whatIfOf(given);
  const { file, socket, syn } = given;
  const answer = file === undefined ? await askDaemon(socket, flow, syn, whatIf) : askFile(file, flow, syn, whatIf);
  process.stdout.write(given.json ? `${JSON.stringify(answer, null, 2)}\n` : answerLines(answer));
}

function askFile(file: string, flow: Flow, opens: boolean, whatIf: WhatIf): Answer {
  const { text, config } = readConfigFile(file);
  const hops = { ownMac: DEFAULT_HOPS.ownMac, hopOf: hopsOf(DEFAULT_HOPS) };
  return explain(subjectOf(text, config, hops, flow.to.address), { flow, opens, entry: undefined, whatIf });
}

function askDaemon(socket: string | undefined, flow: Flow, opens: boolean, whatIf: WhatIf): Promise<Answer> {
  return withDaemon({ socket, config: undefined }, async (client) =>
    explainAnswer.parse(await client.request('POST', '/v1/explain', { ...flow, opens, whatIf })),
  );
}

function flowOf({ client, to, protocol }: ExplainArguments): Flow {
  const flow = {
    client: endpointOf('client', client, '192.0.2.7:51514'),
    to: endpointOf('to', to, '198.18.10.1:80'),
    protocol,
  };
  const problem = whyImpossible(flow);
  if (problem !== undefined) throw new UsageError(problem);
  return flow;
}

function endpointOf(what: string, text: string, example: string): Endpoint {
  const endpoint = parseEndpoint(text);
  if (endpoint !== undefined) return endpoint;
  throw new UsageError(
    `${what}: expected ADDRESS:PORT such as ${example} or [2001:db8::7]:443, got ${JSON.stringify(text)}`,
  );
}

function whatIfOf({ without, weight, drain, undrain, down, expired, config }: ExplainArguments): WhatIf {
  const edits: BackendEdit[] = [
    ...named('without', without).map((backend) => ({ kind: 'remove', backend }) as const),
    ...named('drain', drain).map((backend) => ({ kind: 'drain', backend }) as const),
    ...named('undrain', undrain).map((backend) => ({ kind: 'undrain', backend }) as const),
    ...named('weight', weight).map(weightOf),
  ];
  // Read through the checks, so that a wrong file is told as it always is.
  const other = config === undefined ? undefined : { name: config, text: readConfigFile(config).text };
  return { config: other, edits, down: named('down', down), expired };
}

function named(option: string, given: readonly string[]): string[] {
  const names = given.flatMap((text) => text.split(','));
  if (names.includes('')) throw new UsageError(`--${option}: expected the name of a backend, got ''`);
  return names;
}

function weightOf(text: string): BackendEdit {
  const [, backend, weight] = /^([^=]+)=(\d{1,4})$/.exec(text) ?? [];
  if (backend === undefined || Number(weight) < 1 || Number(weight) > HIGHEST_WEIGHT) {
    const expected = `BACKEND=WEIGHT such as b1=3, the weight from 1 to ${HIGHEST_WEIGHT}`;
    throw new UsageError(`--weight: expected ${expected}, got ${JSON.stringify(text)}`);
  }
  return { kind: 'weight', backend, weight: Number(weight) };
}

function last<T>(value: T | readonly T[]): T | undefined {
  return Array.isArray(value) ? value.at(-1) : (value as T);
}

function answerLines(answer: Answer): string {
  const { title, now, whatIf } = answerText(answer);
  const width = terminalWidth();
  const blocks = [wrap(fitting(title, width), width).join('\n'), fitted(now, width)];
  if (whatIf.length > 0) blocks.push(fitted(whatIf, width));
  return `${blocks.map((block) => block.trimEnd()).join('\n\n')}\n`;
}

function fitted(rows: readonly Row[], width: number): string {
  const room = width - Math.max(...rows.map(([label]) => label.length)) - 2;
  return labelled(
    rows.map(([label, text]) => [label, fitting(text, room)] as const),
    width,
  );
}

/** Words that are longer than a line, IPv6 addresses on a narrow terminal, are broken. */
function fitting(text: string, room: number): string {
  return text.replace(new RegExp(`[^ ]{${room}}(?=[^ ])`, 'g'), '$& ');
}
