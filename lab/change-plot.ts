/**
 * The plot of a change: while every connection is open and remembered, the running balancer's configuration file is
 * rewritten and SIGHUP sent, or a backend's server is killed; then new connections are opened, and the client sends again
 * on the old ones.
 * lab/experiment.ts calls it.
 */
import { writeFileSync } from 'node:fs';
import { balancerConfiguration, type ConfiguredBackend, reloadBalancer } from './balancer.ts';
import { type ChangeEvidence, describeChange, lineUpOf } from './change.ts';
import { compareTables, type LookupTable, readLookupTable } from './lookup-tables.ts';
import { firstRound, type Performance, secondRound } from './plots.ts';
import { type HostProcess, logMessage, pause } from './processes.ts';
import type { BackendChange } from './scenario.ts';
import { addressesIn, balancerSettings, PROBE_INTERVAL_MS, type Stage } from './stage.ts';

/** A table that does not hold every connection this long after its first answer is a finding, and nothing to wait for. */
const FILLING_PATIENCE_MS = 2000;
const VERDICT_PATIENCE_MS = 30_000;

export async function performChange(stage: Stage, change: BackendChange): Promise<Performance> {
  const { connections, directory, signal, progress } = stage;
  const { backend, before, after } = lineUpOf(change, stage.backends);
  const errand = { path: '/', newConnections: connections };
  // The prediction is made before there is anything to see.
  const [slots, { client, balancers, servers }] = await Promise.all([
    predict(stage, before, after),
    firstRound(stage, errand, before),
  ]);
  await allRemembered(stage);
  progress(describeChange({ backend, change }));
  let timeMs: number | undefined;
  if (change === 'died') {
    await servers.get(backend)?.kill();
    timeMs = Date.now();
    if (stage.scenario.balancer?.healthChecks === true) await foundDown(balancers[0], signal);
  } else {
    const [name] = stage.balancers;
    const configuration = balancerConfiguration(balancerSettings(stage), after, addressesIn(stage));
    await reloadBalancer(balancers[0], { name, directory, configuration }, signal);
  }
  const evidence: ChangeEvidence = { change, backend, timeMs: timeMs ?? Date.now(), slots };
  progress(`opening ${connections} new connections, then sending again on the old ones`);
  return { ...(await secondRound(stage, client)), change: evidence };
}

/** Resolves when the balancer says so: from then on it keeps its promise. */
async function foundDown(balancer: HostProcess, signal: AbortSignal): Promise<void> {
  await balancer.waitForLine((line) => logMessage(line) === 'backend down', VERDICT_PATIENCE_MS, signal);
}

async function predict(
  stage: Stage,
  before: readonly ConfiguredBackend[],
  after: readonly ConfiguredBackend[],
): Promise<ChangeEvidence['slots']> {
  const tableOf = (when: string, backends: readonly ConfiguredBackend[]): Promise<LookupTable> => {
    const file = `${stage.directory}/${when}.yaml`;
    writeFileSync(file, balancerConfiguration(balancerSettings(stage), backends, addressesIn(stage)));
    return readLookupTable(stage, stage.balancers[0], file);
  };
  const tables = await Promise.all([tableOf('before', before), tableOf('after', after)]);
  return compareTables(...tables);
}

/** Until the probe has seen an entry for each connection; a balancer without a table has nothing to wait for. */
async function allRemembered({ scenario, connections, samples, signal }: Stage): Promise<void> {
  if (scenario.balancer?.conntrack === false) return;
  const deadline = performance.now() + FILLING_PATIENCE_MS;
  while ((samples.at(-1)?.entries ?? 0) < connections && performance.now() < deadline) {
    await pause(PROBE_INTERVAL_MS, signal);
  }
}
