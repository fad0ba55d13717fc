/**
 * The HTTP end of the metrics: GET /metrics for Prometheus, GET /healthz for whoever asks whether the process lives.
 * The daemon starts it when the configuration says `metrics: { listen: … }`.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface MetricsServer {
  /** As bound: port 0 in the request is a free one here. */
  readonly host: string;
  readonly port: number;
  /** Ends open connections too, idle keep-alive ones of scrapers among them. */
  close(): Promise<void>;
}

/** The address of `metrics.listen` cannot be had; `cause` is Node's error. */
export class MetricsListenError extends Error {
  override readonly name = 'MetricsListenError';
  readonly code = 'METRICS_LISTEN';
}

const REMEDIES: Record<string, string> = {
  EADDRINUSE: 'is in use by another process: choose another port, or set metrics: false',
  EACCES: 'needs root: choose a port from 1024 on',
  EADDRNOTAVAIL: 'is not an address of this host',
  ENOTFOUND: 'has a host name that cannot be resolved: write an IP address',
  EAI_AGAIN: 'has a host name that cannot be resolved: write an IP address',
  EAFNOSUPPORT: 'is of an address family that this host does not have',
};

/** Listens and serves `registry`. Throws MetricsListenError. */
export async function startMetricsServer(
  registry: Registry,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<MetricsServer> {
  const server = createServer((request, response) => void answer(registry, request, response));
  try {
    await once(server.listen(port, host), 'listening');
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const remedy = REMEDIES[code] ?? `cannot be listened on (${code})`;
    throw new MetricsListenError(`metrics.listen: ${address} ${remedy}`, { cause });
  }
  const bound = server.address() as AddressInfo;
  return {
    host: bound.address,
    port: bound.port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(registry: Registry, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path] = (request.url ?? '').split('?', 1);
  if (path !== '/metrics' && path !== '/healthz') return end(response, 404, 'not found: try /metrics or /healthz\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return end(response, 405, 'only GET and HEAD\n');
  }
  if (path === '/healthz') return end(response, 200, 'ok\n');
  try {
    const text = await registry.metrics();
    response.setHeader('Content-Type', registry.contentType);
    end(response, 200, text);
  } catch (error) {
    end(response, 500, `metrics could not be collected: ${(error as Error).message}\n`);
  }
}

/** A HEAD response's body is dropped by Node. */
function end(response: ServerResponse, status: number, body: string): void {
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.statusCode = status;
  response.end(body);
}
