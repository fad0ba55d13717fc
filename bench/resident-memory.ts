/**
 * How much more memory is resident once a table for a number of flows holds them all: a process of its own for the case
 * connection-table, because memory that was used once may stay with a process. Argument: FLOWS. Prints JSON.
 */
import { readFileSync } from 'node:fs';
import { createConnectionTable, insert } from '../conntrack/table.ts';
import { connectionHash } from '../hashing/flow-hash.ts';
import { mapHuge } from '../io/ffi.ts';
import { portsWord, sourceWord } from './decision/modes.ts';

const flows = Number(process.argv[2]);
const fill = (capacity: number): number => {
  const allocate = (bytes: number): ArrayBuffer => mapHuge(bytes).buffer;
  const table = createConnectionTable({ capacity, idleTimeoutMs: 60_000, allocate });
  for (let flow = 0; flow < capacity; flow++) {
    const source = sourceWord(flow);
    const ports = portsWord(flow);
    insert(table, connectionHash(source, ports, 0), source, ports, 0, 0);
  }
  return table.words.byteLength;
};

// A small table first: what the code itself needs is not counted to the flows.
fill(1000);
const before = residentBytes();
const tableBytes = fill(flows);
const moreMib = (residentBytes() - before) / 2 ** 20;
process.stdout.write(`${JSON.stringify({ flows, capacity: flows, tableBytes, moreMib })}\n`);

/** proc_pid_status(5): VmRSS, with huge pages. */
function residentBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
