/**
 * Idle timeouts in the capture's time. A worker sweeps its tables by its clock (lb/worker.ts); here the clock leaps from
 * packet to packet, so whoever is told of an expiry (`onExpiry: reset`) is told between two of them, at the end of the second
 * in which it was due. A diary says which slots of the connection table to look at then: a sweep of the whole, a million
 * entries by default, would cost milliseconds for each second of the capture. Tables of which nobody is told are swept only
 * to make room, and before their ages wrap.
 */
import { CLOSING_TIMEOUT_MS, type ConnectionTable, lastSlot, sweep } from '../conntrack/table.ts';
import { sweepTables } from '../lb/adopt.ts';
import { sweepForResets } from '../lb/expiry-reset.ts';
import type { Forwarder } from '../lb/forwarder.ts';

const SECOND_MS = 1000;
/** Ages are kept modulo 49 days, timeouts are up to 30. */
const WEEK_MS = 7 * 24 * 3600 * SECOND_MS;
/** Resets that wait at most before they are sent: less than their queue holds (lb/expiry-reset.ts). */
const RESETS_AT_ONCE = 256;

export interface Expiry {
  /**
   * The last packet walked was a service's: if the table has its connection, the entry is due a timeout later. `ends`: FIN or
   * RST.
   */
  note(service: number, now: number, ends: boolean): void;
  /** Does what comes before `now`; calls `tell` with its time where resets wait to be sent. */
  until(now: number, tell: (atMs: number) => void): void;
  /** Brings tables and counters to where they stand at `now`, the end. */
  finish(now: number, tell: (atMs: number) => void): void;
}

/** A table whose service tells of expiries. */
interface Diary {
  readonly service: number;
  readonly table: ConnectionTable;
  /** By slot: the second in which its entry is due, as far as is known. */
  readonly due: Map<number, number>;
  /** By second: slots to look at when it ends. Each stands in one, or in a later one too, if its end came nearer. */
  readonly pages: Map<number, number[]>;
  /** All seconds before are done. */
  second: number;
}

export function createExpiry(forwarder: Forwarder): Expiry {
  const { tables, expiryRows, resets } = forwarder;
  const diaries = tables.map((table, service): Diary | undefined =>
    table === null || expiryRows[service] === null
      ? undefined
      : { service, table, due: new Map(), pages: new Map(), second: 0 },
  );
  const tellers = diaries.filter((each) => each !== undefined);
  const silent = tables.filter((table, service): table is ConnectionTable => table !== null && !diaries[service]);
  let silentSweptMs = 0;

  /** The second that is next in `diary` has ended. */
  function turnPage(diary: Diary, atMs: number, tell: (atMs: number) => void): void {
    const { service, table, due, pages, second } = diary;
    const slots = pages.get(second) ?? [];
    pages.delete(second);
    for (const slot of slots) {
      const later = due.get(slot) ?? second;
      if (later > second) {
        write(diary, later, slot);
        continue;
      }
      due.delete(slot);
      table.sweepSlot = slot;
      sweepForResets(forwarder, service, atMs, 1);
      if (resets.count >= RESETS_AT_ONCE) tell(atMs);
    }
    if (resets.count > 0) tell(atMs);
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
      const diary = diaries[service];
      if (diary === undefined) return;
      const { table, due } = diary;
      const slot = lastSlot(table);
      if (slot < 0) return;
      const timeoutMs = ends ? Math.min(CLOSING_TIMEOUT_MS, table.idleTimeoutMs) : table.idleTimeoutMs;
      // Due at the very end of a second, it is due in it.
      const second = Math.ceil((now + timeoutMs) / SECOND_MS) - 1;
      const known = due.get(slot);
      due.set(slot, second);
      if (known === undefined || second < known) write(diary, second, slot);
    },
    until(now, tell) {
      for (;;) {
        const diary = tellers.reduce<Diary | undefined>(earlier, undefined);
        if (diary === undefined) break;
        const atMs = (diary.second + 1) * SECOND_MS;
        if (atMs > now) break;
        turnPage(diary, atMs, tell);
        // Leaps over any silence where nothing is left to expire.
        diary.second = diary.pages.size > 0 ? diary.second + 1 : Math.floor(now / SECOND_MS);
      }
      sweepSilent(now);
    },
    finish(now, tell) {
      for (const { service, table } of tellers) {
        let expired: number;
        do {
          expired = table.expired;
          sweepForResets(forwarder, service, now, table.slotCount);
          if (resets.count > 0) tell(now);
        } while (table.expired > expired);
      }
      sweepTables(forwarder, now, Number.POSITIVE_INFINITY);
    },
  };
}

function write({ pages }: Diary, second: number, slot: number): void {
  const page = pages.get(second);
  if (page === undefined) pages.set(second, [slot]);
  else page.push(slot);
}

function earlier(first: Diary | undefined, diary: Diary): Diary {
  return first === undefined || diary.second < first.second ? diary : first;
}
