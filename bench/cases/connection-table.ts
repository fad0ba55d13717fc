/**
 * Case `connection-table`: nanoseconds of an insertion, a hit, a miss and a swept slot, one at a time and without a walk around
 * them; bytes a flow; what a table does with more connections than it was made for; and what a million cost in memory.
 */
import { execFileSync } from 'node:child_process';
import {
  type ConnectionTable,
  clear,
  createConnectionTable,
  find,
  insert,
  MISS,
  sweep,
} from '../../conntrack/table.ts';
import { connectionHash } from '../../hashing/flow-hash.ts';
import { mapHuge } from '../../io/ffi.ts';
import type { BenchCase, CaseResult, Cell, ResultTable } from '../case.ts';
import { portsWord, sourceWord, strideOf } from '../decision/modes.ts';
import { figure, interleave, type RoundLimits } from '../rounds.ts';

const MILLION = 1_000_000;
const SIZES = [10_000, MILLION];
const LOADS = [0.5, 0.9, 1, 1.5];
const IDLE_TIMEOUT_MS = 60_000;
const TARGET_BYTES = 32;
const TARGET_MEMORY_MIB = 40;

const RESIDENT = new URL('../resident-memory.js', import.meta.url).pathname;

export const connectionTable: BenchCase = {
  name: 'connection-table',
  title: 'Connection table',
  about:
    'One operation at a time, each with the hash of its flow, flows in an order that no prefetcher guesses: the wait for memory ' +
    'is in the figure (the forwarder overlaps those waits, see decision cost). Tables on huge pages, as a worker’s.',
  needsRoot: false,
  seconds: { quick: 8, full: 40 },
  async run({ quick, progress, secondsLeft }) {
    const costs: Row[] = [];
    for (const [done, flows] of SIZES.entries()) {
      progress(`insert, hit, miss, sweep at ${flows.toLocaleString('en')} flows`);
      // The last third of the time is for what comes after.
      const until = (secondsLeft() * 2) / 3 / (SIZES.length - done);
      const begun = secondsLeft();
      const limits = { atLeast: 3, atMost: quick ? 5 : 15, hasTime: () => begun - secondsLeft() < until };
      costs.push(...(await measureCosts(flows, quick ? MILLION : 2 * MILLION, limits)));
    }
    progress('resident memory of a million flows');
    const resident = measureResident(MILLION);
    progress('more connections than there is room for');
    const filled = LOADS.map((load) => fill(load, quick ? 100_000 : MILLION));
    return present(costs, filled, resident);
  },
};

type Row = readonly Cell[];

/** A row for each operation; `operations` of each a round, in whole turns over all flows. */
export async function measureCosts(flows: number, operations: number, limits: RoundLimits): Promise<Row[]> {
  const table = createTable(flows);
  const stride = strideOf(flows);
  const turns = Math.max(1, Math.round(operations / flows));
  const measured = [
    { name: 'insert', each: flows, work: () => refill(table, flows, stride) },
    { name: 'hit', each: flows, work: () => hit(table, flows, stride, 0) },
    // The keys after the last flow's are nobody's.
    { name: 'miss', each: flows, work: () => hit(table, flows, stride, flows) },
    { name: 'sweep a slot', each: table.slotCount, work: () => sweep(table, 0, table.slotCount) },
  ];
  const measure = async ({ each, work }: (typeof measured)[number]): Promise<number> => {
    const start = process.hrtime.bigint();
    for (let turn = 0; turn < turns; turn++) work();
    return Number(process.hrtime.bigint() - start) / (each * turns);
  };
  // Compiled, and the table filled.
  for (const operation of measured) await measure(operation);
  const values = await interleave(measured, limits, measure);
  return measured.map(({ name }, i) => [name, flows, figure(values[i], 1)]);
}

function createTable(capacity: number): ConnectionTable {
  const allocate = (bytes: number): ArrayBuffer => mapHuge(bytes).buffer;
  return createConnectionTable({ capacity, idleTimeoutMs: IDLE_TIMEOUT_MS, allocate });
}

