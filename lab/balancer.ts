/**
 * The balancer as a user would run it: a YAML file and `hushlb run -c FILE` in the balancer's namespace, and SIGHUP when
 * the file has changed.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { type Addresses, IPV4 } from './addresses.ts';
import { LabError } from './errors.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from './processes.ts';
import { DNS_PORT, VIP_PORT } from './topology.ts';

export const METRICS_ADDRESS = '127.0.0.1:9108';

/** What scenarios vary of the balancer. */
export interface BalancerSettings {
  readonly mode: 'stateless' | 'stateful';
  readonly scheduler: 'maglev' | 'round-robin';
  /** Unless as the mode has it. */
  readonly onMiss?: 'drop';
  /** False: without a connection table. */
  readonly conntrack?: false;
  readonly idleTimeoutMs: number;
  /** Unless as hushlb has it by itself. */
  readonly io?: 'af-xdp' | 'af-packet' | 'portable' | 'auto';
  /** Unless IPIP. */
  readonly encap?: Encap;
  /** Unless as hushlb has it by itself. */
  readonly mssClamp?: 'auto';
  /** Unless TCP: DNS. */
  readonly protocol?: 'udp';
  /** Of the port, many times a second. */
  readonly healthChecks?: true;
}

export type Encap = 'ipip' | 'l2' | 'gue' | 'gre';

/** The same for all of its services. */
export type BalancerBehaviour = Omit<BalancerSettings, 'idleTimeoutMs'>;

export interface ServiceSettings {
  readonly name: string;
  /** Of the VIP. */
  readonly port: number;
  readonly idleTimeoutMs: number;
  /** Entries of its connection table, unless as hushlb has it. */
  readonly capacity?: number;
}

export interface ConfiguredBackend {
  readonly name: string;
  /** Unless it is active. */
  readonly state?: 'draining';
}

export interface BalancerOptions {
  /** Of its host: 'lb'. */
  readonly name: string;
  readonly namespace: string;
  /** Its file, as `balancerConfiguration` writes it. */
  readonly configuration: string;
  readonly directory: string;
  readonly onUnexpectedEnd: (error: LabError) => void;
}

const READY_PATIENCE_MS = 30_000;

export function startBalancer(options: BalancerOptions): HostProcess {
  const file = balancerFile(options);
  writeFileSync(file, withSocket(options));
  return startProcess({
    name: options.name === 'lb' ? 'the balancer' : `the balancer ${options.name}`,
    namespace: options.namespace,
    command: [process.execPath, HUSHLB, 'run', '-c', file],
    onUnexpectedEnd: options.onUnexpectedEnd,
  });
}

/** Resolves when it forwards. Rejects with a LabError or the signal's reason. */
export async function balancerReady(balancer: HostProcess, signal: AbortSignal): Promise<void> {
  await balancer.waitForLine((line) => logMessage(line) === 'ready', READY_PATIENCE_MS, signal);
}

/**
 * Gives a running one another configuration: its file replaced as a whole, then SIGHUP. Resolves when its workers have taken
 * it over. Rejects with a LabError where it refuses, or the signal's reason.
 */
export async function reloadBalancer(
  balancer: HostProcess,
  options: ReloadOptions,
  signal: AbortSignal,
): Promise<void> {
  const file = balancerFile(options);
  writeFileSync(`${file}.new`, withSocket(options));
  renameSync(`${file}.new`, file);
  balancer.hangUp();
  const isAnswer = (line: string): boolean => /^reload(ed|.* refused)/.test(logMessage(line) ?? '');
  const answer = await balancer.waitForLine(isAnswer, READY_PATIENCE_MS, signal);
  if (logMessage(answer) === 'reloaded') return;
  const { msg, problem } = JSON.parse(answer) as { msg: string; problem?: string };
  const why = problem === undefined ? '' : `: ${problem}`;
  throw new LabError('LAB_PROCESS', `${balancer.name} did not reload: ${msg}${why}`);
}

type ReloadOptions = Pick<BalancerOptions, 'name' | 'directory' | 'configuration'>;

/** Namespaces share a file system: two balancers, whose interfaces have one name, would have one admin socket. */
function withSocket({ directory, name, configuration }: ReloadOptions): string {
  return `${stringify({ admin: { socket: `${directory}/${name}.sock` } })}${configuration}`;
}

function balancerFile({ directory, name }: Pick<BalancerOptions, 'directory' | 'name'>): string {
  return `${directory}/${name}.yaml`;
}

/** The configuration file of a scenario's balancer. */
export function balancerConfiguration(
  settings: BalancerSettings,
  backends: readonly ConfiguredBackend[],
  addresses: Addresses = IPV4,
): string {
  const { idleTimeoutMs: _, ...behaviour } = settings;
  return servicesConfiguration(behaviour, [serviceOf(settings)], backends, addresses);
}

function serviceOf({ protocol, idleTimeoutMs }: BalancerSettings): ServiceSettings {
  return protocol === 'udp'
    ? { name: 'dns', port: DNS_PORT, idleTimeoutMs }
    : { name: 'web', port: VIP_PORT, idleTimeoutMs };
}

/** The timeout is long, because the machine may be busy; a refusal comes at once. */
const OFTEN = { check: 'tcp', interval: '100ms', timeout: '5s', fall: 2, grace: '1ms' };

/** One with several services on the VIP, which have everything in common but their ports and idle timeouts. */
export function servicesConfiguration(
  { io, mode, scheduler, onMiss, conntrack, encap = 'ipip', mssClamp, protocol, healthChecks }: BalancerBehaviour,
  services: readonly ServiceSettings[],
  backends: readonly ConfiguredBackend[],
  { vip, backend }: Addresses = IPV4,
): string {
  // Keys without a value are left out.
  return stringify({
    interface: 'eth0',
    io,
    mode,
    metrics: { listen: METRICS_ADDRESS },
    services: services.map(({ name, port, idleTimeoutMs, capacity }) => ({
      name,
      vip,
      protocol,
      port,
      scheduler,
      onMiss,
      conntrack: conntrack === false ? { enabled: false } : { idleTimeout: `${idleTimeoutMs}ms`, capacity },
      encap,
      mssClamp,
      health: healthChecks && OFTEN,
      backends: backends.map((each) => ({ ...each, address: backend(each.name) })),
    })),
  });
}
