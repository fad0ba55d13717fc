/**
 * Lookup tables built on several CPUs at once, none of them on the main thread: one takes 2 ms, and for a thousand services
 * health checks and the admin API would wait two seconds. Called by lb/daemon.ts before packets flow and by lb/reload.ts for
 * each change; lb/prepare.ts says which tables it takes, and builds what is missing.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { LookupTable } from '../hashing/lookup-table.ts';
import type { NamedTable, TableOrder } from './table-thread.ts';

/** To start a thread takes about as long as to build half as many of the default size. */
const LEAST_SLOTS_A_THREAD = 50 * 65_537;
const MOST_THREADS = 8;

const PROGRAM = new URL('./table-thread.js', import.meta.url);

/**
 * By the service's name; empty where there is too little to build. Rejects with the signal's reason.
 *
 * @param cpus the number of threads at most.
 */
export async function buildTables(
  orders: readonly TableOrder[],
  signal?: AbortSignal,
  cpus: number = availableParallelism(),
): Promise<ReadonlyMap<string, LookupTable>> {
  signal?.throwIfAborted();
  const slots = orders.reduce((sum, { tableSize }) => sum + tableSize, 0);
  const threads = Math.min(cpus, MOST_THREADS, Math.floor(slots / LEAST_SLOTS_A_THREAD));
  const parts = Array.from({ length: threads }, (_, thread) => orders.filter((_order, i) => i % threads === thread));
  const tables = await Promise.all(parts.map((part) => buildElsewhere(part, signal).catch(() => [])));
  signal?.throwIfAborted();
  return new Map(tables.flat());
}

/** Nothing from a thread that fails, for whatever reason: what is missing is no error. Rejects where there can't be one. */
function buildElsewhere(orders: readonly TableOrder[], signal?: AbortSignal): Promise<readonly NamedTable[]> {
  return new Promise((resolve) => {
    const thread = new Worker(PROGRAM, { workerData: orders });
    const giveUp = (): void => void thread.terminate();
    signal?.addEventListener('abort', giveUp, { once: true });
    thread.once('message', resolve);
    thread.once('error', () => resolve([]));
    thread.once('exit', () => {
      signal?.removeEventListener('abort', giveUp);
      resolve([]);
    });
  });
}
