/**
 * The pieces of a fragmented datagram go to one backend, though only the first has ports. A small table remembers, by
 * addresses, identification and protocol, where first fragments went; later ones look it up. Those that overtake their
 * first are kept for a moment, copied. One store belongs to one worker, which needs all pieces of a datagram to come to
 * it: network cards spread fragments by addresses alone. lb/forwarder.ts calls it for packets that wire/fragment.ts calls
 * fragments, and needs it not where `hash: source-ip` says the same of every piece.
 *
 * ```
 * bucket    slot 0 | slot 1 | slot 2 | slot 3
 * slot      source | destination | identification | protocol, occupied | target | noted at      a word each
 * held      the four words of the key | held at | length                                       beside the frame's bytes
 * order     places in the order of their arrival, then the free ones
 * ```
 *
 * All is bounded: a full bucket forgets its oldest, frames beyond the store are refused. Flooding it costs fragments, of
 * others too, and nothing else: packets that are none don't come here.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { chainWords4 } from '../hashing/flow-hash.ts';
import { copyBytes } from '../wire/bytes.ts';

/**
 * How long a first fragment is remembered. RFC 1122, section 3.3.2, lets hosts wait 60 to 120 s for missing pieces, but a
 * sender's identifications may be round again within seconds (RFC 4963); pieces leave it back to back, and what is more
 * than a second late was lost.
 */
export const NOTED_MS = 2000;
/** How long a fragment waits for its first, which overtakes by what the network reorders: milliseconds. */
export const HELD_MS = 1000;

export const NO_TARGET = -1;
export const NOTHING_HELD = -1;

/** Places in `counters`: what became of fragments that came too early, and first ones forgotten for others' sake. */
export const FRAGMENTS_HELD = 0;
export const FRAGMENTS_RELEASED = 1;
export const FRAGMENTS_EXPIRED = 2;
export const FRAGMENTS_REFUSED = 3;
export const FRAGMENTS_EVICTED = 4;

const WAYS = 4;
const SLOT_WORDS = 6;
const PROTOCOL = 3;
const TARGET = 4;
const NOTED_AT = 5;
const OCCUPIED = 0x100;

const HELD_WORDS = 6;
const HELD_AT = 4;
const LENGTH = 5;

export interface FragmentStore {
  readonly slots: Int32Array;
  readonly bucketMask: number;
  readonly seed: number;
  readonly held: Int32Array;
  readonly order: Int32Array;
  readonly frameLength: number;
  readonly bytes: DataView;
  /** Frames held now. */
  heldCount: number;
  readonly counters: Float64Array;
}

export interface FragmentStoreSizes {
  /** Datagrams remembered; a power of two, 4 or more. */
  datagrams?: number;
  /** Frames held. */
  frames?: number;
  /** Bytes of the longest frame that is held; a multiple of 4. */
  frameLength?: number;
}

/** With the sizes that are the default, 152 KiB. `seed` is any word that senders don't know. */
export function createFragmentStore(
  seed: number,
  { datagrams = 1024, frames = 64, frameLength = 2048 }: FragmentStoreSizes = {},
): FragmentStore {
  return {
    slots: new Int32Array(datagrams * SLOT_WORDS),
    bucketMask: datagrams / WAYS - 1,
    seed,
    held: new Int32Array(frames * HELD_WORDS),
    order: Int32Array.from({ length: frames }, (_, place) => place),
    frameLength,
    bytes: new DataView(new ArrayBuffer(frames * frameLength)),
    heldCount: 0,
    counters: new Float64Array(5),
  };
}

/** For a new forwarding state: forgets all targets, which may mean others there. Held frames stay. */
export function forgetTargets(store: FragmentStore): void {
  store.slots.fill(0);
}

/**
 * Notes that the datagram's first fragment went to `target`, a number from 0 that is the caller's. In all these, `source` and
 * `destination` are words of an address or digests of it, `id` and `protocol` what wire/fragment.ts reads, and `now` is in
 * milliseconds modulo 2^32.
 */
export function noteFirst(
  store: FragmentStore,
  source: number,
  destination: number,
  id: number,
  protocol: number,
  target: number,
  now: number,
): void {
  const { slots } = store;
  let at = locate(store, source, destination, id, protocol);
  if (at < 0) at = vacate(store, bucketOf(store, source, destination, id, protocol), now);
  slots[at] = source;
  slots[at + 1] = destination;
  slots[at + 2] = id;
  slots[at + PROTOCOL] = protocol | OCCUPIED;
  slots[at + TARGET] = target;
  slots[at + NOTED_AT] = now;
}

/** Where the datagram's first fragment went, or NO_TARGET. */
export function findTarget(
  store: FragmentStore,
  source: number,
  destination: number,
  id: number,
  protocol: number,
  now: number,
): number {
  const at = locate(store, source, destination, id, protocol);
  return at < 0 || isOver(store.slots[at + NOTED_AT], now, NOTED_MS) ? NO_TARGET : store.slots[at + TARGET];
}

