/**
 * Runs one scenario on live traffic: network, backends, balancer, client, captures, probe; then takes everything down, in
 * the reverse order, whatever happened. Returns the evidence; what it means is lab/findings.ts's to say.
 */
import { startBackend, webServerKind } from './backends.ts';
import { balancerReady, METRICS_ADDRESS, startBalancer } from './balancer.ts';
import { type CapturePoint, startCaptures } from './captures.ts';
import type { LabError } from './errors.ts';
import type { Evidence } from './findings.ts';
import type { ClientReport, ExchangeReport } from './keepalive-client.ts';
import { buildNetwork, type Network } from './network.ts';
import { type HostProcess, labProgram, pause, startProcess } from './processes.ts';
import { openRun, removeRun, runDirectory } from './runs.ts';
import type { Scenario } from './scenarios.ts';
import type { TableSample } from './table-probe.ts';
import { backendNames, sharedLan, VIP, VIP_PORT } from './topology.ts';

export interface ExperimentOptions {
  readonly connections: number;
  readonly backends: number;
  /** Of the order in which the connections send for the second time. */
  readonly seed: number;
  /** Aborting it ends the experiment: everything is taken down, then the promise rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Told what is going on right now, for people who wait. */
  readonly progress: (what: string) => void;
}

/** A table that is not empty this long after the client's silence is a finding, and nothing to wait for. */
const EMPTYING_PATIENCE_MS = 3000;
const ANSWER_PATIENCE_MS = 3000;
const ROUND_PATIENCE_MS = 15_000;
const PROBE_INTERVAL_MS = 100;
/** After the last answer: time for the probe to count what the captures saw. */
const AFTERMATH_MS = 300;

/** Rejects with a LabError when a part fails, or with the reason of `options.signal`. */
export async function runExperiment(scenario: Scenario, options: ExperimentOptions): Promise<Evidence> {
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const runId = openRun();
  // For the ways out that pass no `finally`: an exception that nobody catches, a closed pipe.
  const onExit = (): void => void removeRun(runId);
  process.once('exit', onExit);
  const processes: HostProcess[] = [];
  try {
    signal.throwIfAborted();
    options.progress('building the network');
    const network = buildNetwork(runId, sharedLan(options.backends));
    return await perform({
      scenario,
      options,
      network,
      directory: runDirectory(runId),
      signal,
      started: (started) => processes.push(started),
      onUnexpectedEnd: (error) => failure.abort(error),
    });
  } finally {
    failure.abort(); // whoever still waits for a part of it
    options.progress('taking the network down');
    for (const each of processes.reverse()) await each.stop();
    removeRun(runId);
    process.removeListener('exit', onExit);
  }
}

interface Stage {
  readonly scenario: Scenario;
  readonly options: ExperimentOptions;
  readonly network: Network;
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly started: (process: HostProcess) => void;
  readonly onUnexpectedEnd: (error: LabError) => void;
}

async function perform(stage: Stage): Promise<Evidence> {
  const { scenario, options, network, signal } = stage;
  const backends = backendNames(options.backends);
  const captures = startCaptures(capturePoints(network, backends));
  try {
    options.progress(`starting ${backends.length} backends and the balancer`);
    await startServers(stage, backends);
    const samples: TableSample[] = [];
    await startProbe(stage, samples);

    options.progress(`opening ${options.connections} connections`);
    const reports: ExchangeReport[] = [];
    const client = startClient(stage, reports);
    await client.waitForLine((line) => isEvent(line, 'idle'), ROUND_PATIENCE_MS, signal);
    await stayIdle(stage, samples);

    options.progress('sending again on every connection');
    const secondRoundMs = Date.now();
    client.write('again');
    await client.waitForLine((line) => isEvent(line, 'done'), ROUND_PATIENCE_MS, signal);
    await pause(AFTERMATH_MS, signal);
    return {
      backends,
      connectionsAsked: options.connections,
      settings: scenario.balancer,
      webServer: webServerKind(),
      reports,
      samples,
      frames: captures.frames,
      framesLost: captures.stop(),
      secondRoundMs,
    };
  } finally {
    captures.stop();
  }
}

function capturePoints(network: Network, backends: readonly string[]): CapturePoint[] {
  const own = (host: string): CapturePoint => ({
    host,
    namespace: network.namespace(host),
    interface: 'eth0',
    farEnd: false,
  });
  const balancer = { host: 'lb', namespace: network.namespace('router'), interface: 'lb', farEnd: true };
  return [own('client'), balancer, ...backends.map(own)];
}

async function startServers(stage: Stage, backends: readonly string[]): Promise<void> {
  const { scenario, network, directory, signal, started, onUnexpectedEnd } = stage;
  const ready = backends.map((name) =>
    startBackend(
      { name, namespace: network.namespace(name), port: VIP_PORT, directory, onUnexpectedEnd, started },
      signal,
    ),
  );
  const balancer = startBalancer({
    namespace: network.namespace('lb'),
    settings: scenario.balancer,
    backends,
    directory,
    onUnexpectedEnd,
  });
  started(balancer);
  await Promise.all([...ready, balancerReady(balancer, signal)]);
}

async function startProbe(stage: Stage, samples: TableSample[]): Promise<void> {
  const url = `http://${METRICS_ADDRESS}/metrics`;
  const probe = startProcess({
    name: "the probe of the balancer's metrics",
    namespace: stage.network.namespace('lb'),
    command: [process.execPath, labProgram('table-probe'), '--url', url, '--interval', String(PROBE_INTERVAL_MS)],
    onLine: (line) => {
      if (line.startsWith('{')) samples.push(JSON.parse(line) as TableSample);
    },
    onUnexpectedEnd: stage.onUnexpectedEnd,
  });
  stage.started(probe);
  await probe.waitForLine((line) => line.startsWith('{'), ROUND_PATIENCE_MS, stage.signal);
}

function startClient(stage: Stage, reports: ExchangeReport[]): HostProcess {
  const { connections, seed } = stage.options;
  const settings = { host: VIP, port: VIP_PORT, connections, seed, patience: ANSWER_PATIENCE_MS };
  const client = startProcess({
    name: 'the client',
    namespace: stage.network.namespace('client'),
    command: [
      process.execPath,
      labProgram('keepalive-client'),
      ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ],
    onLine: (line) => {
      const report = parseReport(line);
      if (report?.event === 'exchange') reports.push(report);
    },
    onUnexpectedEnd: stage.onUnexpectedEnd,
  });
  stage.started(client);
  return client;
}

function parseReport(line: string): ClientReport | undefined {
  return line.startsWith('{') ? (JSON.parse(line) as ClientReport) : undefined;
}

function isEvent(line: string, event: ClientReport['event']): boolean {
  return parseReport(line)?.event === event;
}

/** For as long as the scenario says, and until the probe has seen an empty table. */
async function stayIdle({ scenario, options, signal }: Stage, samples: readonly TableSample[]): Promise<void> {
  const start = performance.now();
  for (;;) {
    const idleMs = performance.now() - start;
    const entries = samples.at(-1)?.entries ?? 0;
    if (idleMs >= scenario.clientIdleMs && entries === 0) return;
    if (idleMs >= scenario.clientIdleMs + EMPTYING_PATIENCE_MS) return;
    options.progress(`idle for ${(idleMs / 1000).toFixed(1)} s, the balancer's table holds ${entries}`);
    await pause(PROBE_INTERVAL_MS, signal);
  }
}
