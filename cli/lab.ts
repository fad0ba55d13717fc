/**
 * `hushlb lab list | run | clean`: the laboratory on the command line. The work is lab/'s.
 */
import type { Argv, CommandModule } from 'yargs';
import { checkPrerequisites, findRuns, removeRun } from '../lab/runs.ts';
import { SCENARIOS } from '../lab/scenarios.ts';
import { MAX_BACKENDS } from '../lab/topology.ts';
import { UsageError } from './errors.ts';
import { terminalWidth } from './terminal.ts';

const NAMES = SCENARIOS.map(({ name }) => name);

/** Fewer would make the share that round-robin loses a matter of luck, more the machine. */
const CONNECTIONS = { least: 50, most: 2000, default: 60 };
const BACKENDS = { least: 2, most: MAX_BACKENDS, default: 3 };

export const labCommand: CommandModule = {
  command: 'lab',
  describe: 'Show on live traffic what idle timeouts break, and what not',
  builder: (yargs): Argv =>
    yargs
      .usage(
        '$0 lab COMMAND\n\nBuilds a network of namespaces on this machine, with a client, a router, a balancer and ' +
          "backends, holds connections open past the balancer's idle timeout, and shows from captures what became of them.",
      )
      .command(listCommand)
      .command(runCommand)
      .command(cleanCommand)
      .demandCommand(1, 1, 'expected a command: lab list, lab run or lab clean'),
  handler: () => {},
};

const listCommand: CommandModule = {
  command: 'list',
  describe: 'Name the scenarios',
  builder: (yargs) => yargs.usage('$0 lab list\n\nNames the scenarios, one a line.'),
  handler: () => {
    const width = Math.max(...NAMES.map((name) => name.length));
    for (const { name, summary } of SCENARIOS) process.stdout.write(`${name.padEnd(width)}  ${summary}\n`);
  },
};

interface RunArguments {
  readonly scenario: string[];
  readonly connections: number;
  readonly backends: number;
  readonly seed: number;
  readonly json: string | undefined;
}

const runCommand: CommandModule<object, RunArguments> = {
  command: 'run <scenario..>',
  describe: 'Run scenarios and check what they promise',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 lab run SCENARIO...\n\nRuns the scenarios one after another, some seven seconds each. Exit code 1 where one ' +
          'does not keep its promise. Needs root. Takes the network down at the end, also after Ctrl-C.',
      )
      // Elsewhere the last of several values wins, here each counts.
      .parserConfiguration({ 'duplicate-arguments-array': true })
      .positional('scenario', {
        array: true,
        choices: NAMES,
        demandOption: true,
        describe: 'What to run; lab list tells more',
        defaultDescription: 'none',
      })
      .option('connections', {
        type: 'number',
        default: CONNECTIONS.default,
        requiresArg: true,
        describe: `Connections held open at once (${CONNECTIONS.least} to ${CONNECTIONS.most})`,
      })
      .option('backends', {
        type: 'number',
        default: BACKENDS.default,
        requiresArg: true,
        describe: `Backends (${BACKENDS.least} to ${BACKENDS.most})`,
      })
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
      .check(({ connections, backends, seed }) => {
        expectWhole('connections', connections, CONNECTIONS.least, CONNECTIONS.most);
        expectWhole('backends', backends, BACKENDS.least, BACKENDS.most);
        expectWhole('seed', seed, 0, 2 ** 32 - 1);
        return true;
      })
      .example('$0 lab run stateless round-robin syn-only', 'the right way and two broken ones')
      .example('$0 lab run stateless --connections 500 --json out.json', 'more of it, and as data'),
  handler: run,
};

function expectWhole(option: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new UsageError(`--${option}: expected a whole number from ${least} to ${most}, got ${value}`);
}

async function run({ scenario: names, json, connections, backends, seed }: RunArguments): Promise<void> {
  // Loaded here: `lab list` works on machines where the native parts below do not load.
  const { runSession } = await import('../lab/session.ts');
  process.exitCode = await runSession({
    scenarios: names.flatMap((name) => SCENARIOS.find((scenario) => scenario.name === name) ?? []),
    connections,
    backends,
    seed,
    jsonFile: json,
    width: terminalWidth(),
  });
}

const cleanCommand: CommandModule = {
  command: 'clean',
  describe: 'Clear what a killed run has left',
  builder: (yargs) =>
    yargs.usage(
      '$0 lab clean\n\nRemoves namespaces, processes and files of runs whose own process is gone. Runs that still go on ' +
        'are left alone. Needs root.',
    ),
  handler: clean,
};

function clean(): void {
  checkPrerequisites();
  const runs = findRuns();
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (runs.length === 0) say('nothing to clean');
  for (const { runId, ownerAlive } of runs) {
    if (ownerAlive) {
      say(`run ${runId}: still going on, left alone`);
      continue;
    }
    const { namespaces, processes, directory } = removeRun(runId);
    say(`run ${runId}: removed ${namespaces} namespaces, ${processes} processes${directory ? ' and its files' : ''}`);
  }
}
