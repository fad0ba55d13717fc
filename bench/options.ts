/**
 * What `npm run bench` is asked for. Mistakes cost a line (UsageError, HushlbError) before anything is measured, because the
 * measuring takes minutes. For bench/main.ts.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import yargs from 'yargs';
import { UsageError } from '../cli/errors.ts';
import { terminalWidth, wrap } from '../cli/terminal.ts';
import { USAGE_MESSAGES, usageText } from '../cli/usage-text.ts';
import { HushlbError } from '../lb/errors.ts';
import { CASES } from './cases.ts';
import { checkRevision } from './decision/revision.ts';

export interface BenchOptions {
  readonly quick: boolean;
  /** Names of cases; undefined: all. */
  readonly only: readonly string[] | undefined;
  readonly json: string | undefined;
  readonly report: string | undefined;
  readonly against: string | undefined;
}

const COMMAND = 'npm run bench --';
const DEFAULT_REPORT = 'bench';
const NAMES = CASES.map(({ name }) => name);
/** The one that `--against` is for. */
const COMPARED_CASE = 'decision-cost';
/** Options that npm has no use for, and yet keeps to itself where the `--` before them is missing. */
const KEPT_BY_NPM = ['quick', 'report', 'against'];

/** Undefined where nothing but the help was asked for, which is printed. */
export async function readOptions(
  typed: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<BenchOptions | undefined> {
  const kept = KEPT_BY_NPM.find((name) => environment[`npm_config_${name}`] !== undefined);
  if (kept !== undefined) throw new UsageError(`npm kept --${kept} to itself: ${COMMAND} --${kept} …`);
  const { quick, only, json, report, against, help, _: rest } = await parse(typed);
  if (help === true) return undefined;
  if (rest.length > 0) {
    const meant = NAMES.includes(`${rest[0]}`) ? `: ${COMMAND} --only ${rest[0]}` : '';
    throw new UsageError(`unexpected ${rest[0]}${meant}`);
  }
  if (only?.length === 0) throw new UsageError(`--only wants a case: one of ${NAMES.join(', ')}`);
  if (against !== undefined) {
    if (only?.includes(COMPARED_CASE) === false) throw new UsageError(`--against is for ${COMPARED_CASE} alone`);
    checkRevision(against);
  }
  if (json !== undefined) requireFile(json);
  if (report !== undefined) requireFolder(report);
  return { quick, only, json, report, against };
}

function parse(typed: readonly string[]) {
  const width = terminalWidth();
  return (
    yargs([...typed])
      .scriptName(COMMAND)
      .locale('en')
      // Its type does not know plural forms.
      .updateStrings(USAGE_MESSAGES as Record<string, string>)
      .usage(
        '$0 [--quick] [--only NAME …] [--json FILE] [--report [DIR]] [--against REVISION]\n\n' +
          'Measures hushlb on this machine, beside what it can be compared with.',
      )
      .option('quick', { type: 'boolean', default: false, describe: 'Fewer and shorter rounds: under 2 minutes' })
      .option('only', { choices: NAMES, array: true, describe: 'Run these cases' })
      .option('json', {
        type: 'string',
        requiresArg: true,
        coerce: last,
        describe: 'Write the figures to a file as well',
      })
      .option('report', {
        type: 'string',
        describe: `Write RESULTS.md and its plots to a folder as well; without a name to ${DEFAULT_REPORT}/`,
        coerce: (folders: string | string[]) => last(folders) || DEFAULT_REPORT,
      })
      .option('against', {
        type: 'string',
        requiresArg: true,
        coerce: last,
        describe: `A revision of git that ${COMPARED_CASE} measures in the same rounds`,
      })
      .example('$0 --quick', 'every case, in under 2 minutes')
      .example('$0 --only forwarding real-tcp', 'two cases in full')
      .epilogue(CASES.map(({ name, about }) => wrap(`${name}: ${about}`, width).join('\n')).join('\n\n'))
      .parserConfiguration({ 'dot-notation': false, 'boolean-negation': false })
      .strictOptions()
      .version(false)
      .alias('h', 'help')
      .wrap(width)
      .exitProcess(false)
      .fail((message, error) => {
        if (error !== undefined && error.name !== 'YError') throw error;
        throw new UsageError(usageText(message, typed, []).replace(/\s*\n\s*/g, ' '));
      })
      .parse()
  );
}

function last(values: string | string[]): string {
  return Array.isArray(values) ? (values.at(-1) ?? '') : values;
}

function requireFile(file: string): void {
  if (existsSync(file) && statSync(file).isDirectory())
    throw new HushlbError('BENCH_OPTION', `--json ${file}: is a folder`);
  if (!existsSync(dirname(resolve(file))))
    throw new HushlbError('BENCH_OPTION', `--json ${file}: there is no folder ${dirname(file)}`);
  requireWritable(`--json ${file}`, existsSync(file) ? file : dirname(resolve(file)));
}

/** It is made where it is missing, with those above it. */
function requireFolder(folder: string): void {
  let existing = resolve(folder);
  while (!existsSync(existing)) existing = dirname(existing);
  if (!statSync(existing).isDirectory())
    throw new HushlbError('BENCH_OPTION', `--report ${folder}: ${existing} is no folder`);
  requireWritable(`--report ${folder}`, existing);
}

function requireWritable(option: string, path: string): void {
  try {
    accessSync(path, constants.W_OK);
  } catch {
    throw new HushlbError('BENCH_OPTION', `${option}: may not write to ${path}`);
  }
}
