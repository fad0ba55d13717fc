/**
 * A program of the lab, run in the client's namespace: opens many keep-alive HTTP connections, sends one request on each,
 * holds them all open and idle, sends once more on each when it reads a line on stdin, and stays until it is stopped. With
 * `--new N` it opens N more before that, while it holds the old ones: no port is used twice. Reports each exchange as a line of JSON (`ClientReport`). Plain sockets and no pool, so that a connection lives or dies in plain sight.
 *
 *     node keepalive-client.js --host 198.18.10.1 --port 80 --connections 60 --seed 1 --patience 3000 \
 *         --idle 12000 --path / --new 0
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

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

interface Answer {
  readonly status: number | null;
  readonly backend: string | null;
  readonly error: string | null;
}

interface Connection {
  readonly socket: Socket;
  /** Why it is of no more use, from the moment on that this is known: maybe while it was idle. */
  failure: string | null;
  settle: ((answer: Answer) => void) | null;
  lastUsedMs: number;
}

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
  },
});
const patienceMs = Number(values.patience);

function open(): Connection {
  const socket = connect({ host: values.host, port: Number(values.port), noDelay: true });
  const connection: Connection = { socket, failure: null, settle: null, lastUsedMs: Date.now() };
  const fail = (error: string): void => {
    connection.failure ??= error;
    connection.settle?.({ status: null, backend: null, error: connection.failure });
  };
  let received = '';
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    received += text;
    const answer = parseAnswer(received);
    if (answer === undefined) return;
    received = '';
    connection.settle?.(answer);
  });
  socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  socket.on('close', () => fail('closed'));
  return connection;
}

/** The answer, once all of it is there. The lab's servers always name a Content-Length. */
function parseAnswer(text: string): Answer | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  const header = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim();
  if (text.length < headEnd + 4 + Number(header('content-length') ?? 0)) return undefined;
  return { status: Number(head.split(' ')[1]), backend: header('x-backend') ?? null, error: null };
}

function exchange(connection: Connection, path: string): Promise<Answer> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle({ status: null, backend: null, error: 'hung' }), patienceMs);
    const settle = (answer: Answer): void => {
      clearTimeout(timer);
      connection.settle = null;
      connection.lastUsedMs = Date.now();
      resolve(answer);
    };
    if (connection.failure !== null) return settle({ status: null, backend: null, error: connection.failure });
    if (Date.now() - connection.lastUsedMs > Number(values.idle)) {
      connection.socket.destroy();
      return settle({ status: null, backend: null, error: 'expired' });
    }
    connection.settle = settle;
    connection.socket.write(`GET ${path} HTTP/1.1\r\nHost: ${values.host}\r\n\r\n`);
  });
}

function report(line: ClientReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const connections: Connection[] = [];
const localPorts: number[] = [];

async function converse(round: ExchangeReport['round'], id: number): Promise<void> {
  connections[id] ??= open();
  const connection = connections[id];
  const sentAtMs = Date.now();
  const answer = await exchange(connection, round === 'second' ? values.path : '/');
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

/** Fisher and Yates, on a small seeded generator (mulberry32): the same seed gives the same order on every machine. */
function shuffled(items: readonly number[], seed: number): number[] {
  const result = [...items];
  let state = seed >>> 0;
  for (let i = result.length - 1; i > 0; i--) {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const j = ((mixed ^ (mixed >>> 14)) >>> 0) % (i + 1);
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
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
