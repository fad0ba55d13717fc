/**
 * Runs one scenario on live traffic: network, captures, plot; then takes everything down, in the reverse order, whatever
 * happened. Returns the evidence; what it means is lab/findings.ts's to say.
 */
import { webServerKind } from './backends.ts';
import { atHost, atRouter, type CapturePoint, startCaptures } from './captures.ts';
import { hostsOf } from './change.ts';
import { performChange } from './change-plot.ts';
import type { Roles } from './connections.ts';
import type { Evidence } from './findings.ts';
import { buildNetwork, type Network } from './network.ts';
import { type Performance, performIdle, performTransfer, performUpload } from './plots.ts';
import { type HostProcess, pause } from './processes.ts';
import { openRun, removeRun, runDirectory } from './runs.ts';
import type { Scenario } from './scenario.ts';
import { performSessions } from './sessions.ts';
import { addressesIn, balancerSettings, type Stage } from './stage.ts';
import { fittingPacket, mssFor } from './too-big.ts';
import { backendNames, sharedLan, type Topology } from './topology.ts';

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
  const { seed, progress } = options;
  const connections = scenario.connections ?? options.connections;
  const backends = backendNames(hostsOf(scenario.plot, scenario.backends ?? options.backends));
  const balancers = balancersOf(scenario);
  try {
    signal.throwIfAborted();
    progress('building the network');
    const network = buildNetwork(runId, topologyOf(scenario, backends, balancers));
    return await perform({
      scenario,
      connections,
      backends,
      balancers,
      seed,
      network,
      directory: runDirectory(runId),
      signal,
      progress,
      started: (started) => processes.push(started),
      onUnexpectedEnd: (error) => failure.abort(error),
      samples: [],
      reports: [],
    });
  } finally {
    failure.abort(); // whoever still waits for a part of it
    progress('taking the network down');
    for (const each of processes.reverse()) await each.stop();
    removeRun(runId);
    process.removeListener('exit', onExit);
  }
}

function topologyOf(scenario: Scenario, { length }: readonly string[], balancers: readonly string[]): Topology {
  const { family = 4 } = scenario;
  const { plot, balancer } = scenario;
  const upload = plot.kind === 'upload' ? plot : undefined;
  const fitting = mssFor(fittingPacket(balancer?.encap ?? 'ipip', family), family);
  const advmss = upload?.announcedBy === 'route' ? fitting : undefined;
  const losesIcmp = upload?.losesIcmp ?? false;
  return sharedLan(length, { balancers, longCableOf: longCableOf(scenario), family, losesIcmp, advmss });
}

function balancersOf({ balancer, plot }: Scenario): string[] {
  if (balancer === null) return [];
  return plot.kind === 'transfer' && plot.disaster === 'failover' ? ['lb', 'lb2'] : ['lb'];
}

/** The distance is put between those two whose race the sessions are about. */
function longCableOf({ plot, proxy }: Scenario): string | null {
  if (plot.kind !== 'sessions') return null;
  return proxy === undefined ? 'client' : 'lb';
}

async function perform(stage: Stage): Promise<Evidence> {
  const { scenario, network, backends } = stage;
  const roles = rolesOf(stage);
  const captures = startCaptures(capturePoints(network, stage, roles));
  try {
    const performance = await act(stage);
    await pause(AFTERMATH_MS, stage.signal);
    return {
      topology: network.topology,
      roles,
      backends,
      connectionsAsked: stage.connections,
      settings: scenario.balancer && balancerSettings(stage),
      webServer: scenario.webServer ?? webServerKind(),
      reports: stage.reports,
      samples: stage.samples,
      frames: captures.frames,
      framesLost: captures.stop(),
      ...performance,
    };
  } finally {
    captures.stop();
  }
}

function act(stage: Stage): Promise<Performance> {
  const { plot } = stage.scenario;
  switch (plot.kind) {
    case 'idle':
      return performIdle(stage);
    case 'transfer':
      return performTransfer(stage, plot);
    case 'upload':
      return performUpload(stage, plot.bytes);
    case 'sessions':
      return performSessions(stage, plot);
    case 'change':
      return performChange(stage, plot.change);
  }
}

function rolesOf({ scenario, balancers, network }: Stage): Roles {
  const spare = balancers.length > 1 ? { spare: balancers[1] } : {};
  const balancer = scenario.balancer === null && scenario.proxy === undefined ? null : 'lb';
  return { client: 'client', clientAddress: addressesIn({ network }).client, balancer, ...spare };
}

function capturePoints(network: Network, { balancers, backends }: Stage, roles: Roles): CapturePoint[] {
  const own = (host: string): CapturePoint => atHost(network, host);
  const proxies = balancers.length === 0 && roles.balancer !== null ? [own(roles.balancer)] : [];
  return [own('client'), ...balancers.map((host) => atRouter(network, host)), ...proxies, ...backends.map(own)];
}
