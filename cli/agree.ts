/**
 * `hushlb agree`: whether several balancers send the same flow to the same backend. Asks the metrics of each, on whatever host
 * reaches them; comparing is metrics/agreement.ts's.
 */
import type { Argv, CommandModule } from 'yargs';
import { type BalancerView, compareBalancers, type Disagreement, viewOf } from '../metrics/agreement.ts';
import { ScrapeError, scrape } from '../metrics/scrape.ts';
import { UsageError } from './errors.ts';
import { terminalWidth, wrap } from './terminal.ts';

interface AgreeArguments {
  readonly hosts: string[] | undefined;
  readonly json: boolean;
}

interface Silent {
  readonly balancer: string;
  readonly reason: string;
}

const DEFAULT_PORT = 9108;

export const agreeCommand: CommandModule<object, AgreeArguments> = {
  command: 'agree [hosts..]',
  describe: 'Say whether balancers send the same flow to the same backend',
  builder: (yargs): Argv<AgreeArguments> =>
    yargs
      .usage(
        '$0 agree HOST[:PORT] HOST[:PORT] …\n\nReads the metrics of each balancer and compares what decides where a flow goes: ' +
          'the services, their lookup tables by fingerprint, the addresses of backends, what of a flow is hashed, and the hash seed (by 8 bits of it, ' +
          'since metrics must not tell it). Says who disagrees and on what. Exit code 0 if all agree, 1 if not or if one ' +
          'cannot be asked. Needs no root; metrics.listen must reach beyond loopback.',
      )
      // Elsewhere the last of several values wins, here each counts.
      .parserConfiguration({ 'duplicate-arguments-array': true, 'dot-notation': false, 'boolean-negation': false })
      .positional('hosts', {
        type: 'string',
        array: true,
        describe: `Balancers; the port of their metrics is ${DEFAULT_PORT} unless it is said`,
      })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { agree, balancers, unreachable, disagreements: [{ service, what, values }] }',
      })
      .example('$0 agree lb1 lb2', 'after a roll-out')
      .example("$0 agree '[2001:db8::1]:9108' 198.18.2.11:9200 --json", 'for a pipeline'),
  handler: agree,
};

async function agree({ hosts = [], json }: AgreeArguments): Promise<void> {
  const authorities = [...new Set(hosts.map(authorityOf))];
  if (authorities.length < 2) {
    throw new UsageError(`expected two balancers or more as HOST[:PORT], got ${authorities.length}`);
  }
  const answers = await Promise.all(authorities.map(ask));
  const views = answers.filter((answer) => 'services' in answer);
  const silent = answers.filter((answer) => 'reason' in answer);
  const disagreements = compareBalancers(views);
  const isFine = silent.length === 0 && disagreements.length === 0;
  process.stdout.write(json ? asJson(isFine, views, silent, disagreements) : asText(views, silent, disagreements));
  if (!isFine) process.exitCode = 1;
}

/** `lb1:9108` of `lb1`. Throws UsageError. */
function authorityOf(text: string): string {
  // A bare IPv6 address is full of colons, and needs brackets in a URL.
  const [, host, port = DEFAULT_PORT] =
    /^(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(
      /^[\da-f.]*:[\da-f.:]*:[\da-f.:]*$/i.test(text) ? `[${text}]` : text,
    ) ?? [];
  if (host === undefined || !URL.canParse(`http://${host}:${port}/`)) {
    throw new UsageError(`expected HOST or HOST:PORT, got ${JSON.stringify(text)}`);
  }
  return `${host}:${port}`;
}

async function ask(balancer: string): Promise<BalancerView | Silent> {
  try {
    return viewOf(balancer, await scrape(balancer)) ?? { balancer, reason: 'what answers there is not hushlb' };
  } catch (error) {
    if (!(error instanceof ScrapeError)) throw error;
    return { balancer, reason: error.message };
  }
}

function asText(views: readonly BalancerView[], silent: readonly Silent[], found: readonly Disagreement[]): string {
  const lines = [
    ...silent.map(({ balancer, reason }) => `${balancer}: not compared: ${reason}`),
    ...found.flatMap(disagreementLines),
  ];
  if (found.length === 0 && views.length > 1) {
    const count = views[0].services.size;
    lines.push(`${views.length} balancers agree on ${count} ${count === 1 ? 'service' : 'services'}: ${listed(views)}`);
  }
  return `${lines.flatMap(fitted).join('\n')}\n`;
}

const listed = (views: readonly BalancerView[]): string => views.map(({ balancer }) => balancer).join(', ');

function disagreementLines({ service, what, values }: Disagreement): string[] {
  const subject = service === null ? what : `${service}: ${what}`;
  if (values.length === 1) return [`${subject} is ${values[0].value}: no two balancers agree on a flow`];
  return [
    `${what === 'service' ? `${service}: not everywhere` : `${subject} differs`}`,
    ...values.map(({ value, balancers }) => `  ${value ?? 'missing'}: ${balancers.join(', ')}`),
  ];
}

/** Wrapped to the terminal, further lines under the first. */
function fitted(line: string): string[] {
  const indent = line.startsWith('  ') ? '  ' : '';
  const [first, ...others] = wrap(line.trimStart(), terminalWidth() - indent.length - 2);
  return [`${indent}${first}`, ...others.map((text) => `${indent}  ${text}`)];
}

function asJson(
  agreed: boolean,
  views: readonly BalancerView[],
  unreachable: readonly Silent[],
  disagreements: readonly Disagreement[],
): string {
  const balancers = views.map(({ balancer, version, seedCheck, services }) => ({
    balancer,
    version,
    seedCheck,
    services: Object.fromEntries([...services].map(([name, facts]) => [name, Object.fromEntries(facts)])),
  }));
  return `${JSON.stringify({ agree: agreed, balancers, unreachable, disagreements }, null, 2)}\n`;
}
