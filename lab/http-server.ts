/**
 * A program of the lab, run in a backend's namespace: answers every request with its own name, and closes a connection
 * that was idle for too long as other servers do. Stands in for nginx where that is missing, and serves what nginx
 * cannot: GET /500/12 is answered piece by piece, one every 500 ms, 12 in all.
 *
 *     node http-server.js --name b1 --port 80 --idle 12000
 */
import { createServer, type ServerResponse } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: '' },
    port: { type: 'string', default: '80' },
    /** Milliseconds; 0 never closes. */
    idle: { type: 'string', default: '0' },
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

const server = createServer((request, response) => {
  const [, everyMs, pieces] = /^\/(\d+)\/(\d+)$/.exec(request.url ?? '') ?? [];
  if (pieces !== undefined) return push(response, Number(everyMs), Number(pieces));
  response.writeHead(200, { 'X-Backend': values.name, 'Content-Length': line.length }).end(line);
});
server.keepAliveTimeout = Number(values.idle);
server.listen(Number(values.port), '0.0.0.0');
