/**
 * Measures after what idle time a live server's connections end, and how. `hushlb probe-idle` calls it.
 *
 * A round opens its connections at once and uses each after an idle time of its own, so that a round lasts as long as
 * its longest time, not as their sum. A server that closes by itself is seen at once by all that still idle: then the
 * time is known, and the round ends. Where connections are dead only when used, a second round goes between the longest
 * time that lived and the shortest that died. At most `connections` are open at any moment.
 */
import { setMaxListeners } from 'node:events';
import { type Answer, type Connection, type ConnectionOptions, openConnection } from './connection.ts';
import { ProbeError } from './errors.ts';
import { conclude, type Finding, NOT_KEPT } from './findings.ts';
import { type Observation, observe } from './observe.ts';
import { isNarrow, refine, spread } from './schedule.ts';

/** Its signal ends the probe, which then reports what it knows. */
export interface ProbeOptions extends Omit<ConnectionOptions, 'address'> {
  readonly minMs: number;
  readonly maxMs: number;
  readonly connections: number;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  readonly round: number;
  readonly elapsedMs: number;
  /** The longest idle time of this round. */
  readonly untilMs: number;
  readonly open: number;
  readonly finding: Finding;
}

export interface ProbeReport {
  readonly finding: Finding;
  readonly address: string | null;
  readonly roundTripMs: number;
  readonly answer: Answer | null;
  readonly observations: readonly Observation[];
  /** Connections that could not be opened, the first of them with its reason. */
  readonly failures: { readonly count: number; readonly first: string | null };
  readonly interrupted: boolean;
}

const PROGRESS_MS = 200;
/** After the first end the others, of which some may be closed right then, get this share of the time, and at least the least, to follow. */
const SETTLE = 0.1;
const SETTLE_LEAST_MS = 500;

/** Throws a ProbeError where not even one connection can be had. */
export async function runProbe(options: ProbeOptions): Promise<ProbeReport> {
  const { target, minMs, maxMs, connections, signal } = options;
  // Each connection listens.
  setMaxListeners(0, signal);
  const observations: Observation[] = [];
  const failures: string[] = [];

  let first: Connection | undefined;
  try {
    first = await openConnection(options);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  const { address = null, answer = null, roundTripMs = 0 } = first ?? {};
  const finding = (): Finding => conclude(observations, roundTripMs);
  const report = (result = finding()): ProbeReport => ({
    finding: result,
    address,
    roundTripMs,
    answer,
    observations: observations.toSorted((a, b) => a.idleMs - b.idleMs),
    failures: { count: failures.length, first: failures[0] ?? null },
    interrupted: signal.aborted,
  });
  if (first === undefined) return report();
  if (answer?.keepsAlive === false) {
    first.close();
    return report(NOT_KEPT);
  }

  const opener = openers(first, { ...options, address: first.address });
  const round = async (number: number, times: readonly number[]): Promise<void> => {
    const leave = new AbortController();
    setMaxListeners(0, leave.signal);
    const startedMs = performance.now();
    let open = 0;
    let settling: NodeJS.Timeout | undefined;
    const tell = (): void =>
      options.onProgress?.({
        round: number,
        elapsedMs: performance.now() - startedMs,
        untilMs: Math.max(...times),
        open,
        finding: finding(),
      });
    const ticking = setInterval(tell, PROGRESS_MS);
    const watch = async (useAfterMs: number): Promise<void> => {
      const connection = await opener();
      open++;
      try {
        const seen = await observe(connection, {
          useAfterMs,
          bare: target.kind === 'tcp',
          leave: leave.signal,
          signal,
        });
        observations.push(seen);
        if (seen.outcome === 'died' || seen.outcome === 'closed') {
          settling ??= setTimeout(() => leave.abort(), Math.max(seen.idleMs * SETTLE, SETTLE_LEAST_MS));
        }
      } finally {
        connection.close();
        open--;
        tell();
      }
    };
    const note = (error: unknown): void => {
      if (signal.aborted) return;
      if (!(error instanceof ProbeError)) throw error;
      failures.push(error.message);
    };
    try {
      await Promise.all(times.map((time) => watch(time).catch(note)));
    } finally {
      clearTimeout(settling);
      clearInterval(ticking);
    }
  };

  // The longest time first: it gets the connection that is already open.
  await round(1, spread(minMs, maxMs, connections).toReversed());
  const { result, livedMs, diedMs } = finding();
  if (result === 'died' && diedMs !== null && !isNarrow(livedMs, diedMs) && !signal.aborted) {
    const least = target.kind === 'tcp' ? Math.max(livedMs, minMs) : livedMs;
    await round(2, refine(least, diedMs, connections));
  }
  return report();
}

/** The first call returns the connection that is already open. */
function openers(first: Connection, options: ConnectionOptions): () => Promise<Connection> {
  let next: Connection | undefined = first;
  return async () => {
    const open = next;
    next = undefined;
    return open ?? (await openConnection(options));
  };
}
