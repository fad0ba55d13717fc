/**
 * What the lab's clients have in common, programs that run in the client's namespace: rounds of exchanges side by side, a line
 * of JSON for each, and the wait for what the lab tells them on stdin. Used by keepalive-client.ts, dns-client.ts, paced-client.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientReport } from './keepalive-client.ts';

/** The exchanges of a round start evenly over this time: many at once, but not all in one burst. */
const ROUND_SPREAD_MS = 300;

export function report(line: ClientReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Resolves when the last exchange has ended. */
export async function runRound(order: readonly number[], exchange: (id: number) => Promise<void>): Promise<void> {
  const start = performance.now();
  const running: Promise<void>[] = [];
  for (const [position, id] of order.entries()) {
    const wait = start + (position * ROUND_SPREAD_MS) / order.length - performance.now();
    if (wait > 0) await sleep(wait);
    running.push(exchange(id));
  }
  await Promise.all(running);
}

/** Resolves when the lab says by a line that the story goes on, or has gone. */
export async function toldToGoOn(): Promise<void> {
  await new Promise((resolve) => process.stdin.once('data', resolve).once('end', resolve));
}

/**
 * Ends the process when the lab closes stdin: once the captures are closed, because its goodbyes to the servers are no part of
 * the story.
 */
export async function endWhenTold(): Promise<never> {
  await new Promise((resolve) => process.stdin.once('end', resolve));
  process.exit(0);
}
