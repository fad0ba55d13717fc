/**
 * A tcp check: the backend accepts a connection, which is then reset, so that thousands of them leave no TIME-WAIT behind.
 * Called by lb/health.ts.
 */
import { connect } from 'node:net';
import type { Check } from './monitor.ts';

export interface SocketPlace {
  readonly address: string;
  readonly port: number;
}

export function tcpCheck({ address, port }: SocketPlace): Check {
  return (signal) =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: address, port });
      socket.once('connect', () => {
        resolve({ ok: true, reason: 'connected' });
        socket.resetAndDestroy();
      });
      // Stays for errors after the answer, which are nobody's.
      socket.on('error', reject);
      signal.addEventListener('abort', () => socket.destroy(), { once: true });
    });
}
