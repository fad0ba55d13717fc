/**
 * `hushlb simulate`: what idle timeouts do to connections, in virtual time. The work is simulate/'s; this file reads the
 * options and prints.
 */
import type { CommandModule } from 'yargs';
import type { Mode } from '../lb/behaviour.ts';
import type { Scheduler } from '../lb/config.ts';
import { type OnExpiry, type OnMiss, PROFILE_NAMES, type ProfileName } from '../lb/profiles.ts';
import { KEEPALIVE_INTERVAL_MS, LEAST_KEEPALIVE_MS } from '../simulate/linux-timers.ts';
import { type Change, MAX_BACKENDS, MAX_CONNECTIONS, type Settings } from '../simulate/settings.ts';
import { durationOf, durationOrOff } from './duration-option.ts';
import { UsageError } from './errors.ts';
import { keepaliveIntervalOption } from './options.ts';
import { terminalWidth } from './terminal.ts';

interface SimulateArguments {
  readonly profile: ProfileName | undefined;
  readonly mode: Mode | undefined;
  readonly scheduler: Scheduler | undefined;
  readonly 'on-miss': OnMiss | undefined;
  readonly 'on-expiry': OnExpiry | undefined;
  readonly 'no-conntrack': boolean;
  readonly 'client-idle': string | undefined;
  readonly 'lb-idle': string | undefined;
  readonly 'server-idle': string | undefined;
  readonly keepalive: string | undefined;
  readonly 'server-keepalive': string | undefined;
  readonly 'keepalive-interval': string | undefined;
  readonly change: Change | undefined;
  readonly connections: number;
  readonly backends: number;
  readonly seed: number;
  readonly matrix: boolean;
  readonly json: boolean;
}

/** Shorter ones would be a matter of the path, which is 3 ms long here and back. */
const LEAST_IDLE_MS = 100;

export const simulateCommand: CommandModule<object, SimulateArguments> = {
  command: 'simulate',
  describe: 'Show in virtual time what idle timeouts do to connections',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 simulate --client-idle TIME [--profile NAME] [--server-idle TIME]\n\nRuns the real forwarder in virtual time ' +
          'between small TCP end points: five idle days take a moment. Says what becomes of a connection, when, and why. ' +
          'Exit code 1 where connections break, 0 where they live. Needs no root and touches no network.',
      )
      .option('profile', {
        choices: PROFILE_NAMES,
        requiresArg: true,
        describe: 'Balance as this product does (see hushlb profiles)',
      })
      .option('client-idle', {
        type: 'string',
        requiresArg: true,
        describe: 'How long the client keeps an idle connection; it sends again at the last moment',
      })
      .option('lb-idle', {
        type: 'string',
        requiresArg: true,
        describe: "The balancer's idle timeout",
        defaultDescription: "the profile's, else 60s",
      })
      .option('server-idle', {
        type: 'string',
        requiresArg: true,
        describe: 'After how long the server closes an idle connection, or never',
        defaultDescription: 'never',
      })
      .option('keepalive', {
        type: 'string',
        requiresArg: true,
        describe: "TCP keepalive of the client's sockets: the first probe's time (tcp_keepalive_time), or off",
        defaultDescription: 'off',
      })
      .option('server-keepalive', {
        type: 'string',
        requiresArg: true,
        describe: "The same of the server's sockets",
        defaultDescription: 'off',
      })
      .option('keepalive-interval', keepaliveIntervalOption)
      .option('mode', {
        choices: ['stateless', 'stateful'] as const,
        requiresArg: true,
        describe: "Without a profile: hushlb's own mode",
        defaultDescription: 'stateless',
      })
      .option('scheduler', {
        choices: ['maglev', 'round-robin'] as const,
        requiresArg: true,
        describe: 'How a backend is chosen',
        defaultDescription: 'maglev',
      })
      .option('on-miss', {
        choices: ['forward', 'reset', 'drop'] as const,
        requiresArg: true,
        describe: 'What a packet of a forgotten connection meets',
        defaultDescription: "the profile's, else the mode's",
      })
      .option('on-expiry', {
        choices: ['silent', 'reset'] as const,
        requiresArg: true,
        describe: 'What the balancer does when it forgets one',
        defaultDescription: "the profile's, else the mode's",
      })
      .option('no-conntrack', { type: 'boolean', default: false, describe: 'Forward by hash alone, without a table' })
      .option('change', {
        choices: ['added', 'removed', 'drained'] as const,
        requiresArg: true,
        describe: 'What becomes of a backend while the connections idle',
      })
      .option('connections', {
        type: 'number',
        default: 6,
        requiresArg: true,
        describe: `Connections at each moment that matters (1 to ${MAX_CONNECTIONS})`,
      })
      .option('backends', { type: 'number', default: 3, requiresArg: true, describe: `Servers (1 to ${MAX_BACKENDS})` })
      .option('seed', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'Of ports and of the order of clients',
      })
      .option('matrix', {
        type: 'boolean',
        default: false,
        describe: 'All modes and profiles against all orderings of the three idle times',
      })
      .option('json', { type: 'boolean', default: false, describe: 'Write the result as data' })
      .example('$0 simulate --profile aws-nlb --client-idle 400s', 'what breaks, when and why')
      .example('$0 simulate --profile aws-nlb --client-idle 400s --keepalive 300s', 'and one of the cures')
      .example('$0 simulate --mode stateful --lb-idle 5d --client-idle 6d', 'five days in a moment')
      .example('$0 simulate --change added --client-idle 90s', 'a backend joins, and the table has forgotten')
      .example('$0 simulate --matrix', 'everything at a glance'),
  handler: run,
};

