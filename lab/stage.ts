/**
 * What a plot finds when the curtain rises, and the parts it can put on: backends, balancers, the probe, the client.
 * lab/experiment.ts makes the stage, lab/plots.ts acts on it.
 */
import { type Addresses, addressesOf } from './addresses.ts';
import { startBackend, webServerKind } from './backends.ts';
import {
  type BalancerSettings,
  balancerConfiguration,
  balancerReady,
  type ConfiguredBackend,
  METRICS_ADDRESS,
  startBalancer,
} from './balancer.ts';
import type { LabError } from './errors.ts';
import type { ClientReport, ExchangeReport } from './keepalive-client.ts';
import type { Network } from './network.ts';
import { type HostProcess, labProgram, startProcess } from './processes.ts';
import { answerMs, type Scenario } from './scenario.ts';
import type { TableSample } from './table-probe.ts';
import { DNS_PORT, VIP_PORT } from './topology.ts';

export interface Stage {
  readonly scenario: Scenario;
  readonly connections: number;
  readonly backends: readonly string[];
  /** Hosts that run hushlb. */
  readonly balancers: readonly string[];
  readonly seed: number;
  readonly network: Network;
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly progress: (what: string) => void;
  readonly started: (process: HostProcess) => void;
  readonly onUnexpectedEnd: (error: LabError) => void;
  /** Filled while the play goes on. */
  readonly samples: TableSample[];
  readonly reports: ExchangeReport[];
}

export const ROUND_PATIENCE_MS = 15_000;
export const PROBE_INTERVAL_MS = 100;

/** Resolves to the web servers by backend when all serve. */
export async function startBackends(stage: Stage): Promise<ReadonlyMap<string, HostProcess>> {
  const { scenario, network, directory, signal, onUnexpectedEnd } = stage;
  const servers = new Map<string, HostProcess>();
  await Promise.all(
    stage.backends.map((name) =>
      startBackend(
        {
          name,
          namespace: network.namespace(name),
          port: portOf(scenario),
          idleTimeoutMs: scenario.timeouts.server,
          webServer: scenario.webServer ?? webServerKind(),
          family: network.topology.family ?? 4,
          encap: stage.balancers.length > 0 ? (balancerSettings(stage).encap ?? 'ipip') : null,
          clampsMss: scenario.plot.kind === 'upload' && scenario.plot.announcedBy === 'decap',
          directory,
          onUnexpectedEnd,
          started(program) {
            // The server is the first that a backend starts.
            if (!servers.has(name)) servers.set(name, program);
            stage.started(program);
          },
        },
        signal,
      ),
    ),
  );
  return servers;
}

export function addressesIn({ network }: Pick<Stage, 'network'>): Addresses {
  return addressesOf(network.topology.family ?? 4);
}

/** Of the scenario's hushlb. */
export function balancerSettings({ scenario }: Pick<Stage, 'scenario'>): BalancerSettings {
  if (scenario.balancer === null) throw new TypeError(`${scenario.name} has no balancer`);
  return { ...scenario.balancer, idleTimeoutMs: scenario.timeouts.balancer };
}

/** Resolves when it forwards, to all backends unless it is told otherwise. */
export async function startOneBalancer(
  stage: Stage,
  name: string,
  backends: readonly ConfiguredBackend[] = stage.backends.map((backend) => ({ name: backend })),
): Promise<HostProcess> {
  const { network, directory, signal, started, onUnexpectedEnd } = stage;
  const balancer = startBalancer({
    name,
    namespace: network.namespace(name),
    configuration: balancerConfiguration(balancerSettings(stage), backends, addressesIn(stage)),
    directory,
    onUnexpectedEnd,
  });
  started(balancer);
  await balancerReady(balancer, signal);
  return balancer;
}

/** Reads the table of the balancer on `host` until the end of the run. */
export async function startProbe(stage: Stage, host: string): Promise<void> {
  const probe = startLabProgram(stage, {
    name: "the probe of the balancer's metrics",
    host,
    program: 'table-probe',
    settings: { url: `http://${METRICS_ADDRESS}/metrics`, interval: PROBE_INTERVAL_MS },
    onLine: (line) => {
      if (line.startsWith('{')) stage.samples.push(JSON.parse(line) as TableSample);
    },
  });
  await probe.waitForLine((line) => line.startsWith('{'), ROUND_PATIENCE_MS, stage.signal);
}

export interface ClientErrand {
  /** What it asks for in its second round. */
  readonly path: string;
  /** Connections that it opens before its second round. */
  readonly newConnections?: number;
  /** What it sends with its second request, which is a POST then. */
  readonly uploadBytes?: number;
}

/** For how long the client waits for an answer. */
export function clientPatienceMs(scenario: Pick<Scenario, 'plot' | 'timeouts' | 'patienceMs'>): number {
  return scenario.patienceMs + answerMs(scenario);
}

function portOf({ balancer }: Scenario): number {
  return balancer?.protocol === 'udp' ? DNS_PORT : VIP_PORT;
}

export function startClient(stage: Stage, { path, newConnections = 0, uploadBytes = 0 }: ClientErrand): HostProcess {
  const { connections, seed, scenario } = stage;
  const settings = {
    host: addressesIn(stage).vip,
    port: portOf(scenario),
    connections,
    seed,
    patience: clientPatienceMs(scenario),
  };
  const ofHttp = {
    idle: scenario.timeouts.client,
    path,
    new: newConnections,
    upload: uploadBytes,
  };
  const onLine = (line: string): void => collectReport(stage, line);
  const client =
    portOf(scenario) === DNS_PORT
      ? { program: 'dns-client', settings }
      : { program: 'keepalive-client', settings: { ...settings, ...ofHttp } };
  return startLabProgram(stage, { name: 'the client', host: 'client', onLine, ...client });
}

export function collectReport(stage: Stage, line: string): void {
  const report = parseReport(line);
  if (report?.event === 'exchange') stage.reports.push(report);
}

export function parseReport(line: string): ClientReport | undefined {
  return line.startsWith('{') ? (JSON.parse(line) as ClientReport) : undefined;
}

export function isEvent(line: string, event: ClientReport['event']): boolean {
  return parseReport(line)?.event === event;
}

interface LabProgram {
  readonly name: string;
  readonly host: string;
  readonly program: string;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly onLine?: (line: string) => void;
}

export function startLabProgram(stage: Stage, { name, host, program, settings, onLine }: LabProgram): HostProcess {
  const started = startProcess({
    name,
    namespace: stage.network.namespace(host),
    command: [
      process.execPath,
      labProgram(program),
      ...Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]),
    ],
    ...(onLine === undefined ? {} : { onLine }),
    onUnexpectedEnd: stage.onUnexpectedEnd,
  });
  stage.started(started);
  return started;
}
