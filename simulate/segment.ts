/**
 * TCP segments as plain data, and as the frames that carry them: real bytes with right checksums, so that the forwarder
 * meets in virtual time what it meets in life. simulate/host.ts writes and reads them; reading is as strict as a kernel.
 * Addresses are packet words (wire/ipv4.ts), opaque.
 */
import { checksum, sumWords } from '../wire/checksum.ts';
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  macHigh,
  macLow,
  setDestinationMac,
  setEtherType,
  setSourceMac,
} from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';

export interface Segment {
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  /** Latin-1, a byte a character. */
  readonly payload: string;
}

/** What every end point announces; without window scaling it is also what counts. */
export const WINDOW = 64_240;

const SEGMENT_OFFSET = ETHERNET_HEADER_LENGTH + ipv4.IPV4_HEADER_LENGTH;

/** SEG.LEN: the bytes of data, with SYN and FIN counting as one each (RFC 9293, 3.4). */
export function segmentLength({ flags, payload }: Segment): number {
  return payload.length + ((flags & tcp.SYN) !== 0 ? 1 : 0) + ((flags & tcp.FIN) !== 0 ? 1 : 0);
}

/** `a` minus `b` in sequence space, where numbers wrap: negative where a is before b (RFC 9293, 3.4). */
export function sequenceDistance(a: number, b: number): number {
  return (a - b) | 0;
}

/** The acceptability test of RFC 9293, 3.10.7.4: does any of the segment lie in the window that starts at `expected`? */
export function liesInWindow(segment: Segment, expected: number): boolean {
  const first = sequenceDistance(segment.sequence, expected);
  const last = first + Math.max(segmentLength(segment) - 1, 0);
  return last >= 0 && first < WINDOW;
}

export function writeFrame(segment: Segment, fromMac: Uint8Array, toMac: Uint8Array): Uint8Array {
  const { source, destination, payload } = segment;
  const length = SEGMENT_OFFSET + tcp.TCP_HEADER_LENGTH + payload.length;
  const frame = new Uint8Array(length);
  const view = new DataView(frame.buffer);
  setDestinationMac(view, 0, macLow(toMac), macHigh(toMac));
  setSourceMac(view, 0, macLow(fromMac), macHigh(fromMac));
  setEtherType(view, 0, ETHERTYPE_IPV4);
  const sum = ipv4.constantSum(ipv4.PROTOCOL_TCP, source, destination);
  const ipLength = length - ETHERNET_HEADER_LENGTH;
  const { ATOMIC, PROTOCOL_TCP } = ipv4;
  ipv4.writeHeader(view, ETHERNET_HEADER_LENGTH, 0, ipLength, ATOMIC, PROTOCOL_TCP, source, destination, sum);
  const data = SEGMENT_OFFSET + tcp.TCP_HEADER_LENGTH;
  frame.set(Buffer.from(payload, 'latin1'), data);
  const pseudoSum = ipv4.pseudoHeaderSum(view, ETHERNET_HEADER_LENGTH, ipLength - ipv4.IPV4_HEADER_LENGTH);
  tcp.writeBareHeader(
    view,
    SEGMENT_OFFSET,
    segment.sourcePort,
    segment.destinationPort,
    segment.sequence,
    segment.acknowledgement,
    segment.flags,
    sumWords(view, data, payload.length, pseudoSum),
  );
  if ((segment.flags & tcp.RST) === 0) tcp.setWindow(view, SEGMENT_OFFSET, WINDOW);
  return frame;
}

/** Where a frame is to be carried: its outer IP destination. */
export function frameDestination(frame: Uint8Array): number {
  return ipv4.destination(viewOf(frame), ETHERNET_HEADER_LENGTH);
}

/** Takes an IPIP header off; a frame without one stays as it is. */
export function decapsulate(frame: Uint8Array): Uint8Array {
  const view = viewOf(frame);
  if (ipv4.protocol(view, ETHERNET_HEADER_LENGTH) !== ipv4.PROTOCOL_IPIP) return frame;
  const inner = frame.slice(ipv4.IPV4_HEADER_LENGTH);
  inner.set(frame.subarray(0, ETHERNET_HEADER_LENGTH));
  return inner;
}

/** The segment in a frame; undefined where a checksum is wrong, as a receiver would drop it. */
export function readFrame(frame: Uint8Array): Segment | undefined {
  const view = viewOf(frame);
  const ip = ETHERNET_HEADER_LENGTH;
  const length = ipv4.totalLength(view, ip) - ipv4.IPV4_HEADER_LENGTH;
  if (ipv4.protocol(view, ip) !== ipv4.PROTOCOL_TCP || checksum(view, ip, ipv4.IPV4_HEADER_LENGTH) !== 0)
    return undefined;
  if (checksum(view, SEGMENT_OFFSET, length, ipv4.pseudoHeaderSum(view, ip, length)) !== 0) return undefined;
  const data = SEGMENT_OFFSET + tcp.tcpHeaderLength(view, SEGMENT_OFFSET);
  return {
    source: ipv4.source(view, ip),
    destination: ipv4.destination(view, ip),
    sourcePort: tcp.sourcePort(view, SEGMENT_OFFSET),
    destinationPort: tcp.destinationPort(view, SEGMENT_OFFSET),
    sequence: tcp.sequence(view, SEGMENT_OFFSET),
    acknowledgement: tcp.acknowledgement(view, SEGMENT_OFFSET),
    flags: tcp.flags(view, SEGMENT_OFFSET),
    payload: Buffer.from(frame.subarray(data, SEGMENT_OFFSET + length)).toString('latin1'),
  };
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}
