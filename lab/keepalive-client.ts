/**
 * A program of the lab, run in the client's namespace: opens many keep-alive HTTP connections, sends one request on each,
 * holds them all open and idle, sends once more on each when it reads a line on stdin, and stays until it is stopped. With
 * `--new N` it opens N more before that, while it holds the old ones: no port is used twice. Reports each exchange as a line of JSON (`ClientReport`). Plain sockets and no pool, so that a connection lives or dies in plain sight.
 *
 *     node keepalive-client.js --host 198.18.10.1 --port 80 --connections 60 --seed 1 --patience 3000 \
 *         --idle 12000 --path / --new 0 --upload 0
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Answer, ask, type HttpConnection, open } from './http-connection.ts';
import { shuffled } from './shuffled.ts';

export interface ExchangeReport {
  readonly event: 'exchange';
  readonly round: 'first' | 'new' | 'second';
  /** From 0, in the order of opening; new ones are numbered on. */
  readonly connection: number;
  readonly localPort: number;
  /** Wall clock, milliseconds since 1970. */
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  readonly status: number | null;
  /** Who answered, by its X-Backend header. */
  readonly backend: string | null;
  /**
   * 'ECONNRESET' and its like; 'closed' where the server ended it in order; 'hung' where nothing came in time; 'expired'
   * where it had been idle for longer than this client keeps a connection.
   */
  readonly error: string | null;
}

/** 'idle' comes when the first round is over, 'done' after the second. */
export type ClientReport = ExchangeReport | { readonly event: 'idle' | 'done' };

/** The connections of a round start evenly over this time: many at once, but not all in one burst. */
const ROUND_SPREAD_MS = 300;

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '' },
    port: { type: 'string', default: '80' },
    connections: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    patience: { type: 'string', default: '3000' },
    /** The client's own idle timeout, in milliseconds. */
    idle: { type: 'string', default: 'Infinity' },
    /** What the second round asks for. */
    path: { type: 'string', default: '/' },
    new: { type: 'string', default: '0' },
    /** Bytes of a body that goes with the second round's requests. */
    upload: { type: 'string', default: '0' },
  },
});
const patienceMs = Number(values.patience);

const target = { host: values.host, port: Number(values.port) };

function requestFor(round: ExchangeReport['round']): string {
  const head = (line: string) => `${line} HTTP/1.1\r\nHost: ${values.host}\r\n`;
  if (round !== 'second') return `${head('GET /')}\r\n`;
  const bytes = Number(values.upload);
  if (bytes === 0) return `${head(`GET ${values.path}`)}\r\n`;
  return `${head(`POST ${values.path}`)}Content-Length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`;
}

async function exchange(connection: HttpConnection, request: string): Promise<Answer> {
  const late = connection.failure === null && Date.now() - connection.lastUsedMs > Number(values.idle);
  if (late) {
    connection.socket.destroy();
    return { status: null, backend: null, error: 'expired' };
  }
  return await ask(connection, request, patienceMs);
}

function report(line: ClientReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const connections: HttpConnection[] = [];
const localPorts: number[] = [];

async function converse(round: ExchangeReport['round'], id: number): Promise<void> {
  connections[id] ??= open(target);
  const connection = connections[id];
  const sentAtMs = Date.now();
  const answer = await exchange(connection, requestFor(round));
  // A socket that was reset has forgotten its port.
  localPorts[id] = connection.socket.localPort ?? localPorts[id] ?? 0;
  report({
    event: 'exchange',
    round,
    connection: id,
    localPort: localPorts[id],
    sentAtMs,
    endedAtMs: Date.now(),
    ...answer,
  });
}

async function runRound(round: ExchangeReport['round'], order: readonly number[]): Promise<void> {
  const start = Date.now();
  const running: Promise<void>[] = [];
  for (const [position, id] of order.entries()) {
    const wait = start + (position * ROUND_SPREAD_MS) / order.length - Date.now();
    if (wait > 0) await sleep(wait);
    running.push(converse(round, id));
  }
  await Promise.all(running);
}

const inOrder = Array.from({ length: Number(values.connections) }, (_, id) => id);
await runRound('first', inOrder);
report({ event: 'idle' });
await new Promise((resolve) => process.stdin.once('data', resolve).once('end', resolve));
await runRound(
  'new',
  Array.from({ length: Number(values.new) }, (_, i) => inOrder.length + i),
);
// Not in the order of opening: round-robin gives the k-th new entry to backend k mod N, and wherever N divides the number
// of connections the same order would hand each its old backend back, by arithmetic and not by merit.
await runRound('second', shuffled(inOrder, Number(values.seed)));
report({ event: 'done' });
// Whoever started it ends it, once the captures are closed: its goodbyes to the servers are no part of the story.
await new Promise((resolve) => process.stdin.once('end', resolve));
process.exit(0);
