/**
 * What runs on a backend: the program that takes the balancer's tunnel off, and a web server that closes
 * connections which were idle for too long and signs its answers. nginx where it is installed, an HTTP server of Node
 * otherwise, and where a scenario needs answers that come in pieces.
 */
import { existsSync, readFileSync } from 'node:fs';
import { inNamespace } from '../io/namespace.ts';
import { addressesOf, type Family } from './addresses.ts';
import type { Encap } from './balancer.ts';
import { WHO } from './dns-message.ts';
import { LabError } from './errors.ts';
import { httpBlock, type NginxSettings, writeNginx } from './nginx.ts';
import { type HostProcess, HUSHLB, labProgram, logMessage, pause, startProcess } from './processes.ts';
import { findProgram } from './programs.ts';

/** Where a web server listens, and after what time it closes connections there that idle: an hour unless it matters. */
export interface Site {
  readonly port: number;
  readonly idleTimeoutMs?: number;
}

export interface BackendOptions extends Site {
  readonly name: string;
  readonly namespace: string;
  readonly furtherSites?: readonly Site[];
  /** What this machine has, unless it matters. */
  readonly webServer?: WebServer;
  /** IPv4 unless it is said. */
  readonly family?: Family;
  /** IPIP unless it is said; null where packets come from no hushlb. */
  readonly encap?: Encap | null;
  /** Announces what fits through the tunnel. */
  readonly clampsMss?: boolean;
  /** For configurations and logs. */
  readonly directory: string;
  readonly onUnexpectedEnd: (error: LabError) => void;
  /** Takes over what is to be stopped, as soon as it was started. */
  readonly started: (process: HostProcess) => void;
}

/** dnsmasq serves names, over UDP. */
export type WebServer = 'nginx' | 'node' | 'dnsmasq';

const READY_PATIENCE_MS = 30_000;
const HOUR_MS = 3_600_000;

/** Starts both programs and resolves when the backend serves. Rejects with a LabError or the signal's reason. */
export async function startBackend(options: BackendOptions, signal: AbortSignal): Promise<void> {
  const { name, namespace, encap = 'ipip', clampsMss = false, onUnexpectedEnd, started } = options;
  const web = startProcess({ ...webServer(options), namespace, onUnexpectedEnd });
  started(web);
  // Without a tunnel the kernel takes packets as they are.
  if (encap !== null && encap !== 'l2') {
    const clamp = clampsMss ? ['--mss-clamp', 'auto'] : [];
    const decap = startProcess({
      name: `hushlb decap on ${name}`,
      namespace,
      command: [process.execPath, HUSHLB, 'decap', '--interface', 'eth0', '--encap', encap, ...clamp],
      onUnexpectedEnd,
    });
    started(decap);
    await decap.waitForLine((line) => logMessage(line) === 'ready', READY_PATIENCE_MS, signal);
  }
  for (const { port } of sitesOf(options)) await waitForListener(namespace, port, web.name, signal);
}

/** The web server that this machine's backends run unless a scenario says otherwise. */
export function webServerKind(): WebServer {
  return findProgram('nginx') === undefined ? 'node' : 'nginx';
}

function webServer(options: BackendOptions): { name: string; command: string[] } {
  const { name, directory } = options;
  if (options.webServer === 'dnsmasq') return { name: `dnsmasq on ${name}`, command: dnsmasq(options) };
  if (options.webServer === 'node' || webServerKind() === 'node') {
    const words = sitesOf(options).flatMap(({ port, idleTimeoutMs }) => [
      ...['--port', String(port)],
      ...['--idle', String(idleTimeoutMs)],
    ]);
    const command = [
      process.execPath,
      labProgram('http-server'),
      '--name',
      name,
      '--family',
      String(options.family ?? 4),
      ...words,
    ];
    return { name: `the HTTP server on ${name}`, command };
  }
  return { name: `nginx on ${name}`, command: writeNginx(nginxSettings(options, `${directory}/${name}`)) };
}

/** Answers for one name, and from the VIP. It listens on TCP as well. */
function dnsmasq({ name, family = 4, port }: BackendOptions): string[] {
  const [keepInForeground, logToStderr, noFiles] = ['-k', '--log-facility=-', ['-C', '/dev/null', '-R', '-h']];
  return [
    ...[findProgram('dnsmasq') ?? 'dnsmasq', keepInForeground, logToStderr, ...noFiles, '--pid-file=', '--user=root'],
    ...[`--port=${port}`, '--bind-interfaces', `--listen-address=${addressesOf(family).vip}`],
    `--txt-record=${WHO},${name}`,
  ];
}

function sitesOf({ port, idleTimeoutMs = HOUR_MS, furtherSites = [] }: BackendOptions): Required<Site>[] {
  return [{ port, idleTimeoutMs }, ...furtherSites.map((site) => ({ idleTimeoutMs: HOUR_MS, ...site }))];
}

function nginxSettings(options: BackendOptions, directory: string): NginxSettings {
  const { name, family } = options;
  const anywhere = family === 6 ? '[::]:' : '';
  const servers = sitesOf(options).map(
    ({ port, idleTimeoutMs }) => `  server {
    listen ${anywhere}${port};
    keepalive_timeout ${idleTimeoutMs}ms;
    location / {
      add_header X-Backend ${name};
      return 200 "${name}\\n";
    }
  }`,
  );
  return { directory, blocks: [httpBlock(directory, ['  default_type text/plain;', ...servers])] };
}

/** Waits until something listens on TCP `port` there; /proc/net/tcp and tcp6 show the namespace of who reads them. */
export async function waitForListener(
  namespace: string,
  port: number,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  // Columns: number, local address:port in hex, remote, state (0A is LISTEN).
  const listening = new RegExp(`^ *\\d+: [0-9A-F]+:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 0A `, 'm');
  const deadline = performance.now() + READY_PATIENCE_MS;
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].filter((path) => existsSync(path));
  const listens = () =>
    inNamespace(namespace, () => tables.some((path) => listening.test(readFileSync(path, 'latin1'))));
  while (!listens()) {
    if (performance.now() > deadline) throw new LabError('LAB_TIMEOUT', `${name} does not listen on port ${port}`);
    await pause(20, signal);
  }
}
