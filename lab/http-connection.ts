/**
 * One keep-alive HTTP connection over a plain socket and no pool, so that it lives or dies in plain sight. The programs
 * that play clients use it: lab/keepalive-client.ts and lab/paced-client.ts.
 */
import { connect, type Socket } from 'node:net';

/** `error`: 'ECONNRESET' and its like, 'closed' where the other end said goodbye in order, 'hung' where nothing came. */
export interface Answer {
  readonly status: number | null;
  /** Who answered, by its X-Backend header. */
  readonly backend: string | null;
  readonly error: string | null;
}

export interface HttpConnection {
  readonly socket: Socket;
  /** Why it is of no more use, from the moment on that this is known: maybe while it was idle. */
  failure: string | null;
  settle: ((answer: Answer) => void) | null;
  lastUsedMs: number;
}

/** The error of a connection whose end was known before the second request was sent. */
export const CLOSED_IN_TIME = 'closed-in-time';

/** Starts to connect, and returns before the connection is there. */
export function open(target: {
  readonly host: string;
  readonly port: number;
  readonly localPort?: number;
}): HttpConnection {
  const socket = connect({ ...target, noDelay: true });
  const connection: HttpConnection = { socket, failure: null, settle: null, lastUsedMs: Date.now() };
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
  // Whatever may follow a goodbye, it came first.
  socket.on('end', () => fail('closed'));
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

/** Sends the text of a request, as soon as the connection is there, and waits for its answer. */
export function ask(connection: HttpConnection, request: string, patienceMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle({ status: null, backend: null, error: 'hung' }), patienceMs);
    const settle = (answer: Answer): void => {
      clearTimeout(timer);
      connection.settle = null;
      connection.lastUsedMs = Date.now();
      resolve(answer);
    };
    if (connection.failure !== null) return settle({ status: null, backend: null, error: connection.failure });
    connection.settle = settle;
    connection.socket.write(request);
  });
}
