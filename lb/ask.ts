/**
 * The main thread's half of questions about the workers' connection tables: asks every worker, waits, and makes one answer of
 * theirs, in the names of the configuration. lb/workers.ts and lb/portable-worker.ts make one each.
 */
import { formatIpv4, ipv4FromBytes } from '../wire/address.ts';
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
  hasOnePort,
  type Names,
  namesOf,
  queryOf,
} from './entry-query.ts';
import { HushlbError } from './errors.ts';
import type { Prepared } from './prepare.ts';
import { backendKey } from './service-table.ts';
import type { AnswerTo, ConntrackEntry, EntryCount, WorkerAnswer, WorkerRequest } from './worker-requests.ts';

export interface Asking {
  /** Rejects with a HushlbError: names that nobody has, or a worker that ended before it answered. */
  ask<R extends WorkerRequest>(request: R): Promise<AnswerTo<R>>;
  /** What worker `worker` says. */
  tell(worker: number, report: EntryReport): void;
  /** The worker says nothing any more. */
  gone(worker: number): void;
  /** Another has taken its place. */
  back(worker: number): void;
}

interface Pending {
  readonly worker: number;
  resolve(report: EntryReport): void;
  reject(error: Error): void;
}

/** `send` gives a question to a worker; false where it has ended. */
export function createAsking(
  workerCount: number,
  prepared: () => Prepared,
  send: (worker: number, query: EntryQuery) => boolean,
): Asking {
  const pending = new Map<string, Pending>();
  const ended = new Set<number>();
  let lastId = 0;

  function askOne(worker: number, query: EntryQuery): Promise<EntryReport> {
    return new Promise((resolve, reject) => {
      pending.set(keyOf(worker, query.id), { worker, resolve, reject });
      if (ended.has(worker) || !send(worker, query)) gone(worker);
    });
  }

  function gone(worker: number): void {
    ended.add(worker);
    for (const [key, waiting] of pending) {
      if (waiting.worker !== worker) continue;
      pending.delete(key);
      waiting.reject(new HushlbError('WORKER_GONE', `worker ${worker} has ended before it answered`));
    }
  }

  return {
    async ask<R extends WorkerRequest>(request: R) {
      const query = queryOf(++lastId, request, prepared());
      const reports = await Promise.all(Array.from({ length: workerCount }, (_, worker) => askOne(worker, query)));
      // Of the request's own kind, which the compiler cannot follow through the switch.
      return answerOf(request, reports, namesOf(query, prepared())) as AnswerTo<R>;
    },
    tell(worker, report) {
      const key = keyOf(worker, report.id);
      pending.get(key)?.resolve(report);
      pending.delete(key);
    },
    gone,
    back: (worker) => void ended.delete(worker),
  };
}

function keyOf(worker: number, id: number): string {
  return `${worker} ${id}`;
}

function answerOf(request: WorkerRequest, reports: readonly EntryReport[], names: Names): WorkerAnswer {
  const matched = reports.reduce((sum, report) => sum + report.matched, 0);
  switch (request.kind) {
    case 'flush':
      return { kind: 'flush', flushed: matched };
    case 'count':
      return { kind: 'count', counts: countsOf(reports, names) };
    case 'list': {
      const entries = reports.flatMap((report, worker) => entriesOf(report, worker, names, request.filter.client));
      return { kind: 'list', entries: entries.slice(0, request.limit), matched };
    }
    case 'lookup': {
      const found = reports.flatMap((report, worker) => entriesOf(report, worker, names, request.client));
      // A flow that changed its queue is in two tables for a while: the one that saw it last has it.
      return { kind: 'lookup', entry: found.sort((a, b) => a.idleMs - b.idleMs).at(0) ?? null };
    }
  }
}

function entriesOf({ rows }: EntryReport, worker: number, names: Names, client?: string): ConntrackEntry[] {
  return Array.from({ length: rows.length / ENTRY_ROW }, (_, i) => {
    const [row, address, ports, index, idleMs, remainingMs, flags] = rows.subarray(i * ENTRY_ROW);
    const target = names.target(row);
    return {
      worker,
      service: target.name,
      client: client ?? (names.isIpv6(target) ? null : addressText(address)),
      port: swapPort(ports & 0xffff),
      servicePort: hasOnePort(target) ? undefined : swapPort(ports >>> 16),
      backend: names.backend(target, index),
      idleMs,
      remainingMs,
      proven: (flags & FLAG_PROVEN) !== 0,
      closing: (flags & FLAG_CLOSING) !== 0,
      divergent: (flags & FLAG_JUDGED) === 0 ? undefined : (flags & FLAG_DIVERGENT) !== 0,
    };
  });
}

/** A packet word, loaded little-endian. */
function addressText(word: number): string {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, word, true);
  return formatIpv4(ipv4FromBytes(bytes));
}

function countsOf(reports: readonly EntryReport[], names: Names): EntryCount[] {
  const sums = new Map<string, { service: string; backend: string; entries: number; divergent: number }>();
  for (const { rows } of reports) {
    for (let at = 0; at < rows.length; at += COUNT_ROW) {
      const [row, index, entries, divergent] = rows.subarray(at);
      const target = names.target(row);
      const backend = names.backend(target, index);
      const key = backendKey(target.name, backend);
      const sum = sums.get(key) ?? { service: target.name, backend, entries: 0, divergent: 0 };
      sums.set(key, { ...sum, entries: sum.entries + entries, divergent: sum.divergent + divergent });
    }
  }
  return [...sums.values()];
}
