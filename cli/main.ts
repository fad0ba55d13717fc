#!/usr/bin/env node
/**
 * The command line: reads the arguments, hands them to one command's file, turns what goes wrong into one line.
 *
 * Exit codes: 0 done, 1 it could not be done, 2 the arguments make no sense (cli/plan.ts has its own), 78 the configuration is
 * wrong (`hushlb run` alone). Each command file exports a yargs CommandModule; its handler does the work, writes results to
 * stdout and throws what it cannot do.
 */
import yargs, { type CommandModule } from 'yargs';
import { hideBin } from 'yargs/helpers';
import { VERSION } from '../lb/version.ts';
import { agreeCommand } from './agree.ts';
import { auditCommand } from './audit.ts';
import {
  addCommand,
  drainCommand,
  modeCommand,
  reloadCommand,
  removeCommand,
  schedulerCommand,
  undrainCommand,
  weightCommand,
} from './change.ts';
import { checkCommand } from './check.ts';
import { conntrackCommand } from './conntrack.ts';
import { decapCommand } from './decap.ts';
import { doctorCommand } from './doctor.ts';
import { report, UsageError } from './errors.ts';
import { eventsCommand } from './events.ts';
import { explainCommand } from './explain.ts';
import { labCommand } from './lab.ts';
import { planCommand } from './plan.ts';
import { probeIdleCommand } from './probe-idle.ts';
import { profilesCommand } from './profiles.ts';
import { replayCommand } from './replay.ts';
import { runCommand } from './run.ts';
import { saveCommand } from './save.ts';
import { simulateCommand } from './simulate.ts';
import { statusCommand } from './status.ts';
import { tableCommand } from './table.ts';
import { quietOnClosedPipe, terminalWidth } from './terminal.ts';
import { topCommand } from './top.ts';
import { USAGE_MESSAGES, usageText } from './usage-text.ts';

/** Each has arguments of a type of its own. */
const COMMANDS = [
  runCommand,
  statusCommand,
  topCommand,
  eventsCommand,
  conntrackCommand,
  explainCommand,
  planCommand,
  doctorCommand,
  reloadCommand,
  drainCommand,
  undrainCommand,
  weightCommand,
  addCommand,
  removeCommand,
  modeCommand,
  schedulerCommand,
  saveCommand,
  checkCommand,
  tableCommand,
  profilesCommand,
  agreeCommand,
  decapCommand,
  labCommand,
  simulateCommand,
  replayCommand,
  probeIdleCommand,
  auditCommand,
] as unknown as readonly CommandModule[];

/** `command` is a name and what has to follow it. */
const NAMES = COMMANDS.map(({ command }) => String(command).split(' ', 1)[0]);
/** Those of `conntrack` and `lab`, which have a help of their own. */
const NESTED_NAMES = ['list', 'show', 'flush']
  .map((name) => `conntrack ${name}`)
  .concat(['list', 'run', 'matrix', 'clean'].map((name) => `lab ${name}`));

const parser = yargs(hideBin(process.argv))
  .scriptName('hushlb')
  // Messages of yargs follow LANG; ours are English, and half of each would be worse than either.
  .locale('en')
  // Its type does not know plural forms.
  .updateStrings(USAGE_MESSAGES as Record<string, string>)
  .usage('$0 COMMAND\n\nA userspace, stateless layer-4 load balancer that keeps quiet.')
  .command([...COMMANDS])
  .completion('completion', 'Print a completion script for bash, zsh or fish')
  .demandCommand(1, 1, 'expected a command, such as run, check or status')
  .strict()
  .parserConfiguration({
    // "-c a -c b" takes the last, "--config.x" and "--no-json" are unknown options: no value changes its type.
    'duplicate-arguments-array': false,
    'dot-notation': false,
    'boolean-negation': false,
  })
  .version(VERSION)
  .alias('h', 'help')
  .example('$0 check -c hushlb.yaml', 'say everything that is wrong with a configuration')
  .example('$0 run -c hushlb.yaml', 'balance in the foreground until Ctrl-C')
  .example('$0 status', 'say how the balancer on this host is')
  .example('$0 lab run stateless round-robin', 'see on live traffic what holds and what breaks')
  .example('$0 probe-idle https://www.example.com/', 'measure after what idle time a server hangs up, and how')
  .epilogue('Each command explains itself: hushlb run --help')
  .wrap(terminalWidth())
  .exitProcess(false)
  // Its own complaints are YErrors; all others come from a command's handler.
  .fail((message, error) => {
    if (error !== undefined && error.name !== 'YError') throw error;
    throw new UsageError(usageText(message, process.argv.slice(2), NAMES));
  });

quietOnClosedPipe();
try {
  await parser.parseAsync();
} catch (error) {
  process.exitCode = report(error, [...NAMES, ...NESTED_NAMES]);
}