async function run(given: SimulateArguments): Promise<void> {
  process.stdout.write(await (given.matrix ? runMatrix(given) : runOne(given)));
}

/** Loaded when needed: no other command has to wait for it. */
const loadReport = (): Promise<typeof import('../simulate/report.ts')> => import('../simulate/report.ts');

async function runOne(given: SimulateArguments): Promise<string> {
  const clientIdle = given['client-idle'];
  if (clientIdle === undefined) throw new UsageError('missing option: --client-idle, or --matrix for all orderings');
  if (given.profile !== undefined && given.mode !== undefined) {
    throw new UsageError('--mode: a profile says itself what happens on a miss; give one of the two');
  }
  const { change } = given;
  if (change !== undefined && change !== 'added') whole('backends', given.backends, 2, MAX_BACKENDS);
  const { simulate } = await import('../simulate/run.ts');
  const result = simulate({
    ...shared(given),
    ...(change === undefined ? {} : { change }),
    profile: given.profile ?? null,
    mode: given.mode ?? 'stateless',
    scheduler: given.scheduler ?? 'maglev',
    onMiss: given['on-miss'] ?? null,
    onExpiry: given['on-expiry'] ?? null,
    conntrack: !given['no-conntrack'],
    clientIdleMs: durationOf('client-idle', clientIdle, LEAST_IDLE_MS),
    serverIdleMs: durationOrOff('server-idle', given['server-idle'], LEAST_IDLE_MS),
  });
  if (!result.lives) process.exitCode = 1;
  const { jsonOf, reportText } = await loadReport();
  return given.json ? `${JSON.stringify(jsonOf(result), null, 2)}\n` : reportText(result, terminalWidth());
}

const OF_ONE = [
  'profile',
  'mode',
  'scheduler',
  'change',
  'on-miss',
  'on-expiry',
  'client-idle',
  'server-idle',
] as const;

async function runMatrix(given: SimulateArguments): Promise<string> {
  const surplus = OF_ONE.find((option) => given[option] !== undefined) ?? (given['no-conntrack'] && 'no-conntrack');
  if (surplus) throw new UsageError(`--${surplus}: the matrix has all of them; leave it out`);
  const base: Settings = {
    ...shared(given),
    profile: null,
    mode: 'stateless',
    scheduler: 'maglev',
    onMiss: null,
    onExpiry: null,
    conntrack: true,
    clientIdleMs: LEAST_IDLE_MS,
    serverIdleMs: null,
  };
  const { ORDERINGS, simulateMatrix } = await import('../simulate/matrix.ts');
  const { matrixText } = await loadReport();
  const rows = simulateMatrix(base);
  return given.json
    ? `${JSON.stringify({ orderings: ORDERINGS, rows }, null, 2)}\n`
    : matrixText(rows, terminalWidth());
}

type Shared =
  | 'lbIdleMs'
  | 'clientKeepaliveMs'
  | 'serverKeepaliveMs'
  | 'keepaliveIntervalMs'
  | 'connections'
  | 'backends'
  | 'seed';

function shared(given: SimulateArguments): Pick<Settings, Shared> {
  const { 'lb-idle': lbIdle, 'keepalive-interval': interval } = given;
  if (interval !== undefined && given.keepalive === undefined && given['server-keepalive'] === undefined) {
    throw new UsageError(
      '--keepalive-interval: it follows the first probe; give --keepalive or --server-keepalive, too',
    );
  }
  return {
    lbIdleMs: lbIdle === undefined ? null : durationOf('lb-idle', lbIdle, LEAST_IDLE_MS),
    clientKeepaliveMs: durationOrOff('keepalive', given.keepalive, LEAST_KEEPALIVE_MS),
    serverKeepaliveMs: durationOrOff('server-keepalive', given['server-keepalive'], LEAST_KEEPALIVE_MS),
    keepaliveIntervalMs:
      interval === undefined ? KEEPALIVE_INTERVAL_MS : durationOf('keepalive-interval', interval, LEAST_KEEPALIVE_MS),
    connections: whole('connections', given.connections, 1, MAX_CONNECTIONS),
    backends: whole('backends', given.backends, 1, MAX_BACKENDS),
    seed: whole('seed', given.seed, 0, 2 ** 32 - 1),
  };
}

function whole(option: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new UsageError(`--${option}: expected a whole number from ${least} to ${most}, got ${value}`);
}
