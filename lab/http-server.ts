/**
 * A program of the lab, run in a backend's namespace: answers every request with its own name, and closes a connection
 * that was idle for too long as other servers do. Stands in for nginx where that is missing, and serves what nginx
 * cannot: GET /500/12 is answered piece by piece, one every 500 ms, 12 in all.
 *
 *     node http-server.js --name b1 --port 80 --idle 12000
 *
 * Several ports, each with an idle timeout of its own: --port 8001 --idle 2000 --port 8002 --idle 4000.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: '' },
    port: { type: 'string', multiple: true, default: ['80'] },
    /** Milliseconds, in the order of the ports; 0 never closes. */
    idle: { type: 'string', multiple: true, default: [] },
    family: { type: 'string', default: '4' },
  },
});

const line = `${values.name}\n`;

function push(response: ServerResponse, everyMs: number, pieces: number): void {
  response.writeHead(200, { 'X-Backend': values.name, 'Content-Length': line.length * pieces });
  response.flushHeaders();
  let left = pieces;
  const timer = setInterval(() => {
    left--;
    if (left > 0) return void response.write(line);
    clearInterval(timer);
    response.end(line);
  }, everyMs);
  response.once('close', () => clearInterval(timer));
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const [, everyMs, pieces] = /^\/(\d+)\/(\d+)$/.exec(request.url ?? '') ?? [];
  if (pieces !== undefined) push(response, Number(everyMs), Number(pieces));
  else request.resume().once('end', () => sign(response));
}

/** Once the request is there as a whole. */
function sign(response: ServerResponse): void {
  response.writeHead(200, { 'X-Backend': values.name, 'Content-Length': line.length }).end(line);
}

/** Node takes a longer one for none at all, and fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const idleTimers = new WeakMap<Socket, NodeJS.Timeout>();

/** In place of Node's own keepAliveTimeout, to which it adds a second. */
function closeWhenIdle({ socket }: IncomingMessage, response: ServerResponse, idleMs: number): void {
  clearTimeout(idleTimers.get(socket));
  response.once('finish', () => {
    idleTimers.set(
      socket,
      setTimeout(() => socket.destroy(), Math.min(idleMs, LONGEST_TIMER_MS)),
    );
  });
}

for (const [i, port] of values.port.entries()) {
  const idleMs = Number(values.idle[i] ?? 0);
  const server = createServer((request, response) => {
    if (idleMs > 0) closeWhenIdle(request, response, idleMs);
    answer(request, response);
  });
  server.keepAliveTimeout = 0;
  server.listen(Number(port), values.family === '6' ? '::' : '0.0.0.0');
}