/** Copies the frame of `length` bytes at `offset`, to wait for its first fragment. False where it is refused. */
export function hold(
  store: FragmentStore,
  view: DataView,
  offset: number,
  length: number,
  source: number,
  destination: number,
  id: number,
  protocol: number,
  now: number,
): boolean {
  const { held, order, frameLength } = store;
  expireHeld(store, now);
  if (store.heldCount === order.length || length > frameLength) {
    store.counters[FRAGMENTS_REFUSED]++;
    return false;
  }
  const place = order[store.heldCount++];
  const at = place * HELD_WORDS;
  held[at] = source;
  held[at + 1] = destination;
  held[at + 2] = id;
  held[at + PROTOCOL] = protocol;
  held[at + HELD_AT] = now;
  held[at + LENGTH] = length;
  copyBytes(view, offset, store.bytes, place * frameLength, length);
  store.counters[FRAGMENTS_HELD]++;
  return true;
}

/** The datagram's oldest frame that is held, for `heldLength` and `release`, or NOTHING_HELD. */
export function nextHeld(
  store: FragmentStore,
  source: number,
  destination: number,
  id: number,
  protocol: number,
  now: number,
): number {
  if (store.heldCount === 0) return NOTHING_HELD;
  const { held, order } = store;
  expireHeld(store, now);
  for (let i = 0; i < store.heldCount; i++) {
    const at = order[i] * HELD_WORDS;
    if (held[at] !== source || held[at + 1] !== destination) continue;
    if (held[at + 2] === id && held[at + PROTOCOL] === protocol) return order[i];
  }
  return NOTHING_HELD;
}

/** The oldest frame that is held and whose datagram's first fragment is known by now, or NOTHING_HELD. */
export function nextDue(store: FragmentStore, now: number): number {
  const { held, order } = store;
  for (let i = 0; i < store.heldCount; i++) {
    const at = order[i] * HELD_WORDS;
    const target = findTarget(store, held[at], held[at + 1], held[at + 2], held[at + PROTOCOL], now);
    if (target !== NO_TARGET) return order[i];
  }
  return NOTHING_HELD;
}

/** Bytes of the frame held at `place`. */
export function heldLength(store: FragmentStore, place: number): number {
  return store.held[place * HELD_WORDS + LENGTH];
}

/** Copies the frame held at `place` to `offset` of `view`, and holds it no more. */
export function release(store: FragmentStore, place: number, view: DataView, offset: number): void {
  copyBytes(store.bytes, place * store.frameLength, view, offset, heldLength(store, place));
  store.counters[FRAGMENTS_RELEASED]++;
  free(store, store.order.indexOf(place));
}

/** Gives up frames that have waited too long. Called by the others here; a worker may call it between batches. */
export function expireHeld(store: FragmentStore, now: number): void {
  const { held, order } = store;
  while (store.heldCount > 0 && isOver(held[order[0] * HELD_WORDS + HELD_AT], now, HELD_MS)) {
    store.counters[FRAGMENTS_EXPIRED]++;
    free(store, 0);
  }
}

function isOver(since: number, now: number, limitMs: number): boolean {
  return (now - since) >>> 0 > limitMs;
}

/** Takes the i-th in order out of those that are held: behind the last of them stand the free ones. */
function free(store: FragmentStore, i: number): void {
  const { order } = store;
  const place = order[i];
  const last = --store.heldCount;
  for (let k = i; k < last; k++) order[k] = order[k + 1];
  order[last] = place;
}

function bucketOf(store: FragmentStore, source: number, destination: number, id: number, protocol: number): number {
  const hash = chainWords4(source, destination, id, protocol, store.seed);
  return (hash & store.bucketMask) * WAYS * SLOT_WORDS;
}

/** The datagram's slot, expired or not, or -1. */
function locate(store: FragmentStore, source: number, destination: number, id: number, protocol: number): number {
  const { slots } = store;
  const bucket = bucketOf(store, source, destination, id, protocol);
  for (let way = 0; way < WAYS; way++) {
    const at = bucket + way * SLOT_WORDS;
    if (slots[at] !== source || slots[at + 1] !== destination) continue;
    if (slots[at + 2] === id && slots[at + PROTOCOL] === (protocol | OCCUPIED)) return at;
  }
  return -1;
}

/** A slot of the bucket that is free, or over, or the oldest. */
function vacate(store: FragmentStore, bucket: number, now: number): number {
  const { slots } = store;
  let oldest = bucket;
  let oldestAge = -1;
  for (let way = 0; way < WAYS; way++) {
    const at = bucket + way * SLOT_WORDS;
    if (slots[at + PROTOCOL] === 0) return at;
    const age = (now - slots[at + NOTED_AT]) >>> 0;
    if (age > oldestAge) {
      oldest = at;
      oldestAge = age;
    }
  }
  if (oldestAge <= NOTED_MS) store.counters[FRAGMENTS_EVICTED]++;
  return oldest;
}
