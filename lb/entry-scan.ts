/**
 * The worker's half of questions about its connection tables (lb/ask.ts has the other): walks over the slots in short pieces
 * between two batches, so that no packet waits for a long list. Used by lb/worker.ts and lb/portable-worker.ts.
 *
 * A piece is 256 slots: 1 µs where they are empty, 8 in a table that is full (measured 2026-11 on a shared core). A table for a
 * million connections has 7,800 of them: an idle worker is through in some 30 ms, a busy one walks a batch between two. What
 * packets change meanwhile may be told or not.
 */
import { createEntry, readEntry, removeEntry } from '../conntrack/entries.ts';
import { type ConnectionTable, slotOf } from '../conntrack/table.ts';
import { flowSlot, xxh32Word } from '../hashing/flow-hash.ts';
import { swapPort } from '../wire/tcp.ts';
import {
  COUNT_ROW,
  ENTRY_ROW,
  type EntryQuery,
  type EntryReport,
  FLAG_CLOSING,
  FLAG_DIVERGENT,
  FLAG_JUDGED,
  FLAG_PROVEN,
  type QueryTarget,
} from './entry-query.ts';
import type { Forwarder } from './forwarder.ts';
import type { ForwardingState, ServiceState } from './forwarding-state.ts';

const SLOTS_A_PIECE = 256;
/** What a table without entries costs, and a port of a lookup, in slots. */
const COST_OF_STEP = 8;
/** Rows that are made room for at first. */
const FIRST_ROWS = 64;

export interface EntryScan {
  /** There is more to do: the worker is not to sleep. */
  readonly isBusy: boolean;
  accept(query: EntryQuery): void;
  /** One piece of the oldest question. */
  work(now: number): void;
}

interface Job {
  readonly query: EntryQuery;
  target: number;
  /** The next slot, of a lookup the next port. */
  cursor: number;
  matched: number;
  rows: Uint32Array<ArrayBuffer>;
  rowCount: number;
}

export function createEntryScan(forwarder: Forwarder, post: (report: EntryReport) => void): EntryScan {
  const jobs: Job[] = [];
  const entry = createEntry();
  let known: ForwardingState | undefined;
  let indexes = new Map<number, number>();
  // Of the target at hand, by backend index.
  const entries = new Uint32Array(65_536);
  const divergents = new Uint32Array(65_536);
  let counted = 0;

  /** A service has other indexes in another state; the number of its connection table stays. */
  function indexOf({ connections }: QueryTarget): number {
    if (known !== forwarder.state) {
      known = forwarder.state;
      indexes = new Map(known.services.map((service, i) => [service.connections, i]));
    }
    return indexes.get(connections) ?? -1;
  }

  function work(now: number): void {
    const job = jobs.at(0);
    if (job === undefined) return;
    const { targets, kind } = job.query;
    let left = SLOTS_A_PIECE;
    while (left > 0 && job.target < targets.length) {
      const index = indexOf(targets[job.target]);
      const table = index < 0 ? null : forwarder.tables[index];
      const owner = forwarder.state.services[index];
      if (table === null || table.size === 0) {
        endTarget(job);
        left -= COST_OF_STEP;
      } else if (kind === 'lookup') left = lookUp(job, table, owner, now, left);
      else left = walkSlots(job, table, owner, now, left);
    }
    if (job.target < targets.length) return;
    jobs.shift();
    const rows = job.rows.slice(0, job.rowCount * (kind === 'count' ? COUNT_ROW : ENTRY_ROW));
    post({ id: job.query.id, matched: job.matched, rows });
  }

  function walkSlots(job: Job, table: ConnectionTable, owner: ServiceState, now: number, budget: number): number {
    const { query } = job;
    const end = Math.min(table.slotCount, job.cursor + budget);
    const left = budget - (end - job.cursor);
    for (let slot = job.cursor; slot < end; slot++) {
      if (readEntry(table, slot, now, entry) && matches(query, query.targets[job.target]))
        take(job, table, owner, slot);
    }
    job.cursor = end;
    if (end === table.slotCount) endTarget(job);
    return left;
  }

  function matches({ client, port }: EntryQuery, { backend }: QueryTarget): boolean {
    if (backend >= 0 && entry.backend !== backend) return false;
    if (client !== null && entry.key0 !== client.word) return false;
    return port < 0 || swapPort(entry.key1 & 0xffff) === port;
  }

  function take(job: Job, table: ConnectionTable, owner: ServiceState, slot: number): void {
    const { kind, divergentOnly } = job.query;
    const isJudged = !owner.isIpv6 && owner.rotation.length === 0;
    const isDivergent = isJudged && entry.backend !== choiceOf(owner);
    if (divergentOnly && !isDivergent) return;
    job.matched++;
    if (kind === 'flush') removeEntry(table, slot);
    else if (kind === 'count') {
      entries[entry.backend]++;
      if (isDivergent) divergents[entry.backend]++;
      counted = Math.max(counted, entry.backend + 1);
    } else if (job.rowCount < job.query.limit) {
      const flags =
        (entry.isProven ? FLAG_PROVEN : 0) |
        (entry.isClosing ? FLAG_CLOSING : 0) |
        (isDivergent ? FLAG_DIVERGENT : 0) |
        (isJudged ? FLAG_JUDGED : 0);
      const { key0, key1, backend, idleMs, remainingMs } = entry;
      addRow(job, ENTRY_ROW, [job.target, key0, key1, backend, idleMs, remainingMs, flags]);
    }
  }

  /** The backend that the hash chooses for an IPv4 client. */
  function choiceOf({ lookupTable, hashKind, vip, protocol }: ServiceState): number {
    const { hashSeed } = forwarder.state;
    return lookupTable[flowSlot(lookupTable.length, hashKind, entry.key0, vip[0], entry.key1, protocol, hashSeed)];
  }

  /** The client's entry at each of the service's ports. */
  function lookUp(job: Job, table: ConnectionTable, owner: ServiceState, now: number, budget: number): number {
    const { client, port, targets } = job.query;
    const { ports } = targets[job.target];
    let left = budget;
    while (client !== null && left > 0 && job.matched === 0 && ports.first + job.cursor <= ports.last) {
      const portsWord = swapPort(port) | (swapPort(ports.first + job.cursor) << 16);
      const hash = xxh32Word(portsWord, client.digest);
      const slot = slotOf(table, hash, client.word, portsWord);
      if (slot >= 0 && readEntry(table, slot, now, entry)) take(job, table, owner, slot);
      job.cursor++;
      left -= COST_OF_STEP;
    }
    if (left > 0) endTarget(job);
    return left;
  }

  function endTarget(job: Job): void {
    for (let backend = 0; backend < counted; backend++) {
      if (entries[backend] > 0) addRow(job, COUNT_ROW, [job.target, backend, entries[backend], divergents[backend]]);
    }
    entries.fill(0, 0, counted);
    divergents.fill(0, 0, counted);
    counted = 0;
    job.target++;
    job.cursor = 0;
  }

  return {
    get isBusy() {
      return jobs.length > 0;
    },
    accept(query) {
      const rows = new Uint32Array(FIRST_ROWS * ENTRY_ROW);
      jobs.push({ query, target: 0, cursor: 0, matched: 0, rows, rowCount: 0 });
    },
    work,
  };
}

function addRow(job: Job, width: number, words: readonly number[]): void {
  const at = job.rowCount++ * width;
  if (at + width > job.rows.length) {
    const larger = new Uint32Array(2 * job.rows.length);
    larger.set(job.rows);
    job.rows = larger;
  }
  job.rows.set(words, at);
}
