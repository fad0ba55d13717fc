/**
 * `hushlb plan`: what a new configuration would change, before anybody takes it over. The work is plan/plan.ts's; this file
 * reads, prints (cli/plan-text.ts), and says by its exit code whether something moves.
 */
import type { Argv, CommandModule } from 'yargs';
import { readConfigFile } from '../lb/config-file.ts';
import { type Plan, planOfFiles } from '../plan/plan.ts';
import { planText } from './plan-text.ts';
import { terminalWidth } from './terminal.ts';

interface PlanArguments {
  readonly old: string;
  readonly new: string;
  readonly json: boolean;
}

/** As `terraform plan -detailed-exitcode` has it; usage errors are 1 here (cli/errors.ts). */
const SOMETHING_MOVES = 2;

export const planCommand: CommandModule<object, PlanArguments> = {
  command: 'plan <old> <new>',
  describe: 'Say what a new configuration would move and break',
  builder: (yargs): Argv<PlanArguments> =>
    yargs
      .usage(
        '$0 plan OLD NEW\n\nCompares two configurations by the tables that packets would meet: slots that move, connections that ' +
          'would break with their entries in the connection table and without, load by backend before and after, settings, and ' +
          'what needs a restart. Exit code 0 where nothing moves, 2 where something does, 1 on any error, usage errors too.',
      )
      .positional('old', { type: 'string', demandOption: true, describe: 'Configuration file before' })
      .positional('new', { type: 'string', demandOption: true, describe: 'Configuration file after' })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { moves, needsRestart, settings, services: [{ slots, moves, connections, backends, … }] }',
      })
      .example('$0 plan hushlb.yaml new.yaml', 'what a reload would move'),
  handler: runPlan,
};

async function runPlan(given: PlanArguments): Promise<void> {
  const plan = planOfFiles(readConfigFile(given.old).config, readConfigFile(given.new).config);
  show(plan, given.json);
}

function show(plan: Plan, json: boolean): void {
  process.stdout.write(json ? `${JSON.stringify(plan, null, 2)}\n` : planText(plan, terminalWidth()));
  process.exitCode = plan.moves ? SOMETHING_MOVES : 0;
}
