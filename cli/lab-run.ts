/**
 * `hushlb lab run`: which scenarios, and what to change of them. Says what makes no sense before anything is built; the
 * work is lab/session.ts's.
 */
import type { CommandModule } from 'yargs';
import { adjustScenario, DEFAULT_SCALE, findMisfit, findPointless, findUnfit } from '../lab/adjust.ts';
import type { BalancerSettings, Encap } from '../lab/balancer.ts';
import type { Adjustable } from '../lab/scenario.ts';
import { SCENARIO_NAMES, SCENARIOS } from '../lab/scenarios.ts';
import { MAX_BACKENDS } from '../lab/topology.ts';
import { VERSION } from '../lb/version.ts';
import { durationOf } from './duration-option.ts';
import { UsageError } from './errors.ts';
import { familyOf, labEncapOption, labFamilyOption } from './lab-options.ts';
import { terminalWidth } from './terminal.ts';

/** Fewer would make the share that round-robin loses a matter of luck, more the machine. */
const CONNECTIONS = { least: 50, most: 2000, default: 60 };
const BACKENDS = { least: 2, most: MAX_BACKENDS, default: 3 };
/** Beyond, a run would last longer than the real times do. */
const MAX_SCALE = 10;

interface RunArguments {
  readonly scenario: string[] | undefined;
  readonly all: boolean;
  readonly connections: number | undefined;
  readonly backends: number | undefined;
  readonly seed: number;
  readonly json: string | undefined;
  readonly report: string | undefined;
  readonly scale: number | undefined;
  readonly 'client-idle': string | undefined;
  readonly 'lb-idle': string | undefined;
  readonly 'server-idle': string | undefined;
  readonly mode: BalancerSettings['mode'] | undefined;
  readonly scheduler: BalancerSettings['scheduler'] | undefined;
  readonly io: BalancerSettings['io'];
  readonly encap: Encap | undefined;
  readonly family: number | undefined;
}

const ADJUSTABLE: readonly Adjustable[] = [
  'client-idle',
  'lb-idle',
  'server-idle',
  'mode',
  'scheduler',
  'backends',
  'connections',
];

const TIMEOUT = { type: 'string', requiresArg: true } as const;

export const labRunCommand: CommandModule<object, RunArguments> = {
  command: 'run [scenario..]',
  describe: 'Run scenarios and check what they promise',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 lab run SCENARIO...\n\nRuns the scenarios one after another, some ten seconds each. Exit code 1 where one ' +
          'does not keep its promise. Needs root. Takes the network down at the end, also after Ctrl-C.',
      )
      // Elsewhere the last of several values wins, here each counts.
      .parserConfiguration({ 'duplicate-arguments-array': true })
      .positional('scenario', {
        array: true,
        type: 'string',
        choices: SCENARIO_NAMES,
        describe: 'What to run; lab list tells more',
      })
      .option('all', { type: 'boolean', default: false, describe: 'Run every scenario, in less than five minutes' })
      .option('connections', {
        type: 'number',
        requiresArg: true,
        defaultDescription: String(CONNECTIONS.default),
        describe: `Connections held open at once (${CONNECTIONS.least} to ${CONNECTIONS.most})`,
      })
      .option('backends', {
        type: 'number',
        requiresArg: true,
        defaultDescription: String(BACKENDS.default),
        describe: `Backends (${BACKENDS.least} to ${BACKENDS.most})`,
      })
      .option('scale', {
        type: 'number',
        requiresArg: true,
        defaultDescription: String(DEFAULT_SCALE),
        describe:
          'Of the idle timeouts: 1 is client 60 s, balancer 10 s, server 60 s. direct-race and l7-idle run at 1',
      })
      .option('client-idle', { ...TIMEOUT, describe: "The client's idle timeout, such as 60s" })
      .option('lb-idle', { ...TIMEOUT, describe: "The balancer's" })
      .option('server-idle', { ...TIMEOUT, describe: "The servers'" })
      .option('mode', { choices: ['stateless', 'stateful'] as const, requiresArg: true, describe: "The balancer's" })
      .option('scheduler', {
        choices: ['maglev', 'round-robin'] as const,
        requiresArg: true,
        describe: "The balancer's",
      })
      .option('io', {
        choices: ['af-xdp', 'af-packet', 'portable', 'auto'] as const,
        requiresArg: true,
        describe: "The balancer's packet device, where the scenario has hushlb",
      })
      .option('encap', labEncapOption)
      .option('family', labFamilyOption)
      .option('seed', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'Of the order in which the connections send again',
      })
      .option('json', {
        type: 'string',
        requiresArg: true,
        describe: 'Write the results to this file as well',
      })
      .option('report', {
        type: 'string',
        requiresArg: true,
        describe: 'Write a page with drawings, and captures for Wireshark, to this directory',
      })
      .example('$0 lab run stateless round-robin syn-only', 'the right way and two broken ones')
      .example('$0 lab run stateless --connections 500 --json out.json', 'more of it, and as data')
      .example('$0 lab run --all --report out', 'everything, as a page with drawings and captures')
      .example('$0 lab run --all --scale 1', 'everything, in real time')
      .example('$0 lab run stateless --family 6 --encap gue', 'over IPv6, in GUE'),
  handler: run,
};

