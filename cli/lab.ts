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

const listCommand: CommandModule = {
  command: 'list',
  describe: 'Name the scenarios',
  builder: (yargs) => yargs.usage('$0 lab list\n\nNames the scenarios, and what each of their runs shows.'),
  handler: () => {
    // Further runs of a scenario stand below its name.
    const rows = SCENARIOS.map(({ name, summary }) => [name, summary] as const);
    process.stdout.write(labelled(rows, terminalWidth()));
  },
};

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
