/**
 * Asks a running balancer, over its Unix socket or over TCP: for the commands (cli/admin-options.ts finds the place) and for
 * whoever compares several balancers. What the balancer refuses comes as a HushlbError with its code and its line.
 */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { HushlbError } from '../lb/errors.ts';
import { VERSION } from '../lb/version.ts';
import { VERSION_HEADER } from './answer.ts';
import { errorAnswer } from './errors.ts';

export type AdminPlace =
  | { readonly socket: string }
  | { readonly host: string; readonly port: number; readonly token: string };

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface AdminClient {
  readonly place: string;
  /**
   * The answer: parsed JSON, or the text where it is none. Throws HushlbError: NO_DAEMON where nobody answers, ADMIN_DENIED,
   * ADMIN_LOST, OTHER_VERSION, or whatever the balancer says.
   */
  request(method: Method, path: string, body?: unknown): Promise<unknown>;
  /** The lines of an endless answer, until the loop is left or `close` is called. Throws as `request` does. */
  stream(path: string): AsyncIterable<unknown>;
  /** Ends whatever is under way. */
  close(): void;
}

/** A reload waits 3 s for a new backend to answer ARP, and for its turn. */
const PATIENCE_MS = 60_000;

export function openClient(place: AdminPlace): AdminClient {
  const name = 'socket' in place ? place.socket : `${place.host}:${place.port}`;
  const closing = new AbortController();

  async function ask(method: Method, path: string, body: unknown, timeout: number): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const options: RequestOptions = {
      ...('socket' in place ? { socketPath: place.socket } : { host: place.host, port: place.port }),
      method,
      path,
      timeout,
      signal: closing.signal,
      // A connection that is kept is one to the process that was there before.
      agent: false,
      headers: {
        host: 'hushlb',
        ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...('token' in place && { authorization: `Bearer ${place.token}` }),
      },
    };
    const asked = httpRequest(options);
    asked.on('timeout', () => asked.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })));
    asked.end(text);
    try {
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      if (response.statusCode !== 200) throw refusal(response, await textOf(response), name);
      return response;
    } catch (error) {
      throw failure(error, name);
    }
  }

  return {
    place: name,
    async request(method, path, body) {
      const response = await ask(method, path, body, PATIENCE_MS);
      try {
        const text = await textOf(response);
        return response.headers['content-type'] === 'application/json' ? JSON.parse(text) : text;
      } catch (error) {
        throw failure(error, name);
      }
    },
    async *stream(path) {
      const response = await ask('GET', path, undefined, 0);
      try {
        yield* linesOf(response);
      } catch (error) {
        if (closing.signal.aborted) return;
        throw failure(error, name);
      } finally {
        response.destroy();
      }
    },
    close: () => closing.abort(),
  };
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += chunk;
  return text;
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<unknown> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line);
  }
}

/** What it doesn't know may be new, or old. */
const STRANGE_STATUSES = [404, 405];
const STRANGE_CODES = ['NO_SUCH_PATH', 'WRONG_METHOD'];

function refusal(response: IncomingMessage, text: string, name: string): HushlbError {
  const version = response.headers[VERSION_HEADER];
  const known = errorAnswer.safeParse(jsonOf(text)).data?.error;
  if (version === undefined || known === undefined) {
    return new HushlbError('NO_DAEMON', `what answers at ${name} is no hushlb: it says ${response.statusCode}`);
  }
  const isStrange = STRANGE_STATUSES.includes(response.statusCode ?? 0) && STRANGE_CODES.includes(known.code);
  if (isStrange && version !== VERSION) {
    return new HushlbError(
      'OTHER_VERSION',
      `hushlb ${version} runs at ${name} and this is ${VERSION}: restart it, or use the command of its own version`,
    );
  }
  return new HushlbError(known.code, known.message);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Anything that goes wrong between the two, in one line. */
function failure(error: unknown, name: string): Error {
  if (error instanceof HushlbError || !(error instanceof Error)) return error as Error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (error.name === 'AbortError') return new HushlbError('ADMIN_LOST', `the question to ${name} was given up`);
  const line = FAILURES[code];
  if (line === undefined) return error;
  return new HushlbError(line.code, line.message(name));
}

const lost = {
  code: 'ADMIN_LOST',
  message: (name: string) => `hushlb at ${name} went away before it had answered: its log says why`,
};
const nobody = {
  code: 'NO_DAEMON',
  message: (name: string) => `no hushlb answers at ${name}: hushlb run -c FILE starts one`,
};
const denied = {
  code: 'ADMIN_DENIED',
  message: (name: string) => `permission to use ${name} is missing: run as root, or as a member of admin.group`,
};

const FAILURES: Readonly<Record<string, { readonly code: string; message(name: string): string }>> = {
  ENOENT: nobody,
  ECONNREFUSED: nobody,
  ENOTSOCK: nobody,
  EACCES: denied,
  EPERM: denied,
  ECONNRESET: lost,
  EPIPE: lost,
  ETIMEDOUT: {
    code: 'ADMIN_LOST',
    message: (name) => `hushlb at ${name} did not answer within ${PATIENCE_MS / 1000} s`,
  },
  ENOTFOUND: { code: 'NO_DAEMON', message: (name) => `the host of ${name} cannot be resolved` },
  EHOSTUNREACH: nobody,
  ENETUNREACH: nobody,
};
