/**
 * `hushlb lab run`: one scenario after another, progress and reports on the terminal, results as data in a file, and
 * Ctrl-C at any moment. cli/lab.ts calls it with the arguments and prints what it throws.
 */
import { accessSync, constants, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { styleText } from 'node:util';
import { webServerKind } from './backends.ts';
import type { Style } from './draw.ts';
import { LabError } from './errors.ts';
import { type ExperimentOptions, runExperiment } from './experiment.ts';
import { type Evidence, examine } from './findings.ts';
import { checkPrograms } from './programs.ts';
import { describeResult, describeScenario, type Look, summarise } from './report.ts';
import { checkPrerequisites } from './runs.ts';
import { type Scenario, titleOf } from './scenario.ts';
import { checkPromise, type RunResult } from './scenarios.ts';

/** Someone who wants to know more of each run than its result, while it is there. */
export interface SessionObserver {
  /** Before anything is built. */
  open(): void;
  /** The evidence is forgotten afterwards. */
  ran(scenario: Scenario, evidence: Evidence, result: RunResult): void;
  /** After the last run; returns lines for people. */
  complete(): string[];
  /** At the end, however that came. */
  close(): void;
}

export interface SessionOptions extends Pick<ExperimentOptions, 'connections' | 'backends' | 'seed'> {
  readonly scenarios: readonly Scenario[];
  /** Where the results go as JSON, if anywhere. */
  readonly jsonFile: string | undefined;
  readonly observer?: SessionObserver | undefined;
  /** Columns of the terminal. */
  readonly width: number;
}

/** The signals that end a run early, with the exit codes that shells expect then. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

class Interruption extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super('interrupted');
    this.exitCode = exitCode;
  }
}

/** Returns the exit code: 0, 1 for a broken promise, 130 and the like after a signal. Throws LabError. */
export async function runSession(options: SessionOptions): Promise<number> {
  checkPrerequisites();
  checkPrograms(options.scenarios);
  if (options.jsonFile !== undefined) checkWritable(options.jsonFile);
  options.observer?.open();
  const interrupt = new AbortController();
  const handlers = Object.entries(SIGNALS).map(([name, exitCode]) => {
    const handler = (): void => interrupt.abort(new Interruption(exitCode));
    process.on(name, handler);
    return { name, handler };
  });
  const status = statusLine();
  try {
    const results = await runAll(options, interrupt.signal, status);
    if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, toJson(options, results));
    for (const line of options.observer?.complete() ?? []) process.stdout.write(`${line}\n`);
    return results.every(({ promise }) => promise.held) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Interruption)) throw error;
    process.stderr.write('hushlb: interrupted, the network is taken down\n');
    return error.exitCode;
  } finally {
    status.clear();
    options.observer?.close();
    for (const { name, handler } of handlers) process.removeListener(name, handler);
  }
}

async function runAll(options: SessionOptions, signal: AbortSignal, status: StatusLine): Promise<RunResult[]> {
  const look = terminalLook(options.width);
  const print = (lines: readonly string[]): void => {
    status.clear();
    process.stdout.write(`${lines.join('\n')}\n`);
  };
  const results: RunResult[] = [];
  for (const scenario of options.scenarios) {
    const { connections, backends, seed } = options;
    print(describeScenario(scenario, scaleOf(scenario, options), look));
    const progress = (what: string): void => status.show(`${titleOf(scenario)}: ${what}`);
    const evidence = await runExperiment(scenario, { connections, backends, seed, signal, progress });
    const result = checkPromise(scenario, examine(evidence, scenario.shows));
    results.push(result);
    options.observer?.ran(scenario, evidence, result);
    print([...describeResult(result, look), '']);
  }
  if (results.length > 1) print(summarise(results, look));
  return results;
}

function scaleOf(scenario: Scenario, { connections, backends }: SessionOptions): string {
  const servers = scenario.backends ?? backends;
  const what = scenario.balancer === null && scenario.proxy === undefined ? 'server' : 'backend';
  const number = `${servers} ${what}${servers === 1 ? '' : 's'} (${scenario.webServer ?? webServerKind()})`;
  return `${connections} ${scenario.plot.kind === 'sessions' ? 'sessions' : 'connections'}, ${number}`;
}

function toJson({ connections, backends, seed }: SessionOptions, results: readonly RunResult[]): string {
  const runs = results.map(({ ladder, ...result }) => ({
    ...result,
    ladderOf: ladder && { clientPort: ladder.clientPort, columns: ladder.columns },
    ladder: ladder?.rows ?? [],
  }));
  return `${JSON.stringify({ settings: { connections, backends, seed }, runs }, null, 2)}\n`;
}

/** Before half a minute of work, not after it. */
function checkWritable(file: string): void {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
  } catch {
    throw new LabError('LAB_REPORT', `cannot write ${file}: ${dirname(resolve(file))} is no writable directory`);
  }
}

const FORMATS: Record<Exclude<Style, 'plain'>, Parameters<typeof styleText>[0]> = {
  dim: 'dim',
  strong: 'bold',
  good: 'green',
  bad: ['red', 'bold'],
  table: 'cyan',
};

function terminalLook(width: number): Look {
  // hasColors heeds NO_COLOR, FORCE_COLOR and a dumb terminal.
  const colours = process.stdout.isTTY && process.stdout.hasColors();
  return { width, paint: (style, text) => (colours && style !== 'plain' ? styleText(FORMATS[style], text) : text) };
}

interface StatusLine {
  show(text: string): void;
  clear(): void;
}

/** One line on the terminal that is written over again and again; nothing where stderr is no terminal. */
function statusLine(): StatusLine {
  const { stderr } = process;
  if (!stderr.isTTY) return { show: () => {}, clear: () => {} };
  let shown = false;
  return {
    show(text) {
      shown = true;
      stderr.write(`\r\u001b[2K${text.slice(0, Math.max(0, stderr.columns - 1))}`);
    },
    clear() {
      if (shown) stderr.write('\r\u001b[2K');
      shown = false;
    },
  };
}
