/**
 * `tooBig: fragment`: a packet without DF that is too big for the way to its backend is cut (RFC 791, section 3.2). The packet
 * itself is, before it is encapsulated, and not the outer one as RFC 2003 has it in mind: every backend's kernel puts
 * together what it gets for its own address, pieces of pieces too, while tunnel ends that have to do it first do so at
 * the cost that RFC 4459, section 3.1, warns of; L2 has no outer packet at all. The price is an outer header a piece.
 *
 * lb/forwarder.ts calls `cut` for such packets, and encapsulates each of the frames. IPv6 is never cut by anybody but its
 * sender (RFC 8200, section 5): there, and with DF, lb/too-big.ts tells the sender.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { type PacketDevice, RELEASE } from '../io/device.ts';
import { copyBytes } from '../wire/bytes.ts';
import { checksum } from '../wire/checksum.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';

/** What every link of IPv4 takes whole (RFC 791): the longest header, and eight bytes. */
const SMALLEST = 68;

const TOTAL_LENGTH = 2;
const FLAGS_AND_OFFSET = 6;
const MORE_FRAGMENTS = 0x2000;
const CHECKSUM = 10;

const END = 0;
const NO_OPERATION = 1;
/** Options with this bit are in every piece (RFC 791, section 3.1), the others in the first. */
const COPIED = 0x80;

type Frames = Pick<PacketDevice, 'view' | 'batch' | 'append'>;

/**
 * Cuts the IPv4 packet of row `row` into packets of at most `largest` bytes, each but the last as long as it can be. The
 * first stays in its row, which is shortened to it; the others follow in rows that are appended, from `batch.count` on as
 * it was before the call. Ethernet headers are copied. `ipLength` was checked at the door.
 *
 * Returns how many rows were appended: 0, and nothing touched, where the packet fits, must not be cut or cannot be (DF,
 * IPv6, `largest` below 68), and where the device has no free frames for all of it; rows appended in vain then say RELEASE.
 */
export function cut(device: Frames, row: number, ipLength: number, largest: number): number {
  const { view, batch } = device;
  const frame = batch.offset[row];
  const ip = frame + ETHERNET_HEADER_LENGTH;
  if (ipv4.version(view, ip) !== 4 || ipv4.hasDf(view, ip)) return 0;
  if (largest < SMALLEST || ipLength <= largest) return 0;
  const headerLength = ipv4.headerLength(view, ip);
  const step = (largest - headerLength) & ~7;
  const data = ipLength - headerLength;
  const later = Math.ceil(data / step) - 1;

  const first = batch.count;
  for (let k = 1; k <= later; k++) {
    const length = Math.min(step, data - k * step);
    const added = device.append(ETHERNET_HEADER_LENGTH + headerLength + length);
    if (added < 0) return giveBack(device, first);
    writeLater(view, frame, batch.offset[added], headerLength, k * step, length, k < later);
  }
  shorten(view, ip, headerLength, step);
  batch.length[row] = ETHERNET_HEADER_LENGTH + headerLength + step;
  return later;
}

function giveBack({ batch }: Frames, first: number): number {
  for (let i = first; i < batch.count; i++) batch.action[i] = RELEASE;
  return 0;
}

/** The piece of `length` bytes from byte `start` of the data of the packet in the frame at `from`. */
function writeLater(
  view: DataView,
  from: number,
  to: number,
  headerLength: number,
  start: number,
  length: number,
  isFollowed: boolean,
): void {
  const headers = ETHERNET_HEADER_LENGTH + headerLength;
  copyBytes(view, from, view, to, headers);
  copyBytes(view, from + headers + start, view, to + headers, length);
  const ip = to + ETHERNET_HEADER_LENGTH;
  dropOptionsOfFirst(view, ip + ipv4.IPV4_HEADER_LENGTH, ip + headerLength);
  // The packet may be a piece itself: its place counts, and its last piece is followed by what it was followed by.
  const more = isFollowed ? MORE_FRAGMENTS : view.getUint16(ip + FLAGS_AND_OFFSET) & MORE_FRAGMENTS;
  setPlace(view, ip, headerLength, length, more | ((ipv4.fragmentOffset(view, ip) + start) >>> 3));
}

function shorten(view: DataView, ip: number, headerLength: number, length: number): void {
  setPlace(view, ip, headerLength, length, MORE_FRAGMENTS | (ipv4.fragmentOffset(view, ip) >>> 3));
}

function setPlace(view: DataView, ip: number, headerLength: number, length: number, place: number): void {
  view.setUint16(ip + TOTAL_LENGTH, headerLength + length);
  view.setUint16(ip + FLAGS_AND_OFFSET, place);
  view.setUint16(ip + CHECKSUM, 0);
  view.setUint16(ip + CHECKSUM, checksum(view, ip, headerLength));
}

/** By "no operation", so that the header keeps its length. What doesn't add up stays: receivers refuse it, as they would have. */
function dropOptionsOfFirst(view: DataView, start: number, end: number): void {
  let at = start;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === END) return;
    if (kind === NO_OPERATION) {
      at++;
      continue;
    }
    const length = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) return;
    if ((kind & COPIED) === 0) for (let i = at; i < at + length; i++) view.setUint8(i, NO_OPERATION);
    at += length;
  }
}
