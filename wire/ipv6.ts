/**
 * IPv6 headers (RFC 8200) in place. `offset` is the header's first byte; lengths were checked at the door (wire/flow.ts),
 * so the accessors read without looking. Addresses travel as four words loaded little-endian, opaque, ready to be
 * compared and hashed; numbers (lengths, flow labels) are in host order.
 *
 * `walkExtensions` is the exception: it takes any bytes, and finds layer 4 behind the extension headers.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { sumWords } from './checksum.ts';

export const IPV6_HEADER_LENGTH = 40;
/** An IPv6 packet inside another header (RFC 2473, RFC 4213). */
export const PROTOCOL_IPV6 = 41;
export const PROTOCOL_ICMPV6 = 58;

const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
/** Where the addresses stand in the header, for those who read them whole. */
export const SOURCE = 8;
export const DESTINATION = 24;

export function version(view: DataView, offset: number): number {
  return view.getUint8(offset) >>> 4;
}

/** DSCP and ECN in one byte: what IPv4 calls type of service. */
export function trafficClass(view: DataView, offset: number): number {
  return (view.getUint16(offset) >>> 4) & 0xff;
}

/** 20 bits. */
export function flowLabel(view: DataView, offset: number): number {
  return view.getInt32(offset) & 0xf_ffff;
}

/** Bytes behind the 40 of this header, extension headers included, as the packet claims it; 0 in a jumbogram too. */
export function payloadLength(view: DataView, offset: number): number {
  return view.getUint16(offset + PAYLOAD_LENGTH);
}

/** Of the fixed header: the protocol of layer 4 only where no extension header stands between. */
export function nextHeader(view: DataView, offset: number): number {
  return view.getUint8(offset + NEXT_HEADER);
}

export function hopLimit(view: DataView, offset: number): number {
  return view.getUint8(offset + HOP_LIMIT);
}

/** Word `k`, 0 to 3, of the source address. */
export function sourceWord(view: DataView, offset: number, k: number): number {
  return view.getInt32(offset + SOURCE + 4 * k, true);
}

/** Word `k`, 0 to 3, of the destination address. */
export function destinationWord(view: DataView, offset: number, k: number): number {
  return view.getInt32(offset + DESTINATION + 4 * k, true);
}

export function setSourceWord(view: DataView, offset: number, k: number, word: number): void {
  view.setInt32(offset + SOURCE + 4 * k, word, true);
}

export function setDestinationWord(view: DataView, offset: number, k: number, word: number): void {
  view.setInt32(offset + DESTINATION + 4 * k, word, true);
}

/**
 * One's-complement sum of the pseudo-header (RFC 8200, section 8.1). `protocol` is layer 4's, which `nextHeader` is not
 * where extension headers follow; the destination is the header's, which a routing header on its way makes wrong.
 */
export function pseudoHeaderSum(view: DataView, offset: number, protocol: number, l4Length: number): number {
  return sumWords(view, offset + SOURCE, 32, protocol + l4Length);
}

/**
 * Writes a whole header. `addresses` holds the source's four words at `at` and the destination's four behind them;
 * `label` may be any number, of which 20 bits are taken.
 */
export function writeHeader(
  view: DataView,
  offset: number,
  trafficClassByte: number,
  label: number,
  payload: number,
  protocol: number,
  hops: number,
  addresses: Int32Array,
  at: number,
): void {
  view.setInt32(offset, (6 << 28) | (trafficClassByte << 20) | (label & 0xf_ffff));
  view.setInt32(offset + PAYLOAD_LENGTH, (payload << 16) | (protocol << 8) | hops);
  view.setInt32(offset + SOURCE, addresses[at], true);
  view.setInt32(offset + SOURCE + 4, addresses[at + 1], true);
  view.setInt32(offset + SOURCE + 8, addresses[at + 2], true);
  view.setInt32(offset + SOURCE + 12, addresses[at + 3], true);
  view.setInt32(offset + DESTINATION, addresses[at + 4], true);
  view.setInt32(offset + DESTINATION + 4, addresses[at + 5], true);
  view.setInt32(offset + DESTINATION + 8, addresses[at + 6], true);
  view.setInt32(offset + DESTINATION + 12, addresses[at + 7], true);
}

/** Most extension headers that `walkExtensions` passes; real packets carry one or two. */
const MAX_EXTENSION_HEADERS = 8;

