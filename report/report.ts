/**
 * `hushlb lab run --report DIR`: told of each run as it ends, writes its capture file at once and keeps what the page
 * needs; when all have ended, makes the page. cli/lab-run.ts hands it to lab/session.ts.
 */
import { statSync } from 'node:fs';
import { LabError } from '../lab/errors.ts';
import type { Evidence } from '../lab/findings.ts';
import { type Scenario, silenceMs, titleOf } from '../lab/scenario.ts';
import type { RunResult } from '../lab/scenarios.ts';
import type { SessionObserver } from '../lab/session.ts';
import { aboutThisMachine, VERSION } from './about.ts';
import { writeCaptureFile } from './capture-file.ts';
import { findDecisive } from './decisive.ts';
import { GENERATOR, openReportDirectory, PAGE_FILE, type ReportDirectory, reasonOf } from './directory.ts';
import type { ReportData, RunPart } from './model.ts';
import { renderPage } from './page.ts';

const DATA_FILE = 'report.json';

export interface RunReportOptions {
  /** As the user gave it. */
  readonly path: string;
  readonly scenarios: readonly Scenario[];
  /** The command line, behind `hushlb`. */
  readonly commandLine: readonly string[];
}

export function reportOnRuns({ path, scenarios, commandLine }: RunReportOptions): SessionObserver {
  const ids = uniqueIds(scenarios);
  const parts: RunPart[] = [];
  let directory: ReportDirectory | undefined;

  /** What fails here is a full disk or a directory that went away. */
  function writing<Result>(what: (directory: ReportDirectory) => Result): Result {
    if (directory === undefined) throw new TypeError('the report is not open');
    try {
      return what(directory);
    } catch (error) {
      throw new LabError('LAB_REPORT', `cannot write the report to ${path}: ${reasonOf(error)}`);
    }
  }

  return {
    open() {
      directory = openReportDirectory(path, [PAGE_FILE, DATA_FILE, ...ids.map(captureName)]);
    },
    ran(scenario, evidence, result) {
      const id = ids[parts.length];
      parts.push(writing(({ staged }) => runPart(id, scenario, evidence, result, staged(captureName(id)))));
    },
    complete() {
      const about = aboutThisMachine(commandLine, Date.now());
      const data: ReportData = { runs: { about, parts } };
      const page = renderPage(data);
      return writing((open) => {
        open.write(DATA_FILE, `${JSON.stringify({ generator: GENERATOR, version: VERSION, ...data })}\n`);
        open.write(PAGE_FILE, page);
        open.publish();
        return [`Report: ${open.path}/${PAGE_FILE}`];
      });
    },
    close() {
      directory?.close();
    },
  };
}

function runPart(id: string, scenario: Scenario, evidence: Evidence, result: RunResult, capturePath: string): RunPart {
  const { name, variant, story, timeouts, plot } = scenario;
  const decisive = findDecisive(evidence, scenario);
  writeCaptureFile({
    path: capturePath,
    application: `${GENERATOR} ${VERSION}`,
    comment: `hushlb lab run: ${titleOf(scenario)}. ${story}`,
    evidence,
    decisive,
  });
  const hasBalancer = evidence.roles.balancer !== null;
  return {
    id,
    name,
    variant,
    story,
    settings: settingsOf(scenario, evidence),
    timeouts: { ...timeouts, balancer: hasBalancer ? timeouts.balancer : null },
    silenceMs: plot.kind === 'idle' ? silenceMs(timeouts) : null,
    result,
    topology: evidence.topology,
    capture: {
      file: captureName(id),
      packets: evidence.frames.length,
      bytes: statSync(capturePath).size,
      comments: decisive.size,
      filter: result.ladder === null ? null : `tcp.port == ${result.ladder.clientPort}`,
    },
  };
}

function settingsOf({ balancer, proxy, plot }: Scenario, evidence: Evidence): [string, string][] {
  const servers: [string, string] = ['servers', `${evidence.backends.length}, ${evidence.webServer}`];
  const clients: [string, string] = [
    plot.kind === 'sessions' ? 'sessions' : 'connections',
    String(evidence.connectionsAsked),
  ];
  const cable: [string, string][] = plot.kind === 'sessions' ? [['cable', `${plot.pace.delayMs} ms each way`]] : [];
  if (balancer === null) {
    const kind: [string, string] = ['balancer', proxy === undefined ? 'none' : `${proxy}, layer 7`];
    return [kind, servers, clients, ...cable];
  }
  return [
    ['mode', balancer.mode],
    ['scheduler', balancer.scheduler],
    ...(balancer.onMiss === undefined ? [] : [['onMiss', balancer.onMiss] as [string, string]]),
    servers,
    clients,
  ];
}

function captureName(id: string): string {
  return `${id}.pcapng`;
}

/** Names for anchors and files: 'l7-idle-haproxy-well-ordered', and a number where a scenario is run twice. */
function uniqueIds(scenarios: readonly Scenario[]): string[] {
  const taken = new Map<string, number>();
  return scenarios.map((scenario) => {
    const base = titleOf(scenario)
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-');
    const count = (taken.get(base) ?? 0) + 1;
    taken.set(base, count);
    return count === 1 ? base : `${base}-${count}`;
  });
}
