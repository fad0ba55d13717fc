/**
 * The connection table: which backend a connection was sent to, so that it stays there while backends come and go. It
 * is a cache and never the truth: entries expire silently, and a full table forgets or refuses, because every packet
 * can be placed by hash all the same. One table belongs to one service of one worker (no other thread touches it), so
 * VIP and protocol are not part of the key. The forwarder calls `prefetch`, `find` and `insert` for each packet; the
 * worker calls `sweep` between batches.
 *
 * ```
 * bucket   slot 0 | slot 1 | slot 2 | slot 3                              64 bytes
 * slot     last seen | meta | source address | both ports                 a word each
 * meta     bits 0-15 backend | 16 occupied | 17 closing | 18 proven | 19-31 unused
 * ```
 *
 * A connection is in one of eight slots: four in the bucket that its hash names, four in the one that its remixed hash
 * names. There are two slots, 32 bytes, for each connection of the capacity: random keys fill a table to its capacity
 * while 0.4 % of them push out another. An entry is proven by its connection's second packet, and from then on nobody
 * pushes it out unless it has been silent for half of its timeout: a flood of SYNs, each seen once, makes room for itself
 * among its own. And for others: what is new gets a free slot of its eight also when the table is full, as long as there is
 * somebody to push out elsewhere. The key stands last in its slot, and only `locateIn` and `insert` know how long
 * it is; all else goes by `slotWords`, so that a longer key is two more such functions.
 *
 * Times are milliseconds of a clock that doesn't step, kept modulo 2^32 (49.7 days). An entry's age is right as long as
 * a sweep passes it once within 2^32 ms after its timeout; with the longest timeout, 30 days, that leaves 19 days.
 *
 * Longer than 300 lines because the bits of a slot are known here, and beside it only to conntrack/entries.ts, where people look
 * at them.
 */
// Hot path: no allocation, no throw, no closure, no await.

/** What `find` returns for a connection that the table doesn't know. */
export const MISS = -1;

/** A connection that has sent FIN or RST is kept this long: enough for its last packets to follow the others. */
export const CLOSING_TIMEOUT_MS = 5_000;

export const MAX_IDLE_TIMEOUT_MS = 30 * 24 * 3600 * 1000;
export const MAX_CAPACITY = 2 ** 26;

const WAYS = 4;

/**
 * Slots that a full table looks through for an entry to push out: with half of its entries protected, all but one search in
 * 10,000 find one; with all of them, a refusal costs reading eight buckets in a row.
 */
const ROOM_SEARCH = 32;

/** Words of a slot; those of the key come last. */
export const LAST_SEEN = 0;
export const META = 1;
export const KEY = 2;
const IPV4_KEY_WORDS = 2;

export const BACKEND_MASK = 0xffff;
export const OCCUPIED = 1 << 16;
export const CLOSING = 1 << 17;
export const PROVEN = 1 << 18;

export type Allocate = (bytes: number) => ArrayBuffer;

export interface ConnectionTable {
  readonly capacity: number;
  idleTimeoutMs: number;
  closingTimeoutMs: number;
  /** Twice the capacity, in whole buckets: what `sweep` passes over. */
  readonly slotCount: number;
  readonly slotWords: number;
  readonly bucketWords: number;
  /** Buckets for each unit of the hash: multiplying scales a 32-bit hash to a bucket, whatever their number. */
  readonly bucketScale: number;
  readonly words: Int32Array;
  /** Entries in the table now, those included that have idled out and were not passed since. */
  size: number;
  /** Connections taken in since the table was made; overwriting a live entry of the same key is not one. */
  inserted: number;
  /** Entries removed because they idled out. */
  expired: number;
  /** Live entries removed to make room for another. */
  evicted: number;
  /** Connections that were not taken in: their eight slots were protected, or the table was full of those that are. */
  refused: number;
  /** Where the connection of the last `find` or `insert` is, or -1: the first word of its slot. */
  lastPlace: number;
  /** The slot that the next `sweep` begins at. */
  sweepSlot: number;
  /** The slot that the next search for room begins at. */
  roomSlot: number;
  /** The slot whose entry was last found to have idled out; whoever wants to know of the next one sets it to -1. */
  lastExpired: number;
}

