/**
 * What a row of the matrix is made of: its network, the servers with one port and one idle timeout for each cell, and
 * what stands between them and the client. lab/matrix-run.ts puts it together.
 */
import type { Addresses, Family } from './addresses.ts';
import { type Site, startBackend, type WebServer, waitForListener } from './backends.ts';
import { balancerReady, servicesConfiguration, startBalancer } from './balancer.ts';
import { atHost, atRouter, type CapturePoint } from './captures.ts';
import type { Roles } from './connections.ts';
import type { LabError } from './errors.ts';
import { CABLE_MS, ORDERINGS, timeoutsOf } from './matrix.ts';
import { startNat, withNatHost } from './matrix-nat.ts';
import { freshPortOf, portOf } from './matrix-plan.ts';
import type { Between, MatrixRow } from './matrix-rows.ts';
import type { Network } from './network.ts';
import { writeNginx } from './nginx.ts';
import { type HostProcess, labProgram, startProcess } from './processes.ts';
import { nginxProxySettings, type ProxySite } from './proxies.ts';
import { backendNames, LONG_CABLE, sharedLan, type Topology } from './topology.ts';

/** Where a row is run. */
export interface RowStage {
  readonly row: MatrixRow;
  readonly backends: readonly string[];
  readonly network: Network;
  readonly addresses: Addresses;
  /** For configurations, the row's own. */
  readonly directory: string;
  readonly webServer: WebServer;
  readonly signal: AbortSignal;
  readonly started: (process: HostProcess) => void;
  readonly onUnexpectedEnd: (error: LabError) => void;
}

const BACKENDS = 3;
const BALANCER = 'lb';
const READY_PATIENCE_MS = 30_000;
/** Entries of each cell's table: ample. */
const CAPACITY = 4096;

/** Without a balancer all connections go to one server. */
export function backendsOf({ between }: MatrixRow): string[] {
  return backendNames(between.kind === 'nothing' ? 1 : BACKENDS);
}

/** The long cable is the client's; of a layer-7 balancer, its own, since there are races on both sides of it. */
export function topologyOf({ between }: MatrixRow, backends: readonly string[], family: Family): Topology {
  const layer4 = between.kind === 'hushlb' || between.kind === 'nft';
  const longCableOf = between.kind === 'nginx' ? BALANCER : 'client';
  const topology = sharedLan(backends.length, { balancers: layer4 ? [BALANCER] : [], longCableOf, family });
  return between.kind === 'nft' ? withNatHost(topology, BALANCER) : topology;
}

export function rolesOf({ row: { between }, addresses }: RowStage): Roles {
  return { client: 'client', clientAddress: addresses.client, balancer: between.kind === 'nothing' ? null : BALANCER };
}

export function capturePointsOf({ row: { between }, network, backends }: RowStage): CapturePoint[] {
  const balancer =
    between.kind === 'nothing'
      ? []
      : [between.kind === 'hushlb' ? atRouter(network, BALANCER) : atHost(network, BALANCER)];
  return [atHost(network, 'client'), ...balancer, ...backends.map((name) => atHost(network, name))];
}

/** Resolves when a client may come. Rejects with a LabError or the signal's reason. */
export async function startParts(stage: RowStage): Promise<void> {
  await Promise.all([
    startCable(stage),
    ...stage.backends.map((name) => startServer(stage, name)),
    startBetween(stage),
  ]);
}

async function startCable({ network, signal, started, onUnexpectedEnd }: RowStage): Promise<void> {
  const { host, near, far } = LONG_CABLE;
  const words = ['--near', near, '--far', far, '--delay', String(CABLE_MS)];
  const cable = startProcess({
    name: 'the long cable',
    namespace: network.namespace(host),
    command: [process.execPath, labProgram('long-cable'), ...words],
    onUnexpectedEnd,
  });
  started(cable);
  await cable.waitForLine((line) => line === 'ready', READY_PATIENCE_MS, signal);
}

function startServer(
  { row, network, addresses, directory, webServer, signal, ...rest }: RowStage,
  name: string,
): Promise<void> {
  const [first, ...furtherSites] = ORDERINGS.map(
    (ordering, cell): Site => ({ port: portOf(cell), idleTimeoutMs: timeoutsOf(ordering).server }),
  );
  const { family } = addresses;
  const encap = row.between.kind === 'hushlb' ? row.between.encap : null;
  const { started, onUnexpectedEnd } = rest;
  const where = { name, namespace: network.namespace(name), directory };
  return startBackend(
    {
      ...first,
      furtherSites,
      ...where,
      webServer,
      family,
      ...(encap === undefined ? {} : { encap }),
      started,
      onUnexpectedEnd,
    },
    signal,
  );
}

async function startBetween(stage: RowStage): Promise<void> {
  const { between } = stage.row;
  if (between.kind === 'hushlb') await startHushlb(stage, between);
  if (between.kind === 'nginx') await startProxy(stage, between);
  if (between.kind === 'nft') {
    startNat(stage.network.namespace(BALANCER), between, stage, `${stage.directory}/nat.nft`);
  }
}

async function startHushlb(stage: RowStage, between: Extract<Between, { kind: 'hushlb' }>): Promise<void> {
  const { network, addresses, directory, signal, started, onUnexpectedEnd } = stage;
  const services = ORDERINGS.map((ordering, cell) => ({
    name: `cell-${cell + 1}`,
    port: portOf(cell),
    idleTimeoutMs: timeoutsOf(ordering).balancer,
    capacity: CAPACITY,
  }));
  const backends = stage.backends.map((name) => ({ name }));
  const balancer = startBalancer({
    name: BALANCER,
    namespace: network.namespace(BALANCER),
    configuration: servicesConfiguration(between, services, backends, addresses),
    directory,
    onUnexpectedEnd,
  });
  started(balancer);
  await balancerReady(balancer, signal);
}

async function startProxy(stage: RowStage, { toServers }: Extract<Between, { kind: 'nginx' }>): Promise<void> {
  const { network, backends, signal, started, onUnexpectedEnd } = stage;
  const directory = `${stage.directory}/proxy`;
  const sites = ORDERINGS.flatMap((ordering, cell): ProxySite[] => {
    const { balancer, server } = timeoutsOf(ordering);
    const site = {
      serverPort: portOf(cell),
      clientIdleMs: balancer,
      serverIdleMs: toServers === 'half' ? server / 2 : server * 2,
    };
    return [portOf(cell), freshPortOf(cell)].map((port) => ({ ...site, port }));
  });
  const name = 'nginx on the balancer';
  const namespace = network.namespace(BALANCER);
  const command = writeNginx(nginxProxySettings(backends, sites, directory, stage.addresses));
  started(startProcess({ name, namespace, command, onUnexpectedEnd }));
  for (const { port } of sites) await waitForListener(namespace, port, name, signal);
}
