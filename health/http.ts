/**
 * An http or https check: one request on a connection of its own, judged by the status and, where one is expected, by text in
 * the body's first 64 KiB. Called by lb/health-targets.ts, and by health/tunnel.ts with a connection through the tunnel.
 *
 * Redirects are answers like any other: 301 is within 200-399. A certificate is not verified unless that is asked for: the
 * question is whether the backend serves and not who it is, and most certificates are not made for its address.
 */
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { connect, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { CheckResult } from './judge.ts';
import type { Check } from './monitor.ts';
import type { SocketPlace } from './tcp.ts';
import { trustOf, type Verify } from './trust.ts';

export interface Expectation {
  readonly method: string;
  readonly path: string;
  /** The Host header, and the name that a TLS client asks for; null: the address. */
  readonly host: string | null;
  readonly status: { readonly first: number; readonly last: number };
  /** Null: any body, which is not read then. */
  readonly body: string | null;
  /** Of https: whose certificate for `host`, or for the address, is right. */
  readonly verify: Verify;
}

const MOST_BODY = 64 * 1024;

/** A connection that is open, or opens; why it failed is its error. Throws where there is no way. */
export type Dial = () => Duplex;

export function httpCheck(place: SocketPlace, expectation: Expectation, tls: boolean, dial?: Dial): Check {
  const { address, port } = place;
  const { method, path, host, verify } = expectation;
  const headers = { host: host ?? hostOf(place, tls ? 443 : 80), 'user-agent': 'hushlb-health', connection: 'close' };
  const name = host?.replace(/:\d+$/, '') ?? '';
  // An address is no name to ask for (RFC 6066, section 3).
  const servername = isIP(name.replace(/[[\]]/g, '')) === 0 ? name : '';
  /** Whom the certificate has to be for. */
  const subject = name === '' ? address : name.replace(/[[\]]/g, '');
  return (signal) =>
    new Promise((resolve, reject) => {
      const trust = tls ? trustOf(verify) : undefined;
      let secure: TLSSocket | undefined;
      const socket = dial === undefined ? connect({ host: address, port }) : dial();
      // First, and for good: what TLS and HTTP say of its errors says less, and those after the end are nobody's.
      socket.on('error', fail);
      const request = requestHttp({
        method,
        path,
        headers,
        createConnection() {
          if (trust === undefined) return socket;
          secure = connectTls({ socket, servername, host: subject, ...trust });
          return secure;
        },
      });
      request.once('response', (response) => void judged(response, expectation).then(resolve, fail).finally(end));
      request.on('error', fail);
      signal.addEventListener('abort', end, { once: true });
      request.end();

      function end(): void {
        signal.removeEventListener('abort', end);
        request.destroy();
        socket.destroy();
      }
      function fail(error: Error): void {
        const isDistrust = verify !== false && Boolean(secure?.authorizationError);
        reject(isDistrust ? distrust(error, subject) : inOurWords(error));
        end();
      }
    });
}

function distrust({ code, message }: NodeJS.ErrnoException, subject: string): Error {
  const isOthers = code === 'ERR_TLS_CERT_ALTNAME_INVALID';
  return new Error(`TLS: ${isOthers ? `the certificate is not for ${subject}` : message}`);
}

/** What Node says of errors that are no system call's, in fewer or truer words. */
function inOurWords(error: NodeJS.ErrnoException): Error {
  const [, tlsReason] = /:SSL routines:[^:]*:([^:\n]+)/.exec(error.message) ?? [];
  if (tlsReason !== undefined) return new Error(`TLS: ${tlsReason}`);
  // "socket hang up", "aborted": nobody has reset anything.
  const isEnd = error.code === 'ECONNRESET' && error.syscall === undefined;
  return isEnd ? new Error('connection ended before the answer did') : error;
}

async function judged(response: IncomingMessage, expectation: Expectation): Promise<CheckResult> {
  const { statusCode = 0 } = response;
  const result = statusResult(statusCode, expectation);
  if (!result.ok || expectation.body === null) return result;
  const text = Buffer.alloc(MOST_BODY);
  const wanted = Buffer.from(expectation.body);
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const known = length;
    length += chunk.copy(text, length);
    // It may begin in what came before.
    if (text.subarray(Math.max(known - wanted.length, 0), length).includes(wanted)) return result;
    if (length === MOST_BODY) break;
  }
  return bodyMissing(statusCode, expectation.body);
}

function statusResult(status: number, { status: { first, last } }: Expectation): CheckResult {
  const ok = status >= first && status <= last;
  const expected = first === last ? `${first}` : `${first}-${last}`;
  return { ok, reason: ok ? `status ${status}` : `status ${status}, expected ${expected}` };
}

const MOST_SHOWN = 40;

function bodyMissing(status: number, body: string): CheckResult {
  const shown = body.length > MOST_SHOWN ? `${body.slice(0, MOST_SHOWN)}…` : body;
  return { ok: false, reason: `status ${status}, but no ${JSON.stringify(shown)} in the body` };
}

/** The Host header of a server that is known by its address (RFC 9110, section 7.2). */
function hostOf({ address, port }: SocketPlace, usualPort: number): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return port === usualPort ? host : `${host}:${port}`;
}
