/**
 * Idle timeouts in the capture's time. A worker sweeps its tables by its clock (lb/worker.ts); here the clock leaps from
 * packet to packet, so whoever is told of an expiry (`onExpiry: reset`) is told between two of them, at the end of the second
 * in which it was due. Tables of which nobody is told are swept only to make room, and before their ages wrap.
 */
import { CLOSING_TIMEOUT_MS, type ConnectionTable, sweep } from '../conntrack/table.ts';
import { sweepTables } from '../lb/adopt.ts';
import { sweepForResets } from '../lb/expiry-reset.ts';
import type { Forwarder } from '../lb/forwarder.ts';

const SECOND_MS = 1000;
/** Ages are kept modulo 49 days, timeouts are up to 30. */
const WEEK_MS = 7 * 24 * 3600 * SECOND_MS;

export interface Expiry {
  /** A packet of a service has passed: its entry is due a timeout later. `ends`: FIN or RST. */
  note(service: number, now: number, ends: boolean): void;
  /** Does what comes before `now`; calls `told` after each sweep whose resets wait to be sent, with its time. */
  until(now: number, told: (atMs: number) => void): void;
  /** Brings tables and counters to where they stand at `now`, the end. */
  finish(now: number, told: (atMs: number) => void): void;
}

interface Told {
  readonly service: number;
  readonly table: ConnectionTable;
  /** Seconds in which entries are due, in order: after the idle timeout, and after FIN or RST. */
  readonly idle: number[];
  readonly closing: number[];
}

export function createExpiry(forwarder: Forwarder): Expiry {
  const { tables, expiryRows, resets } = forwarder;
  const told = tables.map((table, service): Told | undefined =>
    table === null || expiryRows[service] === null ? undefined : { service, table, idle: [], closing: [] },
  );
  const tellers = told.filter((each) => each !== undefined);
  const silent = tables.filter((table, service): table is ConnectionTable => table !== null && !told[service]);
  let silentSweptMs = 0;

  /** All of a table that is due; one sweep resets only so many connections. */
  function sweepTold({ service, table }: Told, atMs: number, tell: (atMs: number) => void): void {
    let expired: number;
    do {
      expired = table.expired;
      sweepForResets(forwarder, service, atMs, table.slotCount);
      if (resets.count > 0) tell(atMs);
    } while (table.expired > expired);
  }

  function sweepSilent(now: number): void {
    while (now - silentSweptMs >= WEEK_MS) {
      silentSweptMs += WEEK_MS;
      for (const table of silent) sweep(table, silentSweptMs, table.slotCount);
      if (silent.every(({ size }) => size === 0)) silentSweptMs = now;
    }
    for (const table of silent) {
      const isFull = table.size >= table.capacity;
      if (isFull && now - silentSweptMs >= Math.max(SECOND_MS, table.idleTimeoutMs / 2)) {
        silentSweptMs = now;
        for (const each of silent) sweep(each, now, each.slotCount);
      }
    }
  }

  return {
    note(service, now, ends) {
      const teller = told[service];
      if (teller === undefined) return;
      const { idle, closing, table } = teller;
      const queue = ends ? closing : idle;
      const timeoutMs = ends ? Math.min(CLOSING_TIMEOUT_MS, table.idleTimeoutMs) : table.idleTimeoutMs;
      const second = Math.floor((now + timeoutMs) / SECOND_MS);
      if (queue.at(-1) !== second) queue.push(second);
    },
    until(now, tell) {
      for (;;) {
        const first = earliest(tellers);
        if (first === undefined) break;
        const atMs = (first.second + 1) * SECOND_MS;
        if (atMs > now) break;
        first.queue.shift();
        sweepTold(first.teller, atMs, tell);
      }
      sweepSilent(now);
    },
    finish(now, tell) {
      for (const teller of tellers) sweepTold(teller, now, tell);
      sweepTables(forwarder, now, Number.POSITIVE_INFINITY);
    },
  };
}

function earliest(tellers: readonly Told[]): { teller: Told; queue: number[]; second: number } | undefined {
  let first: { teller: Told; queue: number[]; second: number } | undefined;
  for (const teller of tellers) {
    for (const queue of [teller.idle, teller.closing]) {
      const [second] = queue;
      if (second !== undefined && (first === undefined || second < first.second)) first = { teller, queue, second };
    }
  }
  return first;
}
