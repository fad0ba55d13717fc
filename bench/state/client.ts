/**
 * The client of case `stateful-stateless`, one process a subject, inside the client's namespace: holds keep-alive HTTP
 * connections to a VIP and uses each again when it is told to. Reads lines from stdin and answers each with a line of JSON:
 *
 *     open VIP COUNT     opens connections, a request on each: Answer[]
 *     use                a second request on each of them: Answer[]
 *     close              closes them: []
 *     fetch URL          a document as text
 */
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, ask, type HttpConnection, open } from '../../lab/http-connection.ts';
import { PORT } from './network.ts';

/** A new one that often: many at once, but not all in one burst. */
const SPREAD_MS = 0.3;
/** Without an answer for this long a connection hangs. */
const PATIENCE_MS = 3000;

let connections: HttpConnection[] = [];
let host = '';

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument, count] = line.split(' ');
  process.stdout.write(`${JSON.stringify(await obey(command, argument, Number(count)))}\n`);
}
process.exit(0);

async function obey(command: string, argument: string, count: number): Promise<unknown> {
  switch (command) {
    case 'open':
      host = argument;
      return await spread(count, (i) => {
        connections[i] = open({ host, port: PORT });
        return request(connections[i]);
      });
    case 'use':
      return await spread(connections.length, (i) => request(connections[i]));
    case 'close':
      for (const { socket } of connections) socket.destroy();
      connections = [];
      return [];
    default:
      return await fetchText(argument);
  }
}

async function spread(count: number, work: (i: number) => Promise<Answer>): Promise<Answer[]> {
  const start = performance.now();
  const running: Promise<Answer>[] = [];
  for (let i = 0; i < count; i++) {
    const wait = start + i * SPREAD_MS - performance.now();
    if (wait >= 1) await sleep(wait);
    running.push(work(i));
  }
  return await Promise.all(running);
}

function request(connection: HttpConnection): Promise<Answer> {
  return ask(connection, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, PATIENCE_MS);
}

function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}