/**
 * What `walkExtensions` answers for a packet whose headers cannot be right: one reaches beyond the end, there are more
 * than eight of them, a hop-by-hop header does not come first (RFC 8200, section 4.1), or a fragment's length or
 * place is impossible (section 4.5).
 */
export const DAMAGED_EXTENSIONS = -1;

/** Bit of a walk's answer: a piece of a fragmented packet, the first too. Not the atomic fragments of RFC 6946. */
export const WALKED_FRAGMENT = 0x100;
/** Bit of a walk's answer: a piece without the start of layer 4; what stands at `walkedL4` is its middle. */
export const WALKED_LATER_FRAGMENT = 0x200;
const L4_SHIFT = 10;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

const FRAGMENT_HEADER_LENGTH = 8;
const FRAGMENT_OFFSET_AND_MORE = 2;
const MORE_FRAGMENTS = 1;
const MAX_PAYLOAD = 0xffff;

/**
 * Walks from the header at `offset` over hop-by-hop, routing, fragment, authentication and destination options headers
 * to the first other one, reading nothing at `end` or behind; `end` is that of the packet, by its payload length.
 * Answers DAMAGED_EXTENSIONS or one number, never negative, for `walkedProtocol`, `walkedL4` and the bits above. ESP,
 * "no next header" and protocols that nobody here knows end the walk as if they were layer 4, of which no byte may be left.
 */
export function walkExtensions(view: DataView, offset: number, end: number): number {
  let at = offset + IPV6_HEADER_LENGTH;
  if (at > end) return DAMAGED_EXTENSIONS;
  let protocol = nextHeader(view, offset);
  let fragment = 0;
  let fragmented = false;
  for (let walked = 0; isExtension(protocol); walked++) {
    if (walked === MAX_EXTENSION_HEADERS || at + 8 > end) return DAMAGED_EXTENSIONS;
    if (protocol === HOP_BY_HOP && walked > 0) return DAMAGED_EXTENSIONS;
    const following = view.getUint8(at);
    if (protocol === FRAGMENT) {
      // Receivers put packets together once: a fragment of a fragment is an attack on somebody's filter.
      if (fragmented) return DAMAGED_EXTENSIONS;
      fragmented = true;
      const place = view.getUint16(at + FRAGMENT_OFFSET_AND_MORE);
      fragment = fragmentBits(place);
      if (fragment !== 0 && !isPossibleFragment(place, at - offset - IPV6_HEADER_LENGTH, end - at)) {
        return DAMAGED_EXTENSIONS;
      }
      at += FRAGMENT_HEADER_LENGTH;
      protocol = following;
      if ((fragment & WALKED_LATER_FRAGMENT) !== 0) break;
    } else {
      at += extensionLength(protocol, view.getUint8(at + 1));
      if (at > end) return DAMAGED_EXTENSIONS;
      protocol = following;
    }
  }
  return protocol | fragment | ((at - offset) << L4_SHIFT);
}

/** Protocol of layer 4; of a later fragment, what its fragment header names: the first header of the part that was cut. */
export function walkedProtocol(walk: number): number {
  return walk & 0xff;
}

/** Bytes from the IPv6 header's start to layer 4. */
export function walkedL4(walk: number): number {
  return walk >> L4_SHIFT;
}

function isExtension(protocol: number): boolean {
  return (
    protocol === HOP_BY_HOP ||
    protocol === ROUTING ||
    protocol === FRAGMENT ||
    protocol === AUTHENTICATION ||
    protocol === DESTINATION_OPTIONS
  );
}

/** `lengthField` counts 8 bytes without the first 8, but 4 bytes without the first 8 in AH (RFC 4302, section 2.2). */
function extensionLength(protocol: number, lengthField: number): number {
  return protocol === AUTHENTICATION ? (lengthField + 2) << 2 : (lengthField + 1) << 3;
}

function fragmentBits(place: number): number {
  if (place >>> 3 !== 0) return WALKED_FRAGMENT | WALKED_LATER_FRAGMENT;
  return (place & MORE_FRAGMENTS) !== 0 ? WALKED_FRAGMENT : 0;
}

/** `before` is the bytes of other extension headers in front, `length` those of the fragment with its header. */
function isPossibleFragment(place: number, before: number, length: number): boolean {
  const bytes = length - FRAGMENT_HEADER_LENGTH;
  if ((place & MORE_FRAGMENTS) !== 0 && (bytes & 7) !== 0) return false;
  return before + (place & 0xfff8) + bytes <= MAX_PAYLOAD;
}