/**
 * Makes a table for `capacity` connections. JavaScript's memory becomes resident as it is used, a page at a time: a large
 * capacity costs a small service nothing.
 *
 * @throws RangeError for a capacity outside 1 to 2^26 or an idle timeout outside 1 ms to 30 days.
 */
export function createConnectionTable(options: {
  readonly capacity: number;
  readonly idleTimeoutMs: number;
  /** Gives zeroed memory; JavaScript's own by default. */
  readonly allocate?: Allocate | undefined;
}): ConnectionTable {
  const { capacity, idleTimeoutMs, allocate = (bytes) => new ArrayBuffer(bytes) } = options;
  checkIdleTimeout(idleTimeoutMs);
  if (!(Number.isInteger(capacity) && capacity >= 1 && capacity <= MAX_CAPACITY)) {
    throw new RangeError(`connection table capacity ${capacity}: expected a whole number from 1 to ${MAX_CAPACITY}`);
  }
  const bucketCount = Math.ceil((2 * capacity) / WAYS);
  const slotWords = KEY + IPV4_KEY_WORDS;
  return {
    capacity,
    idleTimeoutMs,
    closingTimeoutMs: Math.min(idleTimeoutMs, CLOSING_TIMEOUT_MS),
    slotCount: bucketCount * WAYS,
    slotWords,
    bucketWords: WAYS * slotWords,
    bucketScale: bucketCount / 2 ** 32,
    words: new Int32Array(allocate(bucketCount * WAYS * slotWords * Int32Array.BYTES_PER_ELEMENT)),
    size: 0,
    inserted: 0,
    expired: 0,
    evicted: 0,
    refused: 0,
    lastPlace: -1,
    sweepSlot: 0,
    roomSlot: 0,
    lastExpired: -1,
  };
}

/** From now on entries live that long without a packet, those in the table too. Throws RangeError as above. */
export function setIdleTimeout(table: ConnectionTable, idleTimeoutMs: number): void {
  checkIdleTimeout(idleTimeoutMs);
  table.idleTimeoutMs = idleTimeoutMs;
  table.closingTimeoutMs = Math.min(idleTimeoutMs, CLOSING_TIMEOUT_MS);
}

function checkIdleTimeout(idleTimeoutMs: number): void {
  if (!(idleTimeoutMs >= 1 && idleTimeoutMs <= MAX_IDLE_TIMEOUT_MS)) {
    throw new RangeError(`idle timeout ${idleTimeoutMs} ms: expected 1 to ${MAX_IDLE_TIMEOUT_MS} (30 days)`);
  }
}

/**
 * Fetches the bucket that `find` and `insert` will look into first. Called for a whole batch before the first `find`, it
 * lets the cache misses overlap. The number has no meaning; the caller must use it, or the load is optimised away.
 */
export function prefetch(table: ConnectionTable, hash: number): number {
  return table.words[primaryBucket(table, hash)];
}

/**
 * The backend of a connection, or MISS. A hit counts as seen now; an entry that has idled out is removed on the spot.
 *
 * @param hash 32 bits, signed or not, over all key words: connections that share it share eight slots.
 * @param key0, key1 the 32-bit key words, signed or not.
 */
export function find(table: ConnectionTable, hash: number, key0: number, key1: number, now: number): number {
  const { words } = table;
  const place = locate(table, hash, key0, key1);
  if (place < 0 || hasIdledOut(table, place, now)) {
    if (place >= 0) vacate(table, place, now);
    table.lastPlace = -1;
    return MISS;
  }
  const at = (place + META) | 0;
  const meta = words[at];
  words[place + LAST_SEEN] = now;
  words[at] = meta | PROVEN;
  table.lastPlace = place;
  return meta & BACKEND_MASK;
}

