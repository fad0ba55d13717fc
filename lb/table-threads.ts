/**
 * The lookup tables of a start, built on several CPUs at once: one takes 2 ms, and a thousand services would wait for two
 * seconds. Called by lb/daemon.ts before packets flow; lb/prepare.ts builds what is missing. A reload builds what has changed
 * and no more.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { LookupTable } from '../hashing/lookup-table.ts';
import type { Config, ServiceConfig } from './config.ts';
import { lookupTableOf } from './service-table.ts';
import type { NamedTable } from './table-thread.ts';

/** To start a thread takes about as long as to build half as many of the default size. */
const LEAST_A_THREAD = 50;
const MOST_THREADS = 8;

const PROGRAM = new URL('./table-thread.js', import.meta.url);

/** By the service's name, with all of its active backends; empty where there are too few services to share the work. */
export async function lookupTablesOf(
  { services }: Pick<Config, 'services'>,
  cpus: number = availableParallelism(),
): Promise<ReadonlyMap<string, LookupTable>> {
  const threads = Math.min(cpus, MOST_THREADS, Math.floor(services.length / LEAST_A_THREAD));
  if (threads < 2) return new Map();
  const [own, ...others] = Array.from({ length: threads }, (_, thread) =>
    services.filter((_, i) => i % threads === thread),
  );
  const building = others.map(buildElsewhere);
  const built = own.map((service): NamedTable => [service.name, lookupTableOf(service)]);
  return new Map([...built, ...(await Promise.all(building)).flat()]);
}

/** Nothing from a thread that fails, for whatever reason: what is missing is no error. */
function buildElsewhere(services: readonly ServiceConfig[]): Promise<readonly NamedTable[]> {
  return new Promise((resolve) => {
    const thread = new Worker(PROGRAM, { workerData: services });
    thread.once('message', resolve);
    thread.once('error', () => resolve([]));
    thread.once('exit', () => resolve([]));
  });
}
