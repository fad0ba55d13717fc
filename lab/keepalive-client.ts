/**
 * A program of the lab, run in the client's namespace: opens many keep-alive HTTP connections, sends one request on each,
 * holds them all open and idle, sends once more on each when it reads a line on stdin, and stays until it is stopped. With
 * `--new N` it opens N more before that, while it holds the old ones: no port is used twice. Reports each exchange as a line of JSON (`ClientReport`). Plain sockets and no pool, so that a connection lives or dies in plain sight.
 *
 *     node keepalive-client.js --host 198.18.10.1 --port 80 --connections 60 --seed 1 --patience 3000 \
 *         --idle 12000 --path / --new 0 --upload 0
 */
import { parseArgs } from 'node:util';
import { endWhenTold, report, runRound, toldToGoOn } from './client-rounds.ts';
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

const inOrder = Array.from({ length: Number(values.connections) }, (_, id) => id);
await runRound(inOrder, (id) => converse('first', id));
report({ event: 'idle' });
await toldToGoOn();
await runRound(
  Array.from({ length: Number(values.new) }, (_, i) => inOrder.length + i),
  (id) => converse('new', id),
);
// Not in the order of opening: round-robin gives the k-th new entry to backend k mod N, and wherever N divides the number
// of connections the same order would hand each its old backend back, by arithmetic and not by merit.
await runRound(shuffled(inOrder, Number(values.seed)), (id) => converse('second', id));
report({ event: 'done' });
await endWhenTold();
