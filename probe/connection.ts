/**
 * One measured connection: dialled, one keep-alive request made where the target is a URL, then left idle. observe.ts
 * waits on it and uses it.
 *
 * What node:net shows of an end is taken as it is: 'end' is a FIN, ECONNRESET an RST. A bare connection is used without
 * sending it anything: TCP keepalive is switched on, whose probes the other kernel (or a box on the way) answers.
 */
import type { Socket } from 'node:net';
import { type DialOptions, dial } from './dial.ts';
import { ProbeError } from './errors.ts';
import { type Head, ResponseReader } from './response.ts';
import { hostPort } from './target.ts';

export type Method = 'HEAD' | 'GET';
export type Ending = 'fin' | 'rst' | 'silent';

export interface ConnectionOptions extends DialOptions {
  readonly method: Method;
  /** How long an answer may take. */
  readonly patienceMs: number;
}

export interface Answer {
  readonly status: number;
  readonly keepsAlive: boolean;
  /** What `Keep-Alive: timeout=` says. */
  readonly announcedMs: number | null;
}

export interface End {
  readonly ending: Ending;
  readonly atMs: number;
}

export interface Connection {
  readonly address: string;
  readonly roundTripMs: number;
  /** Null for a bare connection. */
  readonly answer: Answer | null;
  readonly idleSinceMs: number;
  /** Resolves when the other side ends the connection, and never where it does not. */
  readonly ended: Promise<End>;
  /** Sends something that wants an answer. */
  use(): Promise<'answered' | End>;
  close(): void;
}

const KEEPALIVE_DELAY_MS = 1000;
/** Node asks for ten probes a second apart; after them the kernel gives up, with ETIMEDOUT. */
const KEEPALIVE_PATIENCE_MS = 13_000;

/** Throws a ProbeError, or the signal's reason. */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const { target, address, patienceMs } = options;
  const { socket, roundTripMs } = await dial(options);
  const ended = watchEnd(socket);
  const request = (): void => void socket.write(requestText(options));
  try {
    const isBare = target.kind === 'tcp';
    const answer = isBare ? null : answerOf(await exchange(socket, ended, request, options), socket);
    return {
      address: socket.remoteAddress ?? address ?? target.host,
      roundTripMs,
      answer,
      idleSinceMs: performance.now(),
      ended,
      use: () => (isBare ? useBare(socket, ended) : useHttp(socket, ended, request, patienceMs)),
      close: () => void socket.destroy(),
    };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function requestText({ target, method }: ConnectionOptions): string {
  const standard = target.kind === 'https' ? 443 : 80;
  const host = target.port === standard ? hostPort(target).replace(/:\d+$/, '') : hostPort(target);
  const headers = [`Host: ${host}`, 'User-Agent: hushlb-probe-idle', 'Accept: */*', 'Connection: keep-alive'];
  return `${[`${method} ${target.path} HTTP/1.1`, ...headers].join('\r\n')}\r\n\r\n`;
}

/** Reads and drops all that comes: only a socket that is read tells of its end. */
function watchEnd(socket: Socket): Promise<End> {
  return new Promise((resolve) => {
    const settle = (ending: Ending): void => resolve({ ending, atMs: performance.now() });
    socket.on('data', () => {});
    socket.once('end', () => settle('fin'));
    socket.on('error', ({ code = '' }: NodeJS.ErrnoException) => settle(ENDINGS[code] ?? 'fin'));
  });
}

/** Any other error is a TLS alert or the like: the other side's word. */
const ENDINGS: Readonly<Record<string, Ending>> = {
  ECONNRESET: 'rst',
  EPIPE: 'rst',
  ETIMEDOUT: 'silent',
  EHOSTUNREACH: 'silent',
  ENETUNREACH: 'silent',
};

/** Sends the first request and reads its answer to the end. */
function exchange(
  socket: Socket,
  ended: Promise<End>,
  request: () => void,
  { target, method, patienceMs, signal }: ConnectionOptions,
): Promise<Head> {
  const where = hostPort(target);
  const what = `${method} ${target.path}`;
  const reader = new ResponseReader(method);
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.off('data', read);
    };
    const fail = (reason: unknown): void => {
      settle();
      reject(reason);
    };
    const abort = (): void => fail(signal.reason);
    const late = (): void =>
      fail(
        new ProbeError(
          'PROBE_NO_ANSWER',
          `${where} does not finish its answer to ${what}: try another path or --patience`,
        ),
      );
    const timer = setTimeout(late, patienceMs);
    const done = (head: Head): void => {
      settle();
      resolve(head);
    };
    const read = (chunk: Buffer): void => {
      reader.push(chunk);
      if (reader.isBad)
        fail(new ProbeError('PROBE_NOT_HTTP', `${where} does not speak HTTP/1: measure it bare, as ${where}`));
      else if (reader.isDone && reader.head !== undefined) done(reader.head);
    };
    socket.on('data', read);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    request();
    void ended.then(({ ending }) => {
      if (reader.lastsUntilEnd && reader.head !== undefined) done(reader.head);
      const how = ending === 'fin' ? 'closes' : 'resets';
      fail(new ProbeError('PROBE_NO_ANSWER', `${where} ${how} the connection in place of an answer to ${what}`));
    });
  });
}

function answerOf({ status, version, headers }: Head, socket: Socket): Answer {
  const connection = headers.get('connection') ?? '';
  const promised = version === '1.0' ? /\bkeep-alive\b/i.test(connection) : !/\bclose\b/i.test(connection);
  const [, seconds] = /\btimeout=(\d{1,9})\b/i.exec(headers.get('keep-alive') ?? '') ?? [];
  return {
    status,
    keepsAlive: promised && !socket.readableEnded && !socket.destroyed,
    announcedMs: seconds === undefined ? null : Number(seconds) * 1000,
  };
}

function useHttp(
  socket: Socket,
  ended: Promise<End>,
  request: () => void,
  patienceMs: number,
): Promise<'answered' | End> {
  return new Promise((resolve) => {
    const settle = (outcome: 'answered' | End): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const timer = setTimeout(() => settle({ ending: 'silent', atMs: performance.now() }), patienceMs);
    // The first byte is enough: somebody there still knows the connection.
    socket.once('data', () => settle('answered'));
    void ended.then(settle);
    request();
  });
}

function useBare(socket: Socket, ended: Promise<End>): Promise<'answered' | End> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve('answered'), KEEPALIVE_PATIENCE_MS);
    void ended.then((end) => {
      clearTimeout(timer);
      resolve(end);
    });
    socket.setKeepAlive(true, KEEPALIVE_DELAY_MS);
  });
}