/**
 * Notes that a connection goes to `backend` (0 to 65535), whatever the table said of it before: a SYN that reuses the
 * ports of an old connection must not follow it to its backend.
 *
 * A new connection takes, of its eight slots, the first that is free or has idled out, or else that of the entry seen
 * least recently among those that are not protected. A table that holds `capacity` entries gives a free slot away only where
 * there is nobody to follow, and pushes out an unprotected entry elsewhere for it. Where that finds none either, the
 * connection is not taken in.
 */
export function insert(
  table: ConnectionTable,
  hash: number,
  key0: number,
  key1: number,
  backend: number,
  now: number,
): void {
  const { words } = table;
  let place = locate(table, hash, key0, key1);
  if (place < 0 || hasIdledOut(table, place, now)) {
    if (place < 0) place = chooseSlot(table, hash, now);
    if (place < 0) {
      table.lastPlace = -1;
      table.refused++;
      return;
    }
    vacate(table, place, now);
    table.size++;
    table.inserted++;
    words[place + KEY] = key0;
    words[place + KEY + 1] = key1;
  }
  words[place + LAST_SEEN] = now;
  words[place + META] = OCCUPIED | backend;
  table.lastPlace = place;
}

/** The connection of the last `find` or `insert` has sent FIN or RST: from now on it idles out sooner. */
export function markClosing(table: ConnectionTable): void {
  if (table.lastPlace >= 0) table.words[table.lastPlace + META] |= CLOSING;
}

/** Takes the connection of the last `find` or `insert` out of the table; it is in none of the counters. */
export function forget(table: ConnectionTable): void {
  if (table.lastPlace < 0) return;
  table.words[table.lastPlace + META] = 0;
  table.lastPlace = -1;
  table.size--;
}

/**
 * Removes what has idled out from the next `maxSlots` slots, all of them at most, and returns how many that were. Ends early
 * after `maxExpired`, the next sweep begins there; writes the slots that it emptied to `expired`, if there is one.
 */
export function sweep(
  table: ConnectionTable,
  now: number,
  maxSlots: number,
  expired: Int32Array | null = null,
  maxExpired = maxSlots,
): number {
  const { words, slotCount } = table;
  let count = 0;
  let slot = table.sweepSlot;
  for (let left = Math.min(maxSlots, slotCount); left > 0 && count < maxExpired; left--) {
    const place = slot * table.slotWords;
    if ((words[place + META] & OCCUPIED) !== 0 && hasIdledOut(table, place, now)) {
      vacate(table, place, now);
      if (expired !== null) expired[count] = slot;
      count++;
    }
    slot++;
    if (slot === slotCount) slot = 0;
  }
  table.sweepSlot = slot;
  table.lastPlace = -1;
  return count;
}

/** The slot of the connection of the last `find` or `insert`, from 0 to `slotCount` - 1; -1 if it is in none. */
export function lastSlot(table: ConnectionTable): number {
  return table.lastPlace < 0 ? -1 : (table.lastPlace / table.slotWords) | 0;
}

/** The slot of a connection, idled out or not; -1 if it is in none. Changes nothing. */
export function slotOf(table: ConnectionTable, hash: number, key0: number, key1: number): number {
  const place = locate(table, hash, key0, key1);
  return place < 0 ? -1 : (place / table.slotWords) | 0;
}

/** The backend of a connection, or MISS, as `find` would say. Changes nothing: it doesn't count as seen. */
export function peek(table: ConnectionTable, hash: number, key0: number, key1: number, now: number): number {
  const place = locate(table, hash, key0, key1);
  return place < 0 || hasIdledOut(table, place, now) ? MISS : table.words[place + META] & BACKEND_MASK;
}

/** Forgets all connections. The counters stay: what is forgotten here is in none of them. */
export function clear(table: ConnectionTable): void {
  table.words.fill(0);
  table.size = 0;
  table.lastPlace = -1;
}

