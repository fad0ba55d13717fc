/**
 * From captured frames to TCP packets as plain data: who, to whom, flags, numbers, and the tunnel where there is one.
 * lab/connections.ts and lab/ladder.ts reason about these and about nothing else. Times are milliseconds since 1970.
 */
import { formatIpv4 } from '../wire/address.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, etherType } from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import type { CapturedFrame } from './captures.ts';

export interface Packet {
  readonly host: string;
  readonly direction: 'in' | 'out';
  readonly timeMs: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly payloadLength: number;
  /** The first line of an HTTP request or response, as 'GET / HTTP/1.1'. */
  readonly httpLine?: string;
  /** The outer addresses, where the packet was captured inside a tunnel. */
  readonly tunnel?: { readonly kind: 'IPIP'; readonly source: string; readonly destination: string };
}

/** The TCP packet in a frame, or undefined for anything else. Only the frame's first bytes are needed. */
export function parsePacket({
  host,
  direction,
  timeMs,
  bytes,
}: Omit<CapturedFrame, 'originalLength'>): Packet | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < ETHERNET_HEADER_LENGTH || etherType(view, 0) !== ETHERTYPE_IPV4) return undefined;
  const outer = readIp(view, ETHERNET_HEADER_LENGTH);
  const ip = outer?.protocol === ipv4.PROTOCOL_IPIP ? readIp(view, outer.payload) : outer;
  if (outer === undefined || ip?.protocol !== ipv4.PROTOCOL_TCP) return undefined;
  if (ip.payload + tcp.TCP_HEADER_LENGTH > bytes.length) return undefined;

  const headerLength = tcp.tcpHeaderLength(view, ip.payload);
  const httpLine = readHttpLine(bytes.subarray(ip.payload + headerLength));
  return {
    host,
    direction,
    timeMs,
    source: ip.source,
    sourcePort: tcp.sourcePort(view, ip.payload),
    destination: ip.destination,
    destinationPort: tcp.destinationPort(view, ip.payload),
    flags: tcp.flags(view, ip.payload),
    sequence: tcp.sequence(view, ip.payload),
    acknowledgement: tcp.acknowledgement(view, ip.payload),
    payloadLength: ip.end - ip.payload - headerLength,
    ...(httpLine === undefined ? {} : { httpLine }),
    ...(ip === outer
      ? {}
      : { tunnel: { kind: 'IPIP', source: outer.source, destination: outer.destination } as const }),
  };
}

/** All TCP packets in the frames, in the order of their times. */
export function parsePackets(frames: readonly CapturedFrame[]): Packet[] {
  return frames
    .map(parsePacket)
    .filter((packet) => packet !== undefined)
    .sort((a, b) => a.timeMs - b.timeMs);
}

interface IpHeader {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** Offsets of the first byte behind the header and behind the packet (the capture may end before). */
  readonly payload: number;
  readonly end: number;
}

function readIp(view: DataView, offset: number): IpHeader | undefined {
  if (offset + ipv4.IPV4_HEADER_LENGTH > view.byteLength || ipv4.version(view, offset) !== 4) return undefined;
  return {
    source: formatIpv4(ipv4.addressWord(ipv4.source(view, offset))),
    destination: formatIpv4(ipv4.addressWord(ipv4.destination(view, offset))),
    protocol: ipv4.protocol(view, offset),
    payload: offset + ipv4.headerLength(view, offset),
    end: offset + ipv4.totalLength(view, offset),
  };
}

function readHttpLine(payload: Uint8Array): string | undefined {
  const text = Buffer.from(payload).toString('latin1');
  return /^(?:[A-Z]+ \S+ HTTP\/1\.[01]|HTTP\/1\.[01] \d{3}[^\r\n]*)/.exec(text)?.[0];
}

/** The packet's flags as people write them: 'SYN-ACK', 'FIN-ACK', 'RST'. A lone ACK is 'ACK'. */
export function flagNames(flags: number): string {
  const names = [
    (flags & tcp.SYN) !== 0 && 'SYN',
    (flags & tcp.FIN) !== 0 && 'FIN',
    (flags & tcp.RST) !== 0 && 'RST',
    (flags & tcp.ACK) !== 0 && (flags & tcp.RST) === 0 && 'ACK',
  ];
  return names.filter((name) => name !== false).join('-');
}

/** Equal for the same packet wherever it is seen, inside a tunnel or not; also for its retransmissions. */
export function packetIdentity(packet: Packet): string {
  const { source, sourcePort, destination, destinationPort, sequence, acknowledgement, flags, payloadLength } = packet;
  return [source, sourcePort, destination, destinationPort, sequence, acknowledgement, flags, payloadLength].join(' ');
}
