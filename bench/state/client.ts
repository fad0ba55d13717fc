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
import { type Answer, ask, type HttpConnection, open } from '../../lab/http-connection.ts';
import { PORT } from './network.ts';

/** Requests under way at a time: fewer than a server's queue has room for, whatever else the machine does. */
const AT_ONCE = 64;
/** Nobody here drops packets in silence: only a machine that stalls makes one wait that long. */
const PATIENCE_MS = 10_000;
/** To open a connection. */
const ATTEMPTS = 3;

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
      return await inTurn(count, openOne);
    case 'use':
      return await inTurn(connections.length, (i) => request(connections[i]));
    case 'close':
      for (const { socket } of connections) socket.destroy();
      connections = [];
      return [];
    default:
      return await fetchText(argument);
  }
}

async function openOne(i: number): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    connections[i] = open({ host, port: PORT });
    const answer = await request(connections[i]);
    if (answer.error === null || attempt === ATTEMPTS) return answer;
    connections[i].socket.destroy();
  }
}

/** The work of all numbers below `count`, `AT_ONCE` of them at a time. */
async function inTurn(count: number, work: (i: number) => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  const hand = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) answers[i] = await work(i);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, hand));
  return answers;
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
