/**
 * From captured frames to TCP packets as plain data: who, to whom, flags, numbers, and the tunnel where there is one.
 * lab/connections.ts and lab/ladder.ts reason about these and about nothing else. Times are milliseconds since 1970.
 */
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import * as tcp from '../wire/tcp.ts';
import type { CapturedFrame } from './captures.ts';
import { openTunnel, PROTOCOL_TCP, readIp, type TunnelKind } from './ip-headers.ts';

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
  readonly tunnel?: { readonly kind: TunnelKind; readonly source: string; readonly destination: string };
}

const ETHERTYPE_AT = 12;
const IP_ETHERTYPES = [0x0800, 0x86dd];

/** The TCP packet in a frame, or undefined for anything else. Only the frame's first bytes are needed. */
export function parsePacket({
  host,
  direction,
  timeMs,
  bytes,
}: Omit<CapturedFrame, 'originalLength'>): Packet | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < ETHERNET_HEADER_LENGTH || !IP_ETHERTYPES.includes(view.getUint16(ETHERTYPE_AT))) return undefined;
  const outer = readIp(view, ETHERNET_HEADER_LENGTH);
  const tunnelled = outer && openTunnel(view, outer);
  const ip = tunnelled?.inner ?? outer;
  if (outer === undefined || ip?.protocol !== PROTOCOL_TCP) return undefined;
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
    ...(tunnelled === undefined
      ? {}
      : { tunnel: { kind: tunnelled.kind, source: outer.source, destination: outer.destination } }),
  };
}

/** All TCP packets in the frames, in the order of their times. */
export function parsePackets(frames: readonly CapturedFrame[]): Packet[] {
  return frames
    .map(parsePacket)
    .filter((packet) => packet !== undefined)
    .sort((a, b) => a.timeMs - b.timeMs);
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
