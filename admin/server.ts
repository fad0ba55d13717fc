/**
 * The admin API of a running balancer: HTTP with JSON on its Unix socket, on TCP too where the configuration asks for that.
 * Opened by cli/run.ts when packets flow, before the balancer is ready; closed first of all when it stops. On the main thread:
 * packets never wait for it.
 */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Logger } from 'pino';
import type { AdminConfig } from '../lb/config-admin.ts';
import type { ListenAddress } from '../lb/config-values.ts';
import type { ControlPlane } from '../lb/control-plane.ts';
import { VERSION } from '../lb/version.ts';
import { answer, type Door, VERSION_HEADER } from './answer.ts';
import { ROUTES } from './api.ts';
import { adminError, clearPlace, groupId, OWNER_ALONE, shareWithGroup } from './socket.ts';
import { readToken, type Token } from './token.ts';

export interface AdminServer {
  /** Where it listens, as people write it. */
  readonly places: string[];
  /** Ends what is under way, and removes the socket. */
  close(): Promise<void>;
}

/** Whole requests have to arrive within this. */
const REQUEST_PATIENCE_MS = 10_000;
/** Node looks for slow ones this often in that time. */
const LOOKS = 10;
const MOST_CONNECTIONS = 256;
/** For answers under way at the end. */
const END_PATIENCE_MS = 200;

/** Throws HushlbError ADMIN_LISTEN or ADMIN_TOKEN, and leaves nothing behind then. */
export async function openAdmin(
  control: ControlPlane,
  config: AdminConfig,
  logger: Logger,
  patienceMs = REQUEST_PATIENCE_MS,
): Promise<AdminServer> {
  const stop = new AbortController();
  const servers: Server[] = [];
  const close = async (): Promise<void> => {
    stop.abort();
    await Promise.all(servers.splice(0).map(closeServer));
  };
  const serve = (door: Door): Server => {
    const context = { routes: ROUTES, control, door, logger, stop: stop.signal };
    return createAdminServer(patienceMs, (request, response) => void answer(request, response, context));
  };
  try {
    const token = config.tcp && readToken(config.tcp.tokenFile);
    const gid = config.group === null ? null : groupId(config.group);
    await clearPlace(config.socket);
    await listenOnSocket(serve(SOCKET_DOOR), servers, config.socket, gid);
    const places = [config.socket];
    if (config.tcp !== null && token !== null) {
      places.push(await listenOnTcp(serve(tcpDoor(token)), servers, config.tcp.listen));
    }
    return { places, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const SOCKET_DOOR: Door = { nameOf: () => 'admin socket', admits: () => true };

function tcpDoor(token: Token): Door {
  return {
    nameOf: ({ socket }) => `admin ${socket.remoteAddress}`,
    admits: ({ headers }) => token.admits(headers.authorization),
  };
}

function createAdminServer(patienceMs: number, listener: RequestListener): Server {
  const timeouts = {
    requestTimeout: patienceMs,
    headersTimeout: patienceMs,
    connectionsCheckingInterval: Math.ceil(patienceMs / LOOKS),
  };
  const server = createServer(timeouts, listener);
  server.maxConnections = MOST_CONNECTIONS;
  server.on('clientError', refuseGarbage);
  return server;
}

/** What is no HTTP, or comes too slowly, is nobody's request yet. */
function refuseGarbage(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const [status, message] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'the request took too long to arrive']
      : ['400 Bad Request', 'expected HTTP'];
  const body = `${JSON.stringify({ error: { code: 'BAD_REQUEST', message } })}\n`;
  const whose = `${VERSION_HEADER}: ${VERSION}`;
  const headers = `${whose}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close`;
  socket.end(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${body}`);
}

async function listenOnSocket(server: Server, servers: Server[], path: string, gid: number | null): Promise<void> {
  // Node binds before `listen` returns.
  const before = process.umask(OWNER_ALONE);
  try {
    server.listen(path);
  } finally {
    process.umask(before);
  }
  try {
    await once(server, 'listening');
    servers.push(server);
    if (gid !== null) shareWithGroup(path, gid);
  } catch (error) {
    throw adminError(`admin.socket: ${path} ${remedyOf(error)}`);
  }
}

async function listenOnTcp(server: Server, servers: Server[], { host, port }: ListenAddress): Promise<string> {
  const textOf = (address: string, number: number) =>
    address.includes(':') ? `[${address}]:${number}` : `${address}:${number}`;
  try {
    await once(server.listen(port, host), 'listening');
    servers.push(server);
  } catch (error) {
    throw adminError(`admin.listen: ${textOf(host, port)} ${remedyOf(error)}`);
  }
  const bound = server.address() as AddressInfo;
  return textOf(bound.address, bound.port);
}

const REMEDIES: Record<string, string> = {
  EADDRINUSE: 'is in use by another process: choose another',
  EACCES: 'needs more rights: run as root, or choose another',
  EADDRNOTAVAIL: 'is not an address of this host',
  EPERM: 'cannot be given to that group: run as a member of it, or as root',
  ENOTFOUND: 'has a host name that cannot be resolved: write an IP address',
  EAI_AGAIN: 'has a host name that cannot be resolved: write an IP address',
};

function remedyOf(error: unknown): string {
  const { code = 'unknown error' } = error as NodeJS.ErrnoException;
  return REMEDIES[code] ?? `cannot be listened on (${code})`;
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const impatience = setTimeout(() => server.closeAllConnections(), END_PATIENCE_MS);
  await closed;
  clearTimeout(impatience);
}
