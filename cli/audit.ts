/**
 * `hushlb audit`: whether a chain of idle timeouts is safe. The rules are probe/audit.ts's, the balancers' habits
 * lb/profiles.ts's.
 */
import type { Argv, CommandModule } from 'yargs';
import { PROFILE_NAMES, profileOf } from '../lb/profiles.ts';
import { audit, BALANCERS, type Balancer, type Chain, isHarmless, type Verdict } from '../probe/audit.ts';
import { formatSpan } from '../probe/span.ts';
import { KEEPALIVE_INTERVAL_MS, LEAST_KEEPALIVE_MS } from '../simulate/linux-timers.ts';
import { durationOf, durationOrNever, durationOrOff } from './duration-option.ts';
import { UsageError } from './errors.ts';
import { keepaliveIntervalOption } from './options.ts';
import { labelled, terminalWidth } from './terminal.ts';

interface AuditArguments {
  readonly client: string;
  readonly lb: string | undefined;
  readonly server: string;
  readonly 'lb-kind': string | undefined;
  readonly keepalive: string | undefined;
  readonly 'keepalive-interval': string | undefined;
  readonly json: boolean;
}

const KINDS = [...BALANCERS.map(({ name }) => name), ...PROFILE_NAMES];

export const auditCommand: CommandModule<object, AuditArguments> = {
  command: 'audit',
  describe: 'Say whether a chain of idle timeouts is safe, and what to change',
  builder: (yargs): Argv<AuditArguments> =>
    yargs
      .usage(
        '$0 audit --client TIME --server TIME [--lb TIME] [--lb-kind KIND]\n\nJudges the idle timeouts of a client, of ' +
          'what balances its connections, and of the server: which pair races, what the client sees then, what to ' +
          'change. "never" is a time, too. Exit code 0 where the chain is safe, 1 where not. Without --lb and --lb-kind ' +
          'client and server talk directly; with --lb alone the chain must be safe with every kind of balancer.',
      )
      .option('client', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'After what time the client (its connection pool) gives up an idle connection',
      })
      .option('lb', { type: 'string', requiresArg: true, describe: 'The idle timeout of the balancer' })
      .option('server', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'The idle timeout of the server',
      })
      .option('lb-kind', {
        choices: KINDS,
        requiresArg: true,
        describe:
          'What it is. l7: ends connections and has its own to the servers; stateless: forwards what it has forgotten; stateful: ' +
          'resets it; or a profile, which also knows its --lb (see hushlb profiles)',
      })
      .option('keepalive', {
        type: 'string',
        requiresArg: true,
        describe:
          "TCP keepalive of the client's sockets: the first probe's time (tcp_keepalive_time; Linux: 7200s where it is on), or off",
        defaultDescription: 'off',
      })
      .option('keepalive-interval', keepaliveIntervalOption)
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { safe, chain, verdicts: [{ balancer, safe, races, safeChain, notes }] }; never is null',
      })
      .example('$0 audit --client 60s --server 75s', 'directly')
      .example('$0 audit --client 60s --lb 350s --server 75s --lb-kind l7', 'an application balancer')
      .example('$0 audit --client 10m --server 15m --lb-kind aws-nlb', 'a profile knows its timeout')
      .example('$0 audit --client never --server never --lb-kind aws-nlb --keepalive 5m', 'a database pool'),
  handler: runAudit,
};