/** Where the connection is, idled out or not; -1 if it is nowhere. */
function locate(table: ConnectionTable, hash: number, key0: number, key1: number): number {
  const place = locateIn(table, primaryBucket(table, hash), key0, key1);
  return place >= 0 ? place : locateIn(table, secondaryBucket(table, hash), key0, key1);
}

function locateIn(table: ConnectionTable, bucket: number, key0: number, key1: number): number {
  const { words, slotWords } = table;
  const end = (bucket + table.bucketWords) | 0;
  for (let place = bucket; place < end; place = (place + slotWords) | 0) {
    const isSame = words[(place + KEY) | 0] === (key0 | 0) && words[(place + KEY + 1) | 0] === (key1 | 0);
    if (isSame && (words[(place + META) | 0] & OCCUPIED) !== 0) return place;
  }
  return -1;
}

/** The slot for a connection that is not in the table, as `insert` promises; -1 if it is not to be taken in. */
function chooseSlot(table: ConnectionTable, hash: number, now: number): number {
  const { words } = table;
  const isFull = table.size >= table.capacity;
  const primary = primaryBucket(table, hash);
  const secondary = secondaryBucket(table, hash);
  let free = -1;
  let oldest = -1;
  let oldestAge = -1;
  for (let way = 0; way < 2 * WAYS; way++) {
    const place = (way < WAYS ? primary : secondary) + (way % WAYS) * table.slotWords;
    if ((words[place + META] & OCCUPIED) === 0) {
      if (!isFull) return place;
      if (free < 0) free = place;
      continue;
    }
    if (hasIdledOut(table, place, now)) return place;
    const age = ageOf(words, place, now);
    if (age > oldestAge && !isProtected(table, place, age)) {
      oldest = place;
      oldestAge = age;
    }
  }
  if (oldest < 0 && free >= 0 && makeRoom(table, now)) return free;
  return oldest;
}

/** Removes an entry that is not protected, whosever it is; false if the next `ROOM_SEARCH` slots have none. */
function makeRoom(table: ConnectionTable, now: number): boolean {
  const { words, slotCount } = table;
  for (let left = ROOM_SEARCH; left > 0; left--) {
    const slot = table.roomSlot;
    table.roomSlot = slot + 1 === slotCount ? 0 : slot + 1;
    const place = slot * table.slotWords;
    if ((words[place + META] & OCCUPIED) === 0) continue;
    if (isProtected(table, place, ageOf(words, place, now)) && !hasIdledOut(table, place, now)) continue;
    vacate(table, place, now);
    return true;
  }
  return false;
}

function isProtected(table: ConnectionTable, place: number, age: number): boolean {
  return (table.words[place + META] & PROVEN) !== 0 && age < table.idleTimeoutMs / 2;
}

/** Takes the entry of a slot out of the table, if it has one. */
function vacate(table: ConnectionTable, place: number, now: number): void {
  const { words } = table;
  if ((words[place + META] & OCCUPIED) === 0) return;
  if (hasIdledOut(table, place, now)) {
    table.expired++;
    table.lastExpired = (place / table.slotWords) | 0;
  } else table.evicted++;
  table.size--;
  words[place + META] = 0;
}

/** True from the moment on at which a timeout has passed without a packet. */
function hasIdledOut(table: ConnectionTable, place: number, now: number): boolean {
  const isClosing = (table.words[place + META] & CLOSING) !== 0;
  return ageOf(table.words, place, now) >= (isClosing ? table.closingTimeoutMs : table.idleTimeoutMs);
}

function ageOf(words: Int32Array, place: number, now: number): number {
  return (now - words[place + LAST_SEEN]) >>> 0;
}

/** First word of the bucket that the hash names. */
function primaryBucket(table: ConnectionTable, hash: number): number {
  return Math.imul((hash >>> 0) * table.bucketScale, table.bucketWords);
}

/** The other bucket: a multiplication carries the low bits, which the first choice ignores, to the top. */
function secondaryBucket(table: ConnectionTable, hash: number): number {
  return primaryBucket(table, Math.imul(hash ^ (hash >>> 16), 0x9e3779b1));
}
