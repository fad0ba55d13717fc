/**
 * The entries of a connection table, one slot after the other, for people who look at it: cold, beside the packets' functions
 * in conntrack/table.ts, whose slots it reads. lb/entry-scan.ts walks over them in short pieces between two batches.
 */
import { BACKEND_MASK, CLOSING, type ConnectionTable, KEY, LAST_SEEN, META, OCCUPIED, PROVEN } from './table.ts';

/** What a slot says; written over with each one that is read. */
export interface Entry {
  /** The key, signed words as `insert` was given them. */
  key0: number;
  key1: number;
  backend: number;
  /** Since its last packet, in ms. */
  idleMs: number;
  /** Until it is forgotten, if no packet comes. */
  remainingMs: number;
  /** Its connection has sent a second packet. */
  isProven: boolean;
  /** FIN or RST was seen. */
  isClosing: boolean;
}

/** For `readEntry` to write over: one does for all slots. */
export function createEntry(): Entry {
  return { key0: 0, key1: 0, backend: 0, idleMs: 0, remainingMs: 0, isProven: false, isClosing: false };
}

/**
 * Reads slot `slot`, from 0 to `slotCount` - 1, into `entry` and changes nothing: it does not count as seen. False where
 * the slot is empty or its entry has idled out, which nobody will find again.
 */
export function readEntry(table: ConnectionTable, slot: number, now: number, entry: Entry): boolean {
  const { words } = table;
  const place = slot * table.slotWords;
  const meta = words[place + META];
  if ((meta & OCCUPIED) === 0) return false;
  const idleMs = (now - words[place + LAST_SEEN]) >>> 0;
  const isClosing = (meta & CLOSING) !== 0;
  const timeoutMs = isClosing ? table.closingTimeoutMs : table.idleTimeoutMs;
  if (idleMs >= timeoutMs) return false;
  entry.key0 = words[place + KEY];
  entry.key1 = words[place + KEY + 1];
  entry.backend = meta & BACKEND_MASK;
  entry.idleMs = idleMs;
  entry.remainingMs = timeoutMs - idleMs;
  entry.isProven = (meta & PROVEN) !== 0;
  entry.isClosing = isClosing;
  return true;
}

/** Empties a slot, silently: it is counted neither as expired nor as evicted. */
export function removeEntry(table: ConnectionTable, slot: number): void {
  const at = slot * table.slotWords + META;
  if ((table.words[at] & OCCUPIED) === 0) return;
  table.words[at] = 0;
  table.size--;
  table.lastPlace = -1;
}
