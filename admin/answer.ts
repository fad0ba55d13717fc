/**
 * A request to the admin API and its answer: who may ask, which operation it is, what it takes, and whatever comes of it as
 * JSON. Whoever hangs up in the middle stops nothing but their own answer. Called by admin/server.ts for each request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { ControlPlane } from '../lb/control-plane.ts';
import { VERSION } from '../lb/version.ts';
import { answerOf, RequestError } from './errors.ts';
import { matchRoute, WrongMethod } from './match.ts';
import { checked, queryOf, readJson } from './request-body.ts';
import type { Route } from './route.ts';

/** Every answer says whose it is. */
export const VERSION_HEADER = 'hushlb-version';

/** A way in: the socket, whose rights the kernel has checked, or TCP. */
export interface Door {
  /** Who asks, for the log. */
  nameOf(request: IncomingMessage): string;
  admits(request: IncomingMessage): boolean;
}

export interface AnswerContext {
  readonly routes: readonly Route[];
  readonly control: ControlPlane;
  readonly door: Door;
  readonly logger: Logger;
  /** Aborts when the balancer stops. */
  readonly stop: AbortSignal;
}

/** Never rejects. */
export async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  context: AnswerContext,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  // Somebody hung up: 'close' follows, and there is nobody to tell.
  response.on('error', () => {});
  response.setHeader(VERSION_HEADER, VERSION);
  try {
    await carryOut(request, response, context, AbortSignal.any([gone.signal, context.stop]));
  } catch (error) {
    if (gone.signal.aborted) return;
    refuse(request, response, error, context.logger);
  }
}

async function carryOut(
  request: IncomingMessage,
  response: ServerResponse,
  { routes, control, door }: AnswerContext,
  signal: AbortSignal,
): Promise<void> {
  if (!door.admits(request)) {
    throw new RequestError(
      401,
      'TOKEN_REFUSED',
      'expected Authorization: Bearer TOKEN with the token of admin.tokenFile',
    );
  }
  const { path, search } = targetOf(request);
  const { route, params } = matchRoute(routes, request.method ?? '', path);
  const query = route.query === undefined ? refuseQuery(search) : checked(route.query, queryOf(search));
  const body = route.body === undefined ? undefined : checked(route.body, await readJson(request));
  const result = route.handle({ params, query, body, by: door.nameOf(request), signal }, control);
  if (route.streams === true) return sendLines(response, result as AsyncIterable<unknown>, signal);
  send(response, 200, await result, route.media);
}

function targetOf({ url = '' }: IncomingMessage): { path: string; search: string } {
  const [path, ...search] = url.split('?');
  return { path, search: search.join('?') };
}

function refuseQuery(search: string): undefined {
  if (search !== '') throw new RequestError(400, 'BAD_REQUEST', 'expected nothing behind a ? in the path');
}

function send(response: ServerResponse, status: number, body: unknown, media = 'application/json'): void {
  const text = media === 'application/json' ? `${JSON.stringify(body)}\n` : String(body);
  response.writeHead(status, { 'content-type': media, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** As fast as the client reads: what comes meanwhile waits in the source, which bounds it. */
async function sendLines(response: ServerResponse, lines: AsyncIterable<unknown>, signal: AbortSignal): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  try {
    for await (const line of lines) {
      if (signal.aborted) break;
      if (!response.write(`${JSON.stringify(line)}\n`)) await drained(response, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  response.end();
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      response.off('drain', settle);
      signal.removeEventListener('abort', settle);
      resolve();
    };
    response.on('drain', settle);
    signal.addEventListener('abort', settle);
    if (signal.aborted) settle();
  });
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown, logger: Logger): void {
  const { status, body, isBug } = answerOf(error);
  if (isBug) logger.error({ err: error, method: request.method, path: targetOf(request).path }, 'admin API: a bug');
  // Of a stream that has begun nothing else can be said.
  if (response.headersSent) return void response.destroy();
  if (error instanceof WrongMethod) response.setHeader('allow', error.methods.join(', '));
  if (status === 401) response.setHeader('www-authenticate', 'Bearer');
  // What is left of the request is not worth reading.
  if (!request.complete) response.setHeader('connection', 'close');
  send(response, status, body);
}
