/**
 * `hushlb lab list | run | matrix | clean`: the laboratory on the command line. The work is lab/'s.
 */
import type { Argv, CommandModule } from 'yargs';
import { checkPrerequisites, findRuns, removeRun } from '../lab/runs.ts';
import { SCENARIOS } from '../lab/scenarios.ts';
import { labMatrixCommand } from './lab-matrix.ts';
import { labRunCommand } from './lab-run.ts';
import { labelled, terminalWidth } from './terminal.ts';

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
      .command(labRunCommand)
      .command(labMatrixCommand)
      .command(cleanCommand)
      .demandCommand(1, 1, 'expected a command: lab list, lab run, lab matrix or lab clean'),
  handler: () => {},
};

interface JsonArgument {
  readonly json: boolean;
}

const listCommand: CommandModule<object, JsonArgument> = {
  command: 'list',
  describe: 'Name the scenarios',
  builder: (yargs) =>
    yargs
      .usage('$0 lab list\n\nNames the scenarios, and what each of their runs shows.')
      .option('json', { type: 'boolean', default: false, describe: 'Write { scenarios: [{ name, runs: [text] }] }' })
      .example('$0 lab list', 'before lab run'),
  handler: list,
};

function list({ json }: JsonArgument): void {
  // Further runs of a scenario stand below its name.
  const rows = SCENARIOS.map(({ name, summary }) => [name, summary] as const);
  if (!json) {
    process.stdout.write(labelled(rows, terminalWidth()));
    return;
  }
  const scenarios = [...new Set(rows.map(([name]) => name))].map((name) => ({
    name,
    runs: rows.filter(([of]) => of === name).map(([, summary]) => summary),
  }));
  writeJson({ scenarios });
}

const cleanCommand: CommandModule<object, JsonArgument> = {
  command: 'clean',
  describe: 'Clear what a killed run has left',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 lab clean\n\nRemoves namespaces, processes and files of runs whose own process is gone. Runs that still go on ' +
          'are left alone. Needs root.',
      )
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { removed: [{ run, namespaces, processes, files }], goingOn: [run] }',
      })
      .example('$0 lab clean', 'after kill -9, or a crash'),
  handler: clean,
};

function clean({ json }: JsonArgument): void {
  checkPrerequisites();
  const runs = findRuns();
  const goingOn = runs.filter(({ ownerAlive }) => ownerAlive).map(({ runId }) => runId);
  const removed = runs
    .filter(({ ownerAlive }) => !ownerAlive)
    .map(({ runId }) => {
      const { namespaces, processes, directory } = removeRun(runId);
      return { run: runId, namespaces, processes, files: directory };
    });
  if (json) {
    writeJson({ removed, goingOn });
    return;
  }
  const lines = [
    ...goingOn.map((run) => `run ${run}: still going on, left alone`),
    ...removed.map(
      ({ run, namespaces, processes, files }) =>
        `run ${run}: removed ${namespaces} namespaces, ${processes} processes${files ? ' and its files' : ''}`,
    ),
  ];
  process.stdout.write(`${lines.length === 0 ? 'nothing to clean' : lines.join('\n')}\n`);
}

function writeJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
