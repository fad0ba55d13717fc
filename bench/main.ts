/**
 * `npm run bench`: runs the cases (bench/cases.ts), each a process of its own, one after the other, and prints their tables
 * with the machine that they come from and the targets, reached or not. `--json` and `--report` write the same down.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import yargs from 'yargs';
import type { BenchCase, CaseResult } from './case.ts';
import { CASES } from './cases.ts';
import { removeLeftovers } from './forwarding/leftovers.ts';
import { describeMachine } from './machine.ts';
import { type MeasuredCase, writeResults } from './results-page.ts';
import type { CaseMessage } from './run-case.ts';
import { targetTable, terminalTable } from './show.ts';

const RUN_CASE = new URL('./run-case.js', import.meta.url).pathname;
/** A case that takes that much longer than it may hangs. */
const PATIENCE_S = 60;
const DEFAULT_REPORT = 'bench';

const options = await yargs(process.argv.slice(2))
  .scriptName('npm run bench --')
  .usage(
    '$0 [--quick] [--only NAME …] [--json FILE] [--report [DIR]]\n\nMeasures hushlb on this machine, beside what it can be compared with.',
  )
  .option('quick', { type: 'boolean', default: false, describe: 'Fewer and shorter rounds: under 2 minutes' })
  .option('only', { choices: CASES.map(({ name }) => name), array: true, describe: 'Run these cases' })
  .option('json', { type: 'string', requiresArg: true, describe: 'Write the figures to a file as well' })
  .option('report', {
    type: 'string',
    describe: `Write RESULTS.md and its plots to a folder as well; without a name to ${DEFAULT_REPORT}/`,
    coerce: (folder: string) => (folder === '' ? DEFAULT_REPORT : folder),
  })
  .option('against', {
    type: 'string',
    requiresArg: true,
    describe: 'A revision of git that decision-cost measures in the same rounds',
  })
  .epilogue(CASES.map(({ name, about }) => `${name}: ${about}`).join('\n\n'))
  .strict()
  .parse();

let running: ChildProcess | undefined;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interrupted = true;
    process.exitCode = signal === 'SIGINT' ? 130 : 143;
    running?.kill('SIGTERM');
  });
}

const machine = describeMachine(new Date());
process.stdout.write(`${Object.values(machine).join(' · ')}\n`);
const measured: MeasuredCase[] = [];
const isRoot = process.getuid?.() === 0;
const wanted = CASES.filter(({ name }) => options.only === undefined || options.only.includes(name));
if (isRoot && wanted.some(({ needsRoot }) => needsRoot)) {
  const left = removeLeftovers();
  if (left.length > 0) process.stderr.write(`bench: removed what runs that were killed left: ${left.join(', ')}\n`);
}
for (const benchCase of wanted) {
  if (interrupted) continue;
  if (benchCase.needsRoot && !isRoot) {
    complain(`${benchCase.name} needs root, for network namespaces and eBPF: sudo npm run bench`);
    continue;
  }
  const result = await runCase(benchCase);
  if (result === undefined) continue;
  measured.push({ benchCase: { name: benchCase.name, title: benchCase.title, about: benchCase.about }, result });
  process.stdout.write(`\n── ${benchCase.title} ──\n${result.tables.map(terminalTable).join('\n')}\n`);
  for (const note of result.notes) process.stdout.write(`${note}\n`);
}
const targets = measured.flatMap(({ result }) => result.targets);
if (targets.length > 0) process.stdout.write(`\n${terminalTable(targetTable(targets))}\n`);
if (!interrupted) writeDown();

function writeDown(): void {
  const run = { machine, quick: options.quick, against: options.against, cases: measured };
  try {
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(run, null, 2)}\n`);
    if (options.report !== undefined) writeResults(options.report, run);
  } catch (error) {
    complain(`could not write the results: ${(error as Error).message}`);
  }
}

/** Undefined where it failed, which was said. */
async function runCase(benchCase: BenchCase): Promise<CaseResult | undefined> {
  const { name, seconds } = benchCase;
  const limit = options.quick ? seconds.quick : seconds.full;
  const started = performance.now();
  const against = options.against === undefined ? [] : [options.against];
  const child = fork(RUN_CASE, [name, options.quick ? 'quick' : 'full', ...against], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  running = child;
  let result: CaseResult | undefined;
  let failure: string | undefined;
  child.on('message', (message: CaseMessage) => {
    if (message.kind === 'progress')
      showProgress(`${name}: ${message.text} (${elapsed(started)} s of at most ${limit})`);
    else if (message.kind === 'failed') failure = message.message;
    else result = message.result;
  });
  const hangs = setTimeout(
    () => {
      failure = `took longer than ${limit + PATIENCE_S} s and was ended`;
      child.kill('SIGTERM');
    },
    (limit + PATIENCE_S) * 1000,
  );
  const how = await new Promise<string>((resolve) => {
    child.once('close', (code, signal) => resolve(String(code ?? signal)));
  });
  clearTimeout(hangs);
  running = undefined;
  showProgress('');
  if (interrupted) return undefined;
  if (result === undefined) complain(`${name}: ${failure ?? `ended with ${how}`}`);
  else process.stderr.write(`bench: ${name}: ${elapsed(started)} s\n`);
  return result;
}

function elapsed(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(0);
}

/** One line, over the last one, on a terminal; nothing elsewhere, where the lines would pile up. */
function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function complain(message: string): void {
  process.stderr.write(`bench: ${message}\n`);
  process.exitCode = 1;
}