async function run(given: RunArguments): Promise<void> {
  const { connections = CONNECTIONS.default, backends = BACKENDS.default, seed } = given;
  expectWhole('connections', connections, CONNECTIONS.least, CONNECTIONS.most);
  expectWhole('backends', backends, BACKENDS.least, BACKENDS.most);
  expectWhole('seed', seed, 0, 2 ** 32 - 1);
  const scenarios = adjusted(chosen(given), given);
  for (const { name, mostConnections = CONNECTIONS.most, mostBackends = BACKENDS.most } of scenarios) {
    if (connections > mostConnections) throw new UsageError(`--connections: ${name} takes up to ${mostConnections}`);
    if (backends > mostBackends) throw new UsageError(`--backends: ${name} takes up to ${mostBackends}, and adds one`);
  }

  // Loaded here: `lab list` works on machines where the native parts below do not load.
  const { runSession } = await import('../lab/session.ts');
  const { reportOnRuns } = await import('../report/on-runs.ts');
  process.exitCode = await runSession({
    scenarios,
    connections,
    backends,
    seed,
    jsonFile: given.json,
    observer:
      given.report === undefined
        ? undefined
        : reportOnRuns({ path: given.report, scenarios, commandLine: process.argv.slice(2), version: VERSION }),
    width: terminalWidth(),
  });
}

/** In the order given, each with all of its runs. */
function chosen({ scenario: names = [], all }: RunArguments): typeof SCENARIOS {
  if (all) {
    if (names.length > 0) throw new UsageError('--all: runs every scenario, name none beside it');
    return SCENARIOS;
  }
  if (names.length === 0) throw new UsageError('expected the name of a scenario, or --all; lab list names them');
  return names.flatMap((name) => SCENARIOS.filter((scenario) => scenario.name === name));
}

function adjusted(scenarios: typeof SCENARIOS, given: RunArguments): typeof SCENARIOS {
  // Of all of them, some have a number of connections of their own.
  const misfit = findMisfit(
    given.all ? scenarios.filter(({ connections }) => connections === undefined) : scenarios,
    ADJUSTABLE.filter((option) => given[option] !== undefined),
  );
  if (misfit !== undefined) throw new UsageError(misfit);

  const { scale, mode, scheduler, io, encap } = given;
  const family = familyOf(given.family);
  for (const [option, value] of Object.entries({ io, encap })) {
    if (value === undefined || scenarios.some(({ balancer }) => balancer !== null)) continue;
    throw new UsageError(`--${option}: hushlb takes no part in what is to run, leave it out`);
  }
  if (scale !== undefined && !(scale > 0 && scale <= MAX_SCALE)) {
    throw new UsageError(`--scale: expected a number above 0, up to ${MAX_SCALE}, got ${scale}`);
  }
  const timeouts = {
    ...timeout('client', 'client-idle', given),
    ...timeout('balancer', 'lb-idle', given),
    ...timeout('server', 'server-idle', given),
  };
  const all = scenarios.map((scenario) =>
    adjustScenario(scenario, { scale, timeouts, mode, scheduler, io, encap, family }),
  );
  const result = given.all ? all.filter(isFit) : all;
  const pointless = result.map(findPointless).find((problem) => problem !== undefined);
  if (pointless !== undefined) throw new UsageError(pointless);
  return result;
}

/** Of every scenario, those that have something to show; the others say why not. */
function isFit(scenario: (typeof SCENARIOS)[number]): boolean {
  const unfit = findUnfit(scenario);
  if (unfit !== undefined) process.stderr.write(`left out: ${unfit}\n`);
  return unfit === undefined;
}

function timeout(who: string, option: 'client-idle' | 'lb-idle' | 'server-idle', given: RunArguments): object {
  const text = given[option];
  return text === undefined ? {} : { [who]: durationOf(option, text) };
}

function expectWhole(option: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new UsageError(`--${option}: expected a whole number from ${least} to ${most}, got ${value}`);
}