function runAudit(given: AuditArguments): void {
  const { client, lb, server, keepalive, 'keepalive-interval': interval } = given;
  if (interval !== undefined && keepalive === undefined) {
    throw new UsageError('--keepalive-interval: it follows the first probe; give --keepalive, too');
  }
  const named = balancerOf(given['lb-kind']);
  const chain: Chain = {
    clientMs: durationOrNever('client', client),
    balancerMs: lb === undefined ? (named?.idleTimeoutMs ?? null) : durationOrNever('lb', lb),
    serverMs: durationOrNever('server', server),
    keepaliveMs: durationOrOff('keepalive', keepalive, LEAST_KEEPALIVE_MS),
    keepaliveIntervalMs:
      interval === undefined ? KEEPALIVE_INTERVAL_MS : durationOf('keepalive-interval', interval, LEAST_KEEPALIVE_MS),
  };
  const verdicts = balancersFor(chain, named?.balancer).map((balancer) => audit(chain, balancer));
  const safe = verdicts.every((verdict) => verdict.safe);
  process.stdout.write(given.json ? asJson(safe, chain, verdicts) : asText(safe, chain, verdicts));
  process.exitCode = safe ? 0 : 1;
}

interface Named {
  readonly balancer: Balancer;
  readonly idleTimeoutMs: number | null;
}

function balancerOf(kind: string | undefined): Named | undefined {
  if (kind === undefined) return undefined;
  const plain = BALANCERS.find(({ name }) => name === kind);
  if (plain !== undefined) return { balancer: plain, idleTimeoutMs: null };
  const profile = PROFILE_NAMES.find((name) => name === kind);
  if (profile === undefined) return undefined;
  const { idleTimeoutMs, onExpiry, onMiss } = profileOf(profile);
  return {
    balancer: { kind: 'l4', name: profile, onExpiry: onExpiry.value, onMiss: onMiss.value },
    // Null in a profile: it forgets only under pressure.
    idleTimeoutMs: idleTimeoutMs.value ?? Number.POSITIVE_INFINITY,
  };
}

/** The kinds to judge the chain with: the one that is named, none, or each where nobody says which it is. */
function balancersFor({ balancerMs }: Chain, named: Balancer | undefined): (Balancer | null)[] {
  if (named === undefined) return balancerMs === null ? [null] : [...BALANCERS];
  if (balancerMs === null && (named.kind === 'l7' || !isHarmless(named))) {
    throw new UsageError(`--lb: expected the idle timeout of the balancer, which matters with --lb-kind ${named.name}`);
  }
  return [named];
}

function asJson(safe: boolean, chain: Chain, verdicts: readonly Verdict[]): string {
  // JSON.stringify writes Infinity, our 'never', as null.
  return `${JSON.stringify({ safe, chain, verdicts }, null, 2)}\n`;
}

function asText(safe: boolean, chain: Chain, verdicts: readonly Verdict[]): string {
  const rows: [string, string][] = [
    ['chain', chainText(chain)],
    ['verdict', safe ? 'safe' : 'unsafe'],
  ];
  const width = terminalWidth();
  const sections = verdicts.map((verdict) => labelled(verdictRows(verdict, verdicts.length > 1), width));
  return [labelled(rows, width), ...sections.filter((section) => section.trim() !== '')].join('\n');
}

function verdictRows({ balancer, safe, races, safeChain, notes }: Verdict, several: boolean): [string, string][] {
  const rows: [string, string][] = [];
  if (several) rows.push([`as ${balancer}`, safe ? 'safe' : 'unsafe']);
  for (const { between, why, sees, change } of races) {
    rows.push(['race', `${between.join(' and ')}: ${why}`], ['client sees', sees], ['change', change]);
  }
  if (!safe) rows.push(['safe', chainText(safeChain)]);
  for (const note of notes) rows.push(['note', note]);
  return rows.length === 0 ? [['', '']] : rows;
}

function chainText({ clientMs, balancerMs, serverMs, keepaliveMs, keepaliveIntervalMs }: Chain): string {
  const parts = [`client ${formatSpan(clientMs)}`, `server ${formatSpan(serverMs)}`];
  if (balancerMs !== null) parts.splice(1, 0, `balancer ${formatSpan(balancerMs)}`);
  if (keepaliveMs === null) return parts.join(', ');
  const then = keepaliveIntervalMs > keepaliveMs ? `, then every ${formatSpan(keepaliveIntervalMs)}` : '';
  return `${parts.join(', ')} (TCP keepalive after ${formatSpan(keepaliveMs)}${then})`;
}
