/** The program of a thread of lb/table-threads.ts: builds the lookup tables that it was asked for, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { buildLookupTable, type LookupTable } from '../hashing/lookup-table.ts';

/** What a table is built of, and for whom. */
export interface TableOrder {
  readonly service: string;
  readonly backends: readonly { readonly name: string; readonly weight: number }[];
  readonly tableSize: number;
}

/** A service's name and its table. */
export type NamedTable = readonly [service: string, table: LookupTable];

if (parentPort !== null) {
  const orders = workerData as readonly TableOrder[];
  const tables = orders.map((order): NamedTable => [order.service, buildLookupTable(order.backends, order.tableSize)]);
  const buffers = tables.map(([, { entries }]) => entries.buffer as ArrayBuffer);
  parentPort.postMessage(tables, buffers);
}
