/**
 * Servers on loopback that end idle connections in the ways that probe/ tells apart.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';

export interface TestServer {
  readonly port: number;
  /** Connections that were open at once, at most. */
  readonly most: () => number;
  /** What came in, all connections together. */
  readonly received: () => string;
  close(): Promise<void>;
}

export interface Habits {
  /** Called for each request (or never, on a bare connection), with the connection's number of requests so far. */
  readonly onRequest?: (socket: Socket, count: number) => void;
  readonly onConnection?: (socket: Socket) => void;
  readonly tls?: { readonly key: string; readonly cert: string };
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

export async function serve({ onRequest, onConnection, tls }: Habits): Promise<TestServer> {
  const open = new Set<Socket>();
  let most = 0;
  let received = '';
  const accept = (socket: Socket): void => {
    open.add(socket);
    most = Math.max(most, open.size);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    onConnection?.(socket);
    let count = 0;
    socket.on('data', (chunk) => {
      received += chunk;
      if (String(chunk).includes('\r\n\r\n')) onRequest?.(socket, ++count);
    });
  };
  const server: Server = tls === undefined ? createServer(accept) : createTlsServer(tls, accept);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    most: () => most,
    received: () => received,
    async close() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Ends the socket `ms` after the last call for it. */
export function idleTimer(end: (socket: Socket) => void): (socket: Socket, ms: number) => void {
  const timers = new WeakMap<Socket, NodeJS.Timeout>();
  return (socket, ms) => {
    clearTimeout(timers.get(socket));
    const timer = setTimeout(() => end(socket), ms);
    timers.set(socket, timer);
    socket.once('close', () => clearTimeout(timer));
  };
}

/** nginx with this keepalive_timeout on a free port of loopback; undefined where it is not installed. */
export async function startNginx(keepaliveTimeout: string): Promise<TestServer | undefined> {
  const holder = await serve({});
  const { port } = holder;
  await holder.close();
  const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-probe-'));
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr; events {}
     http {
       access_log off; ${scratch.join(' ')}
       keepalive_timeout ${keepaliveTimeout};
       server { listen 127.0.0.1:${port}; location / { return 200 "nginx"; } }
     }`,
  );
  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    stdio: 'ignore',
  });
  const started = await Promise.race([once(child, 'spawn').then(() => true), once(child, 'error').then(() => false)]);
  const close = async (): Promise<void> => {
    if (started && child.exitCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(folder, { recursive: true });
  };
  if (!started) {
    await close();
    return undefined;
  }
  for (let tries = 0; tries < 250; tries++) {
    const answers = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (answers) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { port, most: () => 0, received: () => '', close };
}
