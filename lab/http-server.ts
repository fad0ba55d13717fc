/**
 * A program of the lab for machines without nginx, run in a backend's namespace: answers every request with its own name
 * and never closes an idle connection.
 *
 *     node http-server.js --name b1 --port 80
 */
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { name: { type: 'string', default: '' }, port: { type: 'string', default: '80' } },
});

const server = createServer((_request, response) => {
  const body = `${values.name}\n`;
  response.writeHead(200, { 'X-Backend': values.name, 'Content-Length': body.length }).end(body);
});
server.keepAliveTimeout = 0;
server.listen(Number(values.port), '0.0.0.0');
