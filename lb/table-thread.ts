/** The program of a thread of lb/table-threads.ts: builds the lookup tables of the services that it was given, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import type { LookupTable } from '../hashing/lookup-table.ts';
import type { ServiceConfig } from './config.ts';
import { lookupTableOf } from './service-table.ts';

/** A service's name and its table. */
export type NamedTable = readonly [service: string, table: LookupTable];

if (parentPort !== null) {
  const services = workerData as readonly ServiceConfig[];
  const tables = services.map((service): NamedTable => [service.name, lookupTableOf(service)]);
  const buffers = tables.map(([, { entries }]) => entries.buffer as ArrayBuffer);
  parentPort.postMessage(tables, buffers);
}
