/**
 * What happens in a scenario, one function a plot: starts the parts, lets time pass, strikes, and returns when the last
 * answer is in. lab/experiment.ts calls them; what was seen is in the stage's captures, samples and reports.
 */
import type { ConfiguredBackend } from './balancer.ts';
import type { ChangeEvidence } from './change.ts';
import { replaceRoute } from './network.ts';
import { type HostProcess, pause } from './processes.ts';
import { type Scenario, silenceMs } from './scenario.ts';
import {
  addressesIn,
  type ClientErrand,
  clientPatienceMs,
  isEvent,
  PROBE_INTERVAL_MS,
  ROUND_PATIENCE_MS,
  type Stage,
  startBackends,
  startClient,
  startOneBalancer,
  startProbe,
} from './stage.ts';
import { vipRoute } from './topology.ts';

export interface Performance {
  /** Wall clock at which the client was told to send again; 0 where it needs no telling. */
  readonly secondRoundMs: number;
  /** Requests in all, where the client counts them. */
  readonly requests: number;
  /** Where the balancer's configuration changed. */
  readonly change?: ChangeEvidence;
  /** Where the client sent much. */
  readonly upload?: { readonly bytes: number };
}

/** A table that is not empty this long after the client's silence is a finding, and nothing to wait for. */
const EMPTYING_PATIENCE_MS = 3000;
/** Into the second round: all have asked, none has the whole answer. */
const DISASTER_AFTER_MS = 1000;

export async function performIdle(stage: Stage): Promise<Performance> {
  const { client } = await firstRound(stage, { path: '/' });
  await stayIdle(stage);
  stage.progress('sending again on every connection');
  return await secondRound(stage, client);
}

type TransferPlot = Extract<Scenario['plot'], { kind: 'transfer' }>;

export async function performTransfer(stage: Stage, plot: TransferPlot): Promise<Performance> {
  const everyMs = plot.everyMs(stage.scenario.timeouts);
  const { client, balancers } = await firstRound(stage, { path: `/${everyMs}/${plot.pieces}` });
  stage.progress(`the servers send a piece every ${everyMs / 1000} s, ${plot.pieces} in all`);
  const done = secondRound(stage, client);
  await Promise.all([done, plot.disaster === null ? undefined : strike(stage, plot.disaster, balancers)]);
  return await done;
}

/** More than a path takes in one packet: the second request of each connection. */
export async function performUpload(stage: Stage, bytes: number): Promise<Performance> {
  const { client } = await firstRound(stage, { path: '/', uploadBytes: bytes });
  stage.progress(`sending ${bytes} bytes on every connection`);
  return { ...(await secondRound(stage, client)), upload: { bytes } };
}

async function strike(stage: Stage, disaster: 'restart' | 'failover', [victim]: readonly HostProcess[]): Promise<void> {
  await pause(DISASTER_AFTER_MS, stage.signal);
  stage.progress('the balancer is killed');
  await victim.kill();
  if (disaster === 'restart') {
    await startOneBalancer(stage, stage.balancers[0]);
  } else {
    // What BGP does when a balancer's session is gone.
    replaceRoute(stage.network, 'router', vipRoute(addressesIn(stage), stage.balancers.slice(1)));
  }
}

interface Cast {
  readonly client: HostProcess;
  readonly balancers: readonly HostProcess[];
  /** By backend. */
  readonly servers: ReadonlyMap<string, HostProcess>;
}

/**
 * Starts everyone; returns when each connection has had its first answer. The last balancer's table is watched. The
 * balancers know all backends unless told otherwise.
 */
export async function firstRound(
  stage: Stage,
  errand: ClientErrand,
  configured?: readonly ConfiguredBackend[],
): Promise<Cast> {
  const { backends, balancers: names, connections, signal } = stage;
  stage.progress(`starting ${backends.length} backends and ${names.length === 1 ? 'the balancer' : 'the balancers'}`);
  const [balancers, servers] = await Promise.all([
    Promise.all(names.map((name) => startOneBalancer(stage, name, configured))),
    startBackends(stage),
  ]);
  await startProbe(stage, names[names.length - 1]);
  stage.progress(`opening ${connections} connections`);
  const client = startClient(stage, errand);
  await client.waitForLine((line) => isEvent(line, 'idle'), ROUND_PATIENCE_MS, signal);
  return { client, balancers, servers };
}

export async function secondRound(stage: Stage, client: HostProcess): Promise<Performance> {
  const secondRoundMs = Date.now();
  client.write('again');
  const patienceMs = ROUND_PATIENCE_MS + clientPatienceMs(stage.scenario);
  await client.waitForLine((line) => isEvent(line, 'done'), patienceMs, stage.signal);
  return { secondRoundMs, requests: 0 };
}

/** For as long as the scenario says, and until the probe has seen an empty table. */
async function stayIdle({ scenario, samples, progress, signal }: Stage): Promise<void> {
  const start = performance.now();
  const longEnoughMs = silenceMs(scenario.timeouts);
  for (;;) {
    const idleMs = performance.now() - start;
    const entries = samples.at(-1)?.entries ?? 0;
    if (idleMs >= longEnoughMs && entries === 0) return;
    if (idleMs >= longEnoughMs + EMPTYING_PATIENCE_MS) return;
    progress(`idle for ${(idleMs / 1000).toFixed(1)} s, the balancer's table holds ${entries}`);
    await pause(PROBE_INTERVAL_MS, signal);
  }
}