/** Empties the table and puts all flows in: clearing is in the figure too, some 32 bytes of writing a flow. */
function refill(table: ConnectionTable, flows: number, stride: number): void {
  clear(table);
  let flow = 0;
  for (let done = 0; done < flows; done++) {
    const source = sourceWord(flow);
    const ports = portsWord(flow);
    insert(table, connectionHash(source, ports, 0), source, ports, flow & 7, 0);
    flow += stride;
    if (flow >= flows) flow -= flows;
  }
}

/** Looks each flow up once, `shift` flows further on. Returns how many were there. */
function hit(table: ConnectionTable, flows: number, stride: number, shift: number): number {
  let found = 0;
  let flow = 0;
  for (let done = 0; done < flows; done++) {
    const source = sourceWord(flow + shift);
    const ports = portsWord(flow + shift);
    if (find(table, connectionHash(source, ports, 0), source, ports, 0) !== MISS) found++;
    flow += stride;
    if (flow >= flows) flow -= flows;
  }
  return found;
}

export interface Filled {
  readonly load: number;
  readonly connections: number;
  readonly kept: number;
  readonly evicted: number;
  readonly refused: number;
}

/** Offers a table of `capacity` that share of it in new connections, none of which idles out, and looks what is left. */
export function fill(load: number, capacity: number): Filled {
  const table = createTable(capacity);
  const connections = Math.round(capacity * load);
  const stride = strideOf(connections);
  refill(table, connections, stride);
  const { evicted, refused } = table;
  return { load, connections, kept: hit(table, connections, stride, 0), evicted, refused };
}

export interface Resident {
  readonly flows: number;
  readonly capacity: number;
  readonly tableBytes: number;
  readonly moreMib: number;
}

/** In a process of its own (bench/resident-memory.ts). */
export function measureResident(flows: number): Resident {
  return JSON.parse(execFileSync(process.execPath, [RESIDENT, `${flows}`], { encoding: 'utf8' })) as Resident;
}

function present(costs: readonly Row[], filled: readonly Filled[], resident: Resident): CaseResult {
  const bytesEach = resident.tableBytes / resident.capacity;
  const percent = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(2)} %`;
  const tables: ResultTable[] = [
    {
      title: 'Cost of an operation',
      says: 'What remembering a connection costs by itself, from the caches (10,000) and from memory (1,000,000). Less is better.',
      head: ['operation', 'flows', 'ns'],
      rows: costs,
    },
    {
      title: `New connections into a table for ${(filled[0].connections / filled[0].load).toLocaleString('en')}`,
      says: 'What becomes of connections where there are more than the table has room for.',
      head: ['connections', 'kept', 'evicted', 'refused'],
      rows: filled.map(({ load, connections, kept, evicted, refused }) => [
        `${(load * 100).toFixed(0)} % of the capacity`,
        percent(kept, connections),
        percent(evicted, connections),
        percent(refused, connections),
      ]),
    },
    {
      title: 'Memory, IPv4',
      says: 'What a flow costs in memory, calculated and as the kernel counts it.',
      head: ['of a table', ''],
      rows: [
        ['bytes a flow of the capacity', bytesEach.toFixed(1)],
        ['resident memory of 1,000,000 flows, MiB more than without', resident.moreMib.toFixed(1)],
      ],
    },
  ];
  const target = { bound: 'at most', digits: 1 } as const;
  return {
    tables,
    charts: [],
    targets: [
      {
        ...target,
        what: 'connection table, bytes a flow (IPv4)',
        limit: TARGET_BYTES,
        unit: 'bytes',
        measured: bytesEach,
      },
      {
        ...target,
        what: 'resident memory of 1,000,000 flows',
        limit: TARGET_MEMORY_MIB,
        unit: 'MiB more',
        measured: resident.moreMib,
      },
    ],
    notes: [
      'Evicted: an older connection lost its entry to a new one. Refused: the new one got none. Both are forwarded by hash all the same.',
      'An insertion’s figure has the clearing of its slots in it; a service with `onExpiry: reset` takes 48 bytes a flow more.',
    ],
  };
}
