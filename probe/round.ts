/**
 * Connections that idle side by side, each for a time of its own, so that a round lasts as long as its longest time and
 * not as their sum. probe.ts runs one or two.
 *
 * A server that closes by itself is seen at once on all connections that still idle: the time is known then, and the
 * round ends. It also ends when a connection was dead on use: those that idle longer would be, too.
 */
import { setMaxListeners } from 'node:events';
import type { Connection } from './connection.ts';
import { ProbeError } from './errors.ts';
import { type Observation, observe } from './observe.ts';

export interface RoundOptions {
  /** After which idle times connections are used, one each. */
  readonly times: readonly number[];
  /** Opens the next connection. */
  readonly open: () => Promise<Connection>;
  /** Whether connections are used by TCP keepalive. */
  readonly bare: boolean;
  readonly signal: AbortSignal;
  readonly onObservation: (observation: Observation) => void;
  /** A connection that could not be had, or not be left idle. */
  readonly onFailure: (reason: string) => void;
  /** Now and then, with what is open at the moment. */
  readonly onTick: (elapsedMs: number, open: number) => void;
}

const TICK_MS = 200;
/** After the first end the others, of which some may be closed right then, get this share of the time, or the least. */
const SETTLE = 0.1;
const SETTLE_LEAST_MS = 500;

export async function runRound(options: RoundOptions): Promise<void> {
  const { times, open, bare, signal, onObservation, onFailure, onTick } = options;
  const leave = new AbortController();
  // Each connection listens.
  setMaxListeners(0, leave.signal);
  const startedMs = performance.now();
  let opened = 0;
  let settling: NodeJS.Timeout | undefined;
  const tick = (): void => onTick(performance.now() - startedMs, opened);
  const ticking = setInterval(tick, TICK_MS);

  const watch = async (useAfterMs: number): Promise<void> => {
    const connection = await open();
    opened++;
    try {
      if (connection.answer?.keepsAlive === false) {
        onFailure('the server keeps some connections alive and others not');
        return;
      }
      const seen = await observe(connection, { useAfterMs, bare, leave: leave.signal, signal });
      onObservation(seen);
      if (seen.outcome === 'died' || seen.outcome === 'closed') {
        settling ??= setTimeout(() => leave.abort(), Math.max(seen.idleMs * SETTLE, SETTLE_LEAST_MS));
      }
    } finally {
      connection.close();
      opened--;
      tick();
    }
  };
  const note = (error: unknown): void => {
    if (signal.aborted) return;
    if (!(error instanceof ProbeError)) throw error;
    onFailure(error.message);
  };
  try {
    await Promise.all(times.map((time) => watch(time).catch(note)));
  } finally {
    clearTimeout(settling);
    clearInterval(ticking);
  }
}
