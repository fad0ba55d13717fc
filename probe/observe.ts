/**
 * Watches one idle connection until it is ended by the other side, or uses it when its time has come. probe.ts calls it
 * for each connection of a round.
 */
import type { Connection, Ending } from './connection.ts';

export interface Observation {
  /**
   * lived: used after `idleMs`, and answered. died: used, and not. closed: ended by the other side after `idleMs`, while
   * it idled. unused: nothing had happened by `idleMs`, when the watching ended.
   */
  readonly outcome: 'lived' | 'died' | 'closed' | 'unused';
  readonly idleMs: number;
  readonly ending: Ending | null;
}

export interface ObserveOptions {
  readonly useAfterMs: number;
  /** Whether use is by TCP keepalive, which leaves the server's own timer running. */
  readonly bare: boolean;
  /** Ends the idling, and lets a use that has begun come to its result. */
  readonly leave: AbortSignal;
  /** Ends both. */
  readonly signal: AbortSignal;
}

/**
 * A box that forgot answers the first keepalive probe, which leaves at once, within a round trip and this; what comes
 * later is the server's doing.
 */
const KEEPALIVE_REPLY_MS = 200;

export async function observe(connection: Connection, options: ObserveOptions): Promise<Observation> {
  const { idleSinceMs, roundTripMs, ended } = connection;
  const { useAfterMs, bare, leave, signal } = options;
  const idle = (atMs = performance.now()): number => Math.max(atMs - idleSinceMs, 0);

  const first = await until(ended, idleSinceMs + useAfterMs, [leave, signal]);
  if (first === 'aborted') return { outcome: 'unused', idleMs: idle(), ending: null };
  if (first !== 'elapsed') return { outcome: 'closed', idleMs: idle(first.atMs), ending: first.ending };

  const usedMs = performance.now();
  const used = await until(connection.use(), Number.POSITIVE_INFINITY, [signal]);
  const idleMs = idle(usedMs);
  if (used === 'aborted' || used === 'elapsed') return { outcome: 'unused', idleMs, ending: null };
  if (used === 'answered') return { outcome: 'lived', idleMs, ending: null };
  const { ending, atMs } = used;
  if (bare && (ending === 'fin' || (ending === 'rst' && atMs - usedMs > roundTripMs + KEEPALIVE_REPLY_MS))) {
    return { outcome: 'closed', idleMs: idle(atMs), ending };
  }
  return { outcome: 'died', idleMs, ending };
}

/** What happens first: the event, the moment (of performance.now()), or an abort. */
async function until<T>(
  event: Promise<T>,
  momentMs: number,
  signals: readonly AbortSignal[],
): Promise<T | 'elapsed' | 'aborted'> {
  const signal = AbortSignal.any([...signals]);
  let timer: NodeJS.Timeout | undefined;
  let abort = (): void => {};
  const other = new Promise<'elapsed' | 'aborted'>((resolve) => {
    abort = () => resolve('aborted');
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    // Timers count from the start of the loop's turn, in whole milliseconds: they may fire too early.
    const wait = (): void => {
      const left = momentMs - performance.now();
      if (left <= 0) resolve('elapsed');
      else timer = setTimeout(wait, Math.ceil(left));
    };
    if (Number.isFinite(momentMs)) wait();
  });
  try {
    return await Promise.race([event, other]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
