/**
 * A TCP or TLS connection to the target, or a ProbeError that says why not. connection.ts calls it.
 */
import { isIP, type Socket, connect as tcpConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { ProbeError } from './errors.ts';
import { dialError } from './reasons.ts';
import { hostPort, type Target } from './target.ts';

export interface DialOptions {
  readonly target: Target;
  /** Where the name led the first time, so that all connections go to one address. */
  readonly address?: string | undefined;
  readonly insecure: boolean;
  /** Gives up dialling. */
  readonly signal: AbortSignal;
}

export interface Dialled {
  readonly socket: Socket;
  /** What the TCP handshake took, and for the first connection the look-up of the name. */
  readonly roundTripMs: number;
}

const PATIENCE_MS = 10_000;

/** Rejects with the signal's reason where that came first. */
export function dial(options: DialOptions): Promise<Dialled> {
  const { target, signal } = options;
  const startedMs = performance.now();
  const socket = start(options);
  return new Promise((resolve, reject) => {
    let roundTripMs = 0;
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.off('error', refuse);
    };
    const give = (reason: unknown): void => {
      settle();
      socket.on('error', () => {}).destroy();
      reject(reason);
    };
    const abort = (): void => give(signal.reason);
    const refuse = (error: Error): void => give(dialError(error, target));
    const late = (): void => {
      const where = hostPort(target);
      const line =
        roundTripMs === 0
          ? `${where} does not answer within 10 s: is there a route, and no filter?`
          : `${where} takes the connection and says nothing of TLS within 10 s: is it an http:// server?`;
      give(new ProbeError('PROBE_UNREACHABLE', line));
    };
    const timer = setTimeout(late, PATIENCE_MS);
    socket.once('error', refuse);
    socket.once('connect', () => {
      roundTripMs = performance.now() - startedMs;
    });
    socket.once(target.kind === 'https' ? 'secureConnect' : 'connect', () => {
      settle();
      socket.setNoDelay(true);
      resolve({ socket, roundTripMs });
    });
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
}

function start({ target, address, insecure }: DialOptions): Socket {
  const { kind, host, port } = target;
  const where = { host: address ?? host, port };
  if (kind !== 'https') return tcpConnect(where);
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return tlsConnect({ ...where, ...servername, rejectUnauthorized: !insecure, ALPNProtocols: ['http/1.1'] });
}
