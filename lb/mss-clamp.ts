/**
 * `mssClamp`: lowers the MSS that a client's SYN announces, so that what goes by the tunnel's overhead fits the path.
 * lb/forwarder.ts calls `clampMss` for the SYNs of services with it.
 *
 * An MSS limits what its receiver sends: here the backend. What the client sends is limited by the backend's SYN-ACK, which
 * goes round the balancer; Linux announces there what its route says, whatever it was announced. So this alone makes
 * room for a client's large request only with backends that announce no more than they heard; with others `hushlb decap
 * --mss-clamp` does it there (dsr/syn-ack-clamp.ts), or their route (`ip route … advmss`), or path MTU discovery, with the
 * errors that lb/too-big.ts writes.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { updateChecksum } from '../wire/checksum.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH } from '../wire/ipv6.ts';
import { checksumField, flags, SYN, TCP_HEADER_LENGTH } from '../wire/tcp.ts';

const CHECKSUM = 16;

/** Option kinds of RFC 9293, section 3.1. */
const END = 0;
const NO_OPERATION = 1;
const MSS = 2;
const MSS_LENGTH = 4;

/** Bytes of data in a segment that fits a packet of `largest` bytes, without IP and TCP options; 0 where there are none. */
export function mssThatFits(largest: number, isV6: boolean): number {
  return Math.max(0, largest - (isV6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH) - TCP_HEADER_LENGTH);
}

/**
 * Lowers the MSS option of the SYN at `l4` to `maxMss` where it is above, and brings the checksum after it (RFC 1624); true
 * where it did. `tcpHeaderLength` was checked at the door. Nothing is touched in a segment without SYN, by a `maxMss`
 * of 0, or where the options don't add up: then nobody knows what the backend would read there.
 *
 * The checksum must be a whole one: call it before or after `hasUnfinishedChecksum` (wire/flow.ts) has had its say, but not
 * for a segment of which that is true.
 */
export function clampMss(view: DataView, l4: number, tcpHeaderLength: number, maxMss: number): boolean {
  if (maxMss <= 0 || (flags(view, l4) & SYN) === 0) return false;
  const end = l4 + tcpHeaderLength;
  // Of two MSS options a receiver takes the last, or the first: so all of them count, and most segments have one.
  if (!hasLargerMss(view, l4 + TCP_HEADER_LENGTH, end, maxMss)) return false;
  for (let at = l4 + TCP_HEADER_LENGTH; at < end; at += optionLength(view, at, end)) {
    const kind = view.getUint8(at);
    if (kind === END) break;
    if (kind === MSS && view.getUint16(at + 2) > maxMss) lower(view, l4, at + 2, maxMss);
  }
  return true;
}

/** False too where the options are malformed. */
function hasLargerMss(view: DataView, start: number, end: number, maxMss: number): boolean {
  let found = false;
  for (let at = start; at < end; ) {
    const kind = view.getUint8(at);
    if (kind === END) break;
    const length = optionLength(view, at, end);
    if (length === 0 || (kind === MSS && length !== MSS_LENGTH)) return false;
    if (kind === MSS && view.getUint16(at + 2) > maxMss) found = true;
    at += length;
  }
  return found;
}

/** Bytes of the option at `at`, or 0 where its length is missing, too small, or reaches beyond the header. */
function optionLength(view: DataView, at: number, end: number): number {
  if (view.getUint8(at) === NO_OPERATION) return 1;
  if (at + 2 > end) return 0;
  const length = view.getUint8(at + 1);
  return length < 2 || at + length > end ? 0 : length;
}

function lower(view: DataView, l4: number, place: number, mss: number): void {
  const before = view.getUint16(place);
  view.setUint16(place, mss);
  // At an odd place its bytes are halves of two words, low before high: the same sum as of one word with its bytes swapped.
  const isOdd = ((place - l4) & 1) !== 0;
  const sum = updateChecksum(checksumField(view, l4), isOdd ? swap(before) : before, isOdd ? swap(mss) : mss);
  view.setUint16(l4 + CHECKSUM, sum);
}

function swap(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}
