/**
 * The balancer as a user would run it: a YAML file and `hushlb run -c FILE` in the balancer's namespace.
 */
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { LabError } from './errors.ts';
import { type HostProcess, HUSHLB, logMessage, startProcess } from './processes.ts';
import { backendAddress, VIP, VIP_PORT } from './topology.ts';

export const METRICS_ADDRESS = '127.0.0.1:9108';

/** What scenarios vary of the balancer. */
export interface BalancerSettings {
  readonly mode: 'stateless' | 'stateful';
  readonly scheduler: 'maglev' | 'round-robin';
  /** Unless as the mode has it. */
  readonly onMiss?: 'drop';
  readonly idleTimeoutMs: number;
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

const READY_PATIENCE_MS = 10_000;

export function startBalancer(options: BalancerOptions): HostProcess {
  const file = `${options.directory}/${options.name}.yaml`;
  writeFileSync(file, options.configuration);
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

/** The configuration file of a scenario's balancer. */
export function balancerConfiguration(settings: BalancerSettings, backends: readonly string[]): string {
  return stringify({
    interface: 'eth0',
    mode: settings.mode,
    metrics: { listen: METRICS_ADDRESS },
    services: [
      {
        name: 'web',
        vip: VIP,
        port: VIP_PORT,
        scheduler: settings.scheduler,
        ...(settings.onMiss === undefined ? {} : { onMiss: settings.onMiss }),
        conntrack: { idleTimeout: `${settings.idleTimeoutMs}ms` },
        encap: 'ipip',
        backends: backends.map((name) => ({ name, address: backendAddress(name) })),
      },
    ],
  });
}
