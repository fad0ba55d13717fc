/**
 * The plot of clients that send again and again, close to a server's idle timeout: real sessions of Python's requests,
 * straight to a server or to a layer-7 balancer. lab/experiment.ts calls it.
 */
import { writeFileSync } from 'node:fs';
import { bracketed } from './addresses.ts';
import type { Performance } from './plots.ts';
import { type HostProcess, startProcess } from './processes.ts';
import { startProxy } from './proxies.ts';
import { PYTHON, REQUESTS_CLIENT, type SessionSettings } from './requests-client.ts';
import type { Scenario } from './scenario.ts';
import {
  addressesIn,
  collectReport,
  isEvent,
  ROUND_PATIENCE_MS,
  type Stage,
  startBackends,
  startLabProgram,
} from './stage.ts';
import { LONG_CABLE } from './topology.ts';

type SessionsPlot = Extract<Scenario['plot'], { kind: 'sessions' }>;

export async function performSessions(stage: Stage, plot: SessionsPlot): Promise<Performance> {
  const { scenario, connections, seed, backends, signal } = stage;
  const { requests, least, most, delayMs } = plot.pace;
  stage.progress(`starting ${backends.length === 1 ? 'the server' : 'servers and balancer'}`);
  const cable = startLabProgram(stage, {
    name: 'the long cable',
    host: LONG_CABLE.host,
    program: 'long-cable',
    settings: { near: LONG_CABLE.near, far: LONG_CABLE.far, delay: delayMs },
  });
  await Promise.all([
    cable.waitForLine((line) => line === 'ready', ROUND_PATIENCE_MS, signal),
    startBackends(stage),
    scenario.proxy === undefined ? undefined : startProxy(stage, scenario.proxy),
  ]);

  const aroundMs = plot.pace.aroundMs(scenario.timeouts);
  const addresses = addressesIn(stage);
  const target = scenario.proxy === undefined ? addresses.backend(backends[0]) : addresses.balancer('lb');
  const client = startRequestsClient(stage, {
    url: `http://${bracketed(target)}/`,
    method: plot.method,
    sessions: connections,
    requests,
    low: aroundMs - most,
    high: aroundMs - least,
    together: plot.together,
    idle: scenario.timeouts.client,
    seed,
  });
  stage.progress(`${connections} sessions send ${requests} times each, about every ${aroundMs / 1000} s`);
  const patienceMs = aroundMs * requests + ROUND_PATIENCE_MS;
  const done = await client.waitForLine((line) => isEvent(line, 'done'), patienceMs, signal);
  const { requests: sent } = JSON.parse(done) as { requests: number };
  return { secondRoundMs: 0, requests: sent };
}

function startRequestsClient(stage: Stage, settings: SessionSettings): HostProcess {
  const file = `${stage.directory}/client.py`;
  writeFileSync(file, REQUESTS_CLIENT);
  const client = startProcess({
    name: 'the client',
    namespace: stage.network.namespace('client'),
    command: [PYTHON, file, JSON.stringify(settings)],
    onLine: (line) => collectReport(stage, line),
    onUnexpectedEnd: stage.onUnexpectedEnd,
  });
  stage.started(client);
  return client;
}
