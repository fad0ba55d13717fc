/**
 * Layer-7 balancers in hushlb's place: HAProxy and nginx, each with connections to the servers that it keeps and uses
 * again, and an idle timeout for these. lab/sessions.ts starts one, the matrix writes nginx another configuration.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { type Addresses, hostPort } from './addresses.ts';
import { waitForListener } from './backends.ts';
import { httpBlock, type NginxSettings, writeNginx } from './nginx.ts';
import { startProcess } from './processes.ts';
import { findProgram } from './programs.ts';
import { addressesIn, type Stage } from './stage.ts';
import { VIP_PORT } from './topology.ts';

type Proxy = 'haproxy' | 'nginx';

const PROXY_HOST = 'lb';
const HOUR_MS = 3_600_000;

/** Resolves when it listens on the balancer's own address. */
export async function startProxy(stage: Stage, kind: Proxy): Promise<void> {
  const directory = `${stage.directory}/proxy`;
  const idleMs = stage.scenario.timeouts.balancer;
  const command =
    kind === 'haproxy' ? writeHaproxy(stage, directory, idleMs) : writeNginxProxy(stage, directory, idleMs);
  const name = `${kind === 'haproxy' ? 'HAProxy' : 'nginx'} on the balancer`;
  const namespace = stage.network.namespace(PROXY_HOST);
  const { onUnexpectedEnd, signal } = stage;
  stage.started(startProcess({ name, namespace, command, onUnexpectedEnd }));
  await waitForListener(namespace, VIP_PORT, name, signal);
}

function writeNginxProxy(stage: Stage, directory: string, idleMs: number): string[] {
  const site = { port: VIP_PORT, serverPort: VIP_PORT, clientIdleMs: HOUR_MS, serverIdleMs: idleMs };
  return writeNginx(nginxProxySettings(stage.backends, [site], directory, addressesIn(stage)));
}

function writeHaproxy(stage: Stage, directory: string, idleMs: number): string[] {
  const file = `${directory}/haproxy.conf`;
  mkdirSync(directory);
  writeFileSync(file, haproxyConfiguration(stage.backends, idleMs, addressesIn(stage)));
  return [findProgram('haproxy') ?? 'haproxy', '-db', '-f', file];
}

/** `http-reuse always`: the connections to the servers are shared. Its purge of idle ones is its idle timeout. */
function haproxyConfiguration(backends: readonly string[], idleMs: number, { backend, family }: Addresses): string {
  const servers = backends.map(
    (name) => `  server ${name} ${hostPort(backend(name), VIP_PORT)} pool-purge-delay ${idleMs}ms`,
  );
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend web
  bind ${family === 6 ? '[::]' : ''}:${VIP_PORT}
  default_backend servers
backend servers
  http-reuse always
  retries 0
${servers.join('\n')}
`;
}

/** Where nginx listens as a balancer, and what it does with connections that idle, in milliseconds. */
export interface ProxySite {
  readonly port: number;
  /** The port of the servers behind it. */
  readonly serverPort: number;
  readonly clientIdleMs: number;
  readonly serverIdleMs: number;
}

/** A POST is not sent a second time, which is nginx' default; `max_fails=0`: a failed server stays in use. */
export function nginxProxySettings(
  backends: readonly string[],
  sites: readonly ProxySite[],
  directory: string,
  addresses: Addresses,
): NginxSettings {
  const lines = sites.map((site) => proxySite(site, backends, addresses));
  return { directory, errors: 'crit', blocks: [httpBlock(directory, lines)] };
}

/** Each with a pool of its own. */
function proxySite(site: ProxySite, backends: readonly string[], { backend, family }: Addresses): string {
  const { port, serverPort, clientIdleMs, serverIdleMs } = site;
  const servers = backends.map((name) => `    server ${hostPort(backend(name), serverPort)} max_fails=0;`);
  return `  upstream servers-${port} {
${servers.join('\n')}
    keepalive 1000;
    keepalive_requests 1000000;
    keepalive_timeout ${serverIdleMs}ms;
  }
  server {
    listen ${family === 6 ? '[::]:' : ''}${port};
    keepalive_timeout ${clientIdleMs}ms;
    location / {
      proxy_pass http://servers-${port};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }`;
}
