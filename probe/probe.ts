/**
 * Measures after what idle time a live server's connections end, and how. `hushlb probe-idle` calls it.
 *
 * The first round goes over the whole range of times. Where connections are dead only when used, a second one goes
 * between the longest time that lived and the shortest that died. At most `connections` are open at any moment.
 */
import { setMaxListeners } from 'node:events';
import { type Answer, type Connection, type ConnectionOptions, openConnection } from './connection.ts';
import { conclude, type Finding, NOT_KEPT } from './findings.ts';
import type { Observation } from './observe.ts';
import { runRound } from './round.ts';
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
  const { address = null, answer = null } = first ?? {};
  // The first one includes the look-up of the name, and each what the machine was busy with: the least is the network.
  let roundTripMs = first?.roundTripMs ?? 0;
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
  if (first === undefined || address === null) return report();
  if (answer?.keepsAlive === false) {
    first.close();
    return report(NOT_KEPT);
  }

  let ready: Connection | undefined = first;
  const open = async (): Promise<Connection> => {
    const connection = ready ?? openConnection({ ...options, address });
    ready = undefined;
    roundTripMs = Math.min(roundTripMs, (await connection).roundTripMs);
    return connection;
  };
  const round = (number: number, times: readonly number[]): Promise<void> => {
    const untilMs = Math.max(...times);
    return runRound({
      times,
      open,
      bare: target.kind === 'tcp',
      signal,
      onObservation: (observation) => observations.push(observation),
      onFailure: (reason) => failures.push(reason),
      onTick: (elapsedMs, connectionsOpen) =>
        options.onProgress?.({ round: number, elapsedMs, untilMs, open: connectionsOpen, finding: finding() }),
    });
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
