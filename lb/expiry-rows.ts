/**
 * What `onExpiry: reset` remembers of each connection, beside its entry in the connection table: what the client sent last. A
 * row for each slot; lb/expiry-reset.ts writes them for the segments of such services and makes RSTs of them.
 *
 * ```
 * row   SEQ + LEN | ACK | source | both ports | MAC low | MAC high, state                   24 bytes a slot, 48 a connection
 *       and of an IPv6 service | the client's address, four words                           40 bytes a slot, 80 a connection
 * state 0 not live; the low half says whether it has ended │ n live, at backend n - 1
 * ```
 *
 * `source` is the address of IPv4, or what stands for one of IPv6 (lb/arrivals.ts), from which no packet can be made.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { type Allocate, type ConnectionTable, slotOf } from '../conntrack/table.ts';
import { ETHERNET_HEADER_LENGTH, sourceMacHigh, sourceMacLow } from '../wire/ethernet.ts';
import { sourceWord } from '../wire/ipv6.ts';
import { ACK, acknowledgement, FIN, RST } from '../wire/tcp.ts';
import type { Forwarder } from './forwarder.ts';
import { sequenceEnd } from './reset.ts';

export const SEQUENCE_END = 0;
export const ACKNOWLEDGED = 1;
export const SOURCE = 2;
export const PORTS = 3;
export const MAC_LOW = 4;
/** MAC high in the low half, state in the high half; or NOTHING or ENDED. */
export const STATE = 5;
const IPV4_ROW = 6;
/** Of IPv6 alone. */
export const ADDRESS = IPV4_ROW;
/** Words of the longest row. */
export const LONGEST_ROW = ADDRESS + 4;

export const NOTHING = 0;
const ENDED = 1;

/** One service's rows, by slot of its connection table. */
export interface ExpiryRows {
  readonly words: Int32Array;
  /** Of a row. */
  readonly rowWords: number;
}

/** In what `allocate` gives, which is zeroed, or in JavaScript's memory. */
export function createExpiryRows(
  { slotCount }: ConnectionTable,
  isIpv6: boolean,
  allocate: Allocate = (bytes) => new ArrayBuffer(bytes),
): ExpiryRows {
  const rowWords = isIpv6 ? LONGEST_ROW : IPV4_ROW;
  return { words: new Int32Array(allocate(slotCount * rowWords * Int32Array.BYTES_PER_ELEMENT)), rowWords };
}

/**
 * Connections from which on rows are fetched ahead: those of fewer are in the core's cache anyway, and looking for them twice
 * costs 15 ns a packet. At a million it saves 100 (measured 2026-11, 2 MiB of cache a core).
 */
export const WORTH_PREFETCHING = 32_768;

/**
 * Fetches the row that `noteInRow` will look into, which lies on one cache line or on two. For a whole batch between the
 * passes, as `prefetch` of the connection table; the number has no meaning either.
 */
export function prefetchRow(
  { words, rowWords }: ExpiryRows,
  table: ConnectionTable,
  hash: number,
  source: number,
  ports: number,
): number {
  const slot = slotOf(table, hash, source, ports);
  if (slot < 0) return 0;
  const row = slot * rowWords;
  return words[row] ^ words[row + rowWords - 1];
}

/** Notes in the row at word `row` what packet `i` tells of its connection, which is at `backend`. */
export function noteInRow(
  { view, batch, flows }: Forwarder,
  { words, rowWords }: ExpiryRows,
  row: number,
  i: number,
  backend: number,
): void {
  const flags = flows.tcpFlags[i];
  if ((flags & (FIN | RST)) !== 0) words[row + STATE] = ENDED;
  const state = words[row + STATE];
  if ((flags & ACK) === 0 || state === ENDED) return;

  const ip = batch.offset[i] + ETHERNET_HEADER_LENGTH;
  const segment = flows.l4[i];
  const end = sequenceEnd(view, segment, ip + flows.ipLength[i] - segment, flags);
  const acknowledged = acknowledgement(view, segment);
  // What comes again or out of order takes nothing back: a keep-alive probe's SEQ is one below what was sent.
  if (state === NOTHING || isAfter(end, words[row + SEQUENCE_END])) words[row + SEQUENCE_END] = end;
  if (state === NOTHING || isAfter(acknowledged, words[row + ACKNOWLEDGED])) words[row + ACKNOWLEDGED] = acknowledged;
  words[row + SOURCE] = flows.source[i];
  words[row + PORTS] = flows.ports[i];
  words[row + MAC_LOW] = sourceMacLow(view, batch.offset[i]);
  words[row + STATE] = sourceMacHigh(view, batch.offset[i]) | ((backend + 1) << 16);
  if (rowWords > ADDRESS && state === NOTHING) {
    for (let k = 0; k < 4; k++) words[row + ADDRESS + k] = sourceWord(view, ip, k);
  }
}

/** Sequence numbers compare modulo 2^32 (RFC 9293, 3.4). */
function isAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}
