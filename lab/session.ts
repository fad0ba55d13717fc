/**
 * `hushlb lab run`: one scenario after another, progress and reports on the terminal, results as data in a file, and
 * Ctrl-C at any moment. cli/lab.ts calls it with the arguments and prints what it throws.
 */
import { writeFileSync } from 'node:fs';
import { attended, checkWritable, type StatusLine, terminalLook } from './attended.ts';
import { webServerKind } from './backends.ts';
import { type ExperimentOptions, runExperiment } from './experiment.ts';
import { type Evidence, examine } from './findings.ts';
import { checkPrograms, possibleHere } from './programs.ts';
import { describeResult, describeScenario, summarise } from './report.ts';
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

/** Returns the exit code: 0, 1 for a broken promise, 130 and the like after a signal. Throws LabError. */
export async function runSession({ scenarios, ...others }: SessionOptions): Promise<number> {
  checkPrerequisites();
  const options = { ...others, scenarios: possibleHere(scenarios) };
  checkPrograms(options.scenarios);
  if (options.jsonFile !== undefined) checkWritable(options.jsonFile);
  options.observer?.open();
  try {
    return await attended(async (signal, status) => {
      const results = await runAll(options, signal, status);
      if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, toJson(options, results));
      for (const line of options.observer?.complete() ?? []) process.stdout.write(`${line}\n`);
      return results.every(({ promise }) => promise.held) ? 0 : 1;
    });
  } finally {
    options.observer?.close();
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

function scaleOf(scenario: Scenario, { connections: asked, backends }: SessionOptions): string {
  const connections = scenario.connections ?? asked;
  const servers = scenario.backends ?? backends;
  const what = scenario.balancer === null && scenario.proxy === undefined ? 'server' : 'backend';
  const { plot } = scenario;
  const then =
    plot.kind !== 'change' || plot.change === 'drained' || plot.change === 'died'
      ? ''
      : ` and then ${servers + (plot.change === 'added' ? 1 : -1)}`;
  const number = `${servers}${then} ${what}${servers === 1 ? '' : 's'} (${scenario.webServer ?? webServerKind()})`;
  return `${connections} ${plot.kind === 'sessions' ? 'sessions' : 'connections'}, ${number}`;
}

function toJson({ connections, backends, seed }: SessionOptions, results: readonly RunResult[]): string {
  const runs = results.map(({ ladder, ...result }) => ({
    ...result,
    ladderOf: ladder && { clientPort: ladder.clientPort, columns: ladder.columns },
    ladder: ladder?.rows ?? [],
  }));
  return `${JSON.stringify({ settings: { connections, backends, seed }, runs }, null, 2)}\n`;
}
