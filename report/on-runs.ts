/**
 * `hushlb lab run --report DIR`: told of each run as it ends, writes its capture file at once and keeps what the page
 * needs; when all have ended, makes the page. cli/lab-run.ts hands it to lab/session.ts.
 */
import { statSync } from 'node:fs';
import type { Evidence } from '../lab/findings.ts';
import { type Scenario, silenceMs, titleOf } from '../lab/scenario.ts';
import type { RunResult } from '../lab/scenarios.ts';
import type { SessionObserver } from '../lab/session.ts';
import { writeCaptureFile } from './capture-file.ts';
import { findDecisive } from './decisive.ts';
import { GENERATOR } from './directory.ts';
import type { RunPart } from './model.ts';
import { openReport, type Report, type ReportOptions } from './report.ts';

export interface RunReportOptions extends Omit<ReportOptions, 'files'> {
  readonly scenarios: readonly Scenario[];
}

export function reportOnRuns({ scenarios, ...options }: RunReportOptions): SessionObserver {
  const ids = uniqueIds(scenarios);
  const application = `${GENERATOR} ${options.version}`;
  const parts: RunPart[] = [];
  let report: Report | undefined;
  return {
    open() {
      report = openReport({ ...options, files: ids.map(captureName) });
    },
    ran(scenario, evidence, result) {
      const id = ids[parts.length];
      const part = report?.writing(captureName(id), (path) =>
        runPart({ id, application, capturePath: path }, scenario, evidence, result),
      );
      if (part !== undefined) parts.push(part);
    },
    complete: () => report?.publish((about) => ({ runs: { about, parts } })) ?? [],
    close: () => report?.close(),
  };
}

interface Writing {
  readonly id: string;
  /** Which program wrote the capture, as Wireshark shows it. */
  readonly application: string;
  readonly capturePath: string;
}

function runPart(
  { id, application, capturePath }: Writing,
  scenario: Scenario,
  evidence: Evidence,
  result: RunResult,
): RunPart {
  const { name, variant, story, timeouts, plot } = scenario;
  const decisive = findDecisive(evidence, scenario);
  writeCaptureFile({
    path: capturePath,
    application,
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
