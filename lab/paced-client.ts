/**
 * A program of the lab, run in the client's namespace: opens many keep-alive HTTP connections, sends a request on each,
 * and a second one after a pause that each has of its own. Reports each exchange as lab/keepalive-client.ts does, and
 * stays until it is stopped. lab/matrix-run.ts starts it.
 *
 *     node paced-client.js --plan plan.json --patience 3000
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { report } from './client-rounds.ts';
import { type Answer, ask, CLOSED_IN_TIME, open } from './http-connection.ts';
import type { ExchangeReport } from './keepalive-client.ts';

/** A connection of the plan, which is a JSON array of these. */
export interface PacedConnection {
  readonly connection: number;
  readonly host: string;
  readonly port: number;
  /** All different, or packets to different ports could not be told apart. */
  readonly localPort: number;
  readonly method: 'GET' | 'POST';
  /** From the first answer to the second request. */
  readonly pauseMs: number;
  /** The second request goes over another connection, from this port and opened for it; it is the one reported. */
  readonly freshPort: number | null;
}

/** From one connection's opening to the next one's. */
const OPENING_GAP_MS = 2;
const DISCARD_PORT = 9;
/** Longer than there and back. */
const NEIGHBOUR_MS = 1000;
/** How long before its request a fresh connection is opened: longer than a handshake takes. */
const FRESH_LEAD_MS = 1000;

const { values } = parseArgs({
  options: { plan: { type: 'string', default: '' }, patience: { type: 'string', default: '3000' } },
});
const patienceMs = Number(values.patience);

/**
 * Behind a long cable the next hop's ARP answer takes as long as a handshake. A SYN that waited for it would be repeated
 * while its answer is under way, and round-robin send the two to different backends.
 */
async function findNeighbour(host: string): Promise<void> {
  const socket = createSocket('udp4');
  socket.send('', DISCARD_PORT, host);
  await sleep(NEIGHBOUR_MS);
  socket.close();
}

async function converse(planned: PacedConnection): Promise<void> {
  const { connection: id, host, port, localPort, method, pauseMs, freshPort } = planned;
  const request = `${method} / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`;
  const connection = open({ host, port, localPort });
  const say = (round: ExchangeReport['round'], sentAtMs: number, answer: Answer): void => {
    const reported = freshPort ?? localPort;
    const endedAtMs = Date.now();
    report({ event: 'exchange', round, connection: id, localPort: reported, sentAtMs, endedAtMs, ...answer });
  };
  const firstMs = Date.now();
  const first = await ask(connection, request, patienceMs);
  const answeredMs = Date.now();
  say('first', firstMs, first);
  if (first.error !== null) return;

  let used = connection;
  if (freshPort !== null) {
    await sleep(answeredMs + pauseMs - FRESH_LEAD_MS - Date.now());
    used = open({ host, port, localPort: freshPort });
  }
  await sleep(answeredMs + pauseMs - Date.now());
  const secondMs = Date.now();
  const inTime = used.failure === 'closed';
  const second = await ask(used, request, patienceMs);
  say('second', secondMs, inTime ? { ...second, error: CLOSED_IN_TIME } : second);
}

const plan = JSON.parse(readFileSync(values.plan, 'utf8')) as PacedConnection[];
await findNeighbour(plan[0].host);
const start = Date.now();
const running: Promise<void>[] = [];
for (const [position, planned] of plan.entries()) {
  const waitMs = start + position * OPENING_GAP_MS - Date.now();
  if (waitMs > 0) await sleep(waitMs);
  running.push(converse(planned));
}
await Promise.all(running);
report({ event: 'done' });
// Its goodbyes to the servers are no part of the story.
await new Promise((resolve) => process.stdin.once('data', resolve).once('end', resolve));
process.exit(0);
