/**
 * `npm run bench`: runs the cases (bench/cases.ts), each a process of its own, one after the other, and prints their tables
 * with the machine that they come from and the targets, reached or not. `--json` and `--report` write the same down. Ends with 0,
 * with 1 where a case or a file came to nothing, with 2 where the arguments make no sense (bench/options.ts).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { UsageError } from '../cli/errors.ts';
import { quietOnClosedPipe, statusLine, terminalWidth } from '../cli/terminal.ts';
import { isExpected } from '../lb/errors.ts';
import type { BenchCase, CaseResult } from './case.ts';
import { CASES } from './cases.ts';
import { removeLeftovers } from './leftovers.ts';
import { describeMachine } from './machine.ts';
import { type BenchOptions, readOptions } from './options.ts';
import { type MeasuredCase, writeResults } from './results-page.ts';
import type { CaseMessage } from './run-case.ts';
import { caseText, lines, targetTable, terminalTable } from './show.ts';

const RUN_CASE = new URL('./run-case.js', import.meta.url).pathname;
/** A case that takes that much longer than it may hangs. */
const PATIENCE_S = 60;

quietOnClosedPipe();
let running: ChildProcess | undefined;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interrupted = true;
    process.exitCode = signal === 'SIGINT' ? 130 : 143;
    running?.kill('SIGTERM');
  });
}
const width = terminalWidth();
const progress = statusLine();

try {
  const options = await readOptions(process.argv.slice(2), process.env);
  if (options !== undefined) await run(options);
} catch (error) {
  if (!isExpected(error)) throw error;
  const help = error instanceof UsageError ? '; see npm run bench -- --help' : '';
  complain(`${error.message}${help}`, error instanceof UsageError ? 2 : 1);
}

async function run(options: BenchOptions): Promise<void> {
  const machine = describeMachine(new Date());
  process.stdout.write(`${lines(Object.values(machine).join(' · '), width)}\n`);
  const isRoot = process.getuid?.() === 0;
  const wanted = CASES.filter(({ name }) => options.only === undefined || options.only.includes(name));
  if (isRoot && wanted.some(({ needsRoot }) => needsRoot)) {
    const left = removeLeftovers();
    if (left.length > 0) process.stderr.write(`bench: removed what runs that were killed left: ${left.join(', ')}\n`);
  }
  const measured: MeasuredCase[] = [];
  for (const benchCase of wanted) {
    if (interrupted) break;
    const { name, title, about, needsRoot } = benchCase;
    if (needsRoot && !isRoot) {
      complain(`${name} needs root, for network namespaces and eBPF: sudo npm run bench`);
      continue;
    }
    const result = await runCase(benchCase, options);
    if (result === undefined) continue;
    measured.push({ benchCase: { name, title, about }, result });
    process.stdout.write(`\n${caseText(title, result, width)}\n`);
  }
  const targets = measured.flatMap(({ result }) => result.targets);
  if (targets.length > 0) process.stdout.write(`\n${terminalTable(targetTable(targets), width)}\n`);
  const { quick, only, json, report, against } = options;
  if (interrupted && (json ?? report) !== undefined) complain('interrupted: nothing was written', process.exitCode);
  if (interrupted) return;
  const results = { machine, quick, only, against, cases: measured };
  try {
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
    if (report !== undefined) writeResults(report, results);
  } catch (error) {
    complain(`could not write the results: ${(error as Error).message}`);
  }
}

/** Undefined where it failed, which was said. */
async function runCase(
  { name, seconds }: BenchCase,
  { quick, against }: BenchOptions,
): Promise<CaseResult | undefined> {
  const limit = quick ? seconds.quick : seconds.full;
  const started = performance.now();
  const child = fork(RUN_CASE, [name, quick ? 'quick' : 'full', ...(against === undefined ? [] : [against])], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // In a session of its own: Ctrl-C reaches it once, from here, and none of the programs that take its networks down.
    detached: true,
  });
  running = child;
  let result: CaseResult | undefined;
  let failure: string | undefined;
  child.on('message', (message: CaseMessage) => {
    if (message.kind === 'progress')
      progress.show(`${name}: ${message.text} (${elapsed(started)} s of at most ${limit})`);
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
  progress.clear();
  if (interrupted) return undefined;
  if (result === undefined) complain(`${name}: ${failure ?? `ended with ${how}`}`);
  else process.stderr.write(`bench: ${name}: ${elapsed(started)} s\n`);
  return result;
}

function elapsed(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(0);
}

function complain(message: string, exitCode: typeof process.exitCode = 1): void {
  process.stderr.write(`bench: ${message}\n`);
  process.exitCode = exitCode;
}
