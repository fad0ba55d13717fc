/**
 * `hushlb lab matrix`: which rows. The work is lab/matrix-session.ts's.
 */
import type { CommandModule } from 'yargs';
import type { Encap } from '../lab/balancer.ts';
import { MATRIX_ROWS, slugOf, withEncap } from '../lab/matrix-rows.ts';
import { VERSION } from '../lb/version.ts';
import { UsageError } from './errors.ts';
import { familyOf, labEncapOption, labFamilyOption } from './lab-options.ts';
import { terminalWidth } from './terminal.ts';

interface MatrixArguments {
  readonly row: string[] | undefined;
  readonly seed: number;
  readonly encap: Encap | undefined;
  readonly family: number | undefined;
  readonly json: string | undefined;
  readonly report: string | undefined;
}

const ROW_SLUGS = MATRIX_ROWS.map(({ name }) => slugOf(name));

export const labMatrixCommand: CommandModule<object, MatrixArguments> = {
  command: 'matrix',
  describe: 'Run every kind of balancer in every ordering of the three idle timeouts',
  builder: (yargs) =>
    yargs
      .usage(
        '$0 lab matrix [--row NAME]\n\nFor each kind of balancer, and for none, holds connections open on live traffic with ' +
          'the idle timeouts of client, balancer and server in each of their six orderings; sends again at the last moment ' +
          'at which that should be well, and at the moment in which the other side closes; and prints what became of them ' +
          'as a table, in about a minute. Exit code 1 where a cell is not what it must be. Needs root.',
      )
      // Elsewhere the last of several values wins, here each counts.
      .parserConfiguration({ 'duplicate-arguments-array': true, 'greedy-arrays': false })
      .option('row', {
        type: 'string',
        array: true,
        requiresArg: true,
        choices: ROW_SLUGS,
        describe: 'Only this row; may be given several times',
        defaultDescription: 'all',
      })
      .option('seed', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: "Of the client's ports and the order in which the connections send again",
      })
      .option('encap', labEncapOption)
      .option('family', labFamilyOption)
      .option('json', { type: 'string', requiresArg: true, describe: 'Write the results to this file as well' })
      .option('report', {
        type: 'string',
        requiresArg: true,
        describe: 'Write a page with the table as a heat map to this directory; adds to that of lab run',
      })
      .example('$0 lab matrix', 'everything')
      .example('$0 lab matrix --row stateless --row syn-only', 'two rows of it')
      .example('$0 simulate --matrix', 'the same in virtual time, for every profile'),
  handler: run,
};

async function run({ row: slugs, seed, encap, family, json: jsonFile, report }: MatrixArguments): Promise<void> {
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new UsageError(`--seed: expected a whole number from 0 to ${2 ** 32 - 1}, got ${seed}`);
  }
  const chosen = MATRIX_ROWS.filter(({ name }) => slugs === undefined || slugs.includes(slugOf(name)));
  if (encap !== undefined && chosen.every(({ between }) => between.kind !== 'hushlb')) {
    throw new UsageError('--encap: hushlb takes no part in what is to run, leave it out');
  }
  const rows = encap === undefined ? chosen : chosen.map((row) => withEncap(row, encap));
  // Loaded here: `lab list` works on machines where the native parts below do not load.
  const { runMatrixSession } = await import('../lab/matrix-session.ts');
  const { reportOnMatrix } = await import('../report/on-matrix.ts');
  const observer =
    report === undefined
      ? undefined
      : reportOnMatrix({ path: report, commandLine: process.argv.slice(2), version: VERSION });
  process.exitCode = await runMatrixSession({
    rows,
    seed,
    family: familyOf(family) ?? 4,
    jsonFile,
    observer,
    width: terminalWidth(),
  });
}
