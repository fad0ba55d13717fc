/**
 * wrk, the client of case `real-tcp`: one thread, connections that each send the next request when the last is answered. Its
 * own seconds are whole ones, so it is interrupted when its time is over, and then reports as at its end.
 */
import { fileURLToPath } from 'node:url';
import { inNamespace } from '../../io/namespace.ts';
import { findProgram } from '../../lab/programs.ts';
import { startLineProcess } from '../line-process.ts';

/** What report.lua prints. */
export interface WrkReport {
  readonly seconds: number;
  /** Answered. */
  readonly requests: number;
  /** Of the answers, headers included. */
  readonly bytes: number;
  /** Latency percentiles in microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Connections and requests that came to nothing, and answers with an error's status. */
  readonly failed: number;
}

export interface WrkRun {
  readonly namespace: string;
  readonly url: string;
  readonly connections: number;
  /** False: each request has a connection of its own. */
  readonly keepAlive: boolean;
  readonly ms: number;
}

/** It lies beside the source of this file and not in dist/. */
const SCRIPT = fileURLToPath(new URL('../../../bench/tcp/report.lua', import.meta.url));

/** Rejects when nobody answers, with wrk's end. */
export async function runWrk({ namespace, url, connections, keepAlive, ms }: WrkRun): Promise<WrkReport> {
  const command = [
    ...[findProgram('wrk') ?? 'wrk', '--threads', '1', '--connections', `${connections}`],
    // In seconds: a bound, should the interruption come too early to be heard.
    ...['--duration', `${Math.ceil(ms / 1000) + 1}`, '--script', SCRIPT],
    ...(keepAlive ? [] : ['--header', 'Connection: close']),
    url,
  ];
  const wrk = inNamespace(namespace, () => startLineProcess('wrk', command));
  const timer = setTimeout(() => wrk.child.kill('SIGINT'), ms);
  try {
    for (;;) {
      const line = await wrk.next();
      if (line.startsWith('{')) return JSON.parse(line) as WrkReport;
    }
  } finally {
    clearTimeout(timer);
    await wrk.end();
  }
}
