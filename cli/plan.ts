/**
 * `hushlb plan`: what a new configuration would change, before anybody takes it over. The work is plan/plan.ts's; this file
 * reads, prints (cli/plan-text.ts), and says by its exit code whether something moves.
 */
import type { Argv, CommandModule } from 'yargs';
import { planBase } from '../admin/plan-routes.ts';
import type { Config } from '../lb/config.ts';
import { parseConfig, readConfigFile } from '../lb/config-file.ts';
import { prepare, prepareNext, ROOM_FOR_CHANGES } from '../lb/prepare.ts';
import { type Plan, planOf, planOfFiles } from '../plan/plan.ts';
import { type AdminArguments, withAdminOptions, withDaemon } from './admin-options.ts';
import { UsageError } from './errors.ts';
import { planText } from './plan-text.ts';
import { terminalWidth } from './terminal.ts';

interface PlanArguments extends AdminArguments {
  readonly file: string;
  readonly new: string | undefined;
  readonly json: boolean;
}

/** As `terraform plan -detailed-exitcode` has it; usage errors are 1 here (cli/errors.ts). */
const SOMETHING_MOVES = 2;

export const planCommand: CommandModule<object, PlanArguments> = {
  command: 'plan <file> [new]',
  describe: 'Say what a new configuration would move and break',
  builder: (yargs): Argv<PlanArguments> =>
    withAdminOptions(yargs)
      .usage(
        '$0 plan [OLD] NEW\n\nCompares two configurations by the tables that packets would meet: slots that move, connections that ' +
          'would break with their entries in the connection table and without, load by backend before and after, settings, and ' +
          'what needs a restart. Without OLD it compares with the balancer that runs, its health and its entries. Exit code 0 ' +
          'where nothing moves, 2 where something does, 1 on any error, usage errors too.',
      )
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe: 'Configuration file; before, if there is a second',
      })
      .positional('new', { type: 'string', describe: 'Configuration file after' })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Write { moves, needsRestart, settings, services: [{ slots, moves, connections, backends, … }] }',
      })
      .example('$0 plan new.yaml', 'what it would move in the balancer that runs')
      .example('$0 plan hushlb.yaml new.yaml', 'what one file would move after another'),
  handler: runPlan,
};

async function runPlan(given: PlanArguments): Promise<void> {
  const { file, new: second, socket, config, json } = given;
  if (second === undefined) show(await planWithDaemon(given, readConfigFile(file).config), json);
  else if (socket !== undefined || config !== undefined) {
    throw new UsageError('--socket and --config find a running balancer: give them with one file only');
  } else show(planOfFiles(readConfigFile(file).config, readConfigFile(second).config), json);
}

function planWithDaemon(options: AdminArguments, next: Config): Promise<Plan> {
  return withDaemon(options, async (client) => {
    const { text, down, entries } = planBase.parse(await client.request('GET', '/v1/plan-base'));
    const { config } = parseConfig(text, 'the configuration that runs');
    const running = prepareNext(config, prepare(config, ROOM_FOR_CHANGES), 0, new Set(down));
    return planOf(running, next, 0, entries);
  });
}

function show(plan: Plan, json: boolean): void {
  process.stdout.write(json ? `${JSON.stringify(plan, null, 2)}\n` : planText(plan, terminalWidth()));
  process.exitCode = plan.moves ? SOMETHING_MOVES : 0;
}
