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
import { COMPLETION_SUMMARY, completionHelp } from './completion.ts';
import { report, UsageError } from './errors.ts';
import { quietOnClosedPipe, terminalWidth } from './terminal.ts';
import { USAGE_MESSAGES, usageText } from './usage-text.ts';

/** In the order of `--help`. Each has arguments of a type of its own. */
const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  run: async () => (await import('./run.ts')).runCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  top: async () => (await import('./top.ts')).topCommand,
  events: async () => (await import('./events.ts')).eventsCommand,
  conntrack: async () => (await import('./conntrack.ts')).conntrackCommand,
  explain: async () => (await import('./explain.ts')).explainCommand,
  plan: async () => (await import('./plan.ts')).planCommand,
  doctor: async () => (await import('./doctor.ts')).doctorCommand,
  reload: async () => (await import('./change.ts')).reloadCommand,
  drain: async () => (await import('./change.ts')).drainCommand,
  undrain: async () => (await import('./change.ts')).undrainCommand,
  weight: async () => (await import('./change.ts')).weightCommand,
  add: async () => (await import('./change.ts')).addCommand,
  remove: async () => (await import('./change.ts')).removeCommand,
  mode: async () => (await import('./change.ts')).modeCommand,
  scheduler: async () => (await import('./change.ts')).schedulerCommand,
  save: async () => (await import('./save.ts')).saveCommand,
  check: async () => (await import('./check.ts')).checkCommand,
  table: async () => (await import('./table.ts')).tableCommand,
  profiles: async () => (await import('./profiles.ts')).profilesCommand,
  agree: async () => (await import('./agree.ts')).agreeCommand,
  decap: async () => (await import('./decap.ts')).decapCommand,
  lab: async () => (await import('./lab.ts')).labCommand,
  simulate: async () => (await import('./simulate.ts')).simulateCommand,
  replay: async () => (await import('./replay.ts')).replayCommand,
  'probe-idle': async () => (await import('./probe-idle.ts')).probeIdleCommand,
  audit: async () => (await import('./audit.ts')).auditCommand,
};

/** The command that is asked for, or all where it is none: to load what the others need takes longer than most commands. */
async function commandsFor(name = ''): Promise<CommandModule[]> {
  const asked = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const loads = asked === undefined ? Object.values(COMMANDS) : [asked];
  return (await Promise.all(loads.map((load) => load()))) as CommandModule[];
}

const NAMES = [...Object.keys(COMMANDS), 'completion'];
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
  .command(await commandsFor(process.argv[2]))
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

const [, , command, ...words] = process.argv;
if (command === 'completion' && words.some((word) => word === '--help' || word === '-h'))
  parser.command(completionHelp);
else parser.completion('completion', COMPLETION_SUMMARY);

quietOnClosedPipe();
try {
  await parser.parseAsync();
} catch (error) {
  process.exitCode = report(error, [...NAMES, ...NESTED_NAMES]);
}
