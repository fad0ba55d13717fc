/**
 * From captured frames to TCP packets as plain data: who, to whom, flags, numbers, and the tunnel where there is one.
 * lab/connections.ts and lab/ladder.ts reason about these and about nothing else. Times are milliseconds since 1970.
 */
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import * as tcp from '../wire/tcp.ts';
import type { CapturedFrame } from './captures.ts';
import { describeMessage } from './dns-message.ts';
import { type IpHeader, openTunnel, PROTOCOL_TCP, PROTOCOL_UDP, readIp, type TunnelKind } from './ip-headers.ts';
import { DNS_PORT } from './topology.ts';

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
  /** Of a DNS message over UDP: 'query 7' or 'answer 7'. */
  readonly dnsLine?: string;
  /** The outer addresses, where the packet was captured inside a tunnel. */
  readonly tunnel?: { readonly kind: TunnelKind; readonly source: string; readonly destination: string };
}

const ETHERTYPE_AT = 12;
const IP_ETHERTYPES = [0x0800, 0x86dd];
const UDP_LENGTH = 8;

/** The TCP packet or the DNS message in a frame, or undefined for anything else. Only the frame's first bytes are needed. */
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
  if (outer === undefined || ip === undefined) return undefined;
  const tunnel = tunnelled && { kind: tunnelled.kind, source: outer.source, destination: outer.destination };
  const around = { host, direction, timeMs, ...(tunnel && { tunnel }) };
  if (ip.protocol === PROTOCOL_UDP) {
    const dns = readDns(view, ip);
    return dns && { ...around, ...dns };
  }
  if (ip.protocol !== PROTOCOL_TCP || ip.payload + tcp.TCP_HEADER_LENGTH > bytes.length) return undefined;

  const headerLength = tcp.tcpHeaderLength(view, ip.payload);
  const httpLine = readHttpLine(bytes.subarray(ip.payload + headerLength));
  return {
    ...around,
    source: ip.source,
    sourcePort: tcp.sourcePort(view, ip.payload),
    destination: ip.destination,
    destinationPort: tcp.destinationPort(view, ip.payload),
    flags: tcp.flags(view, ip.payload),
    sequence: tcp.sequence(view, ip.payload),
    acknowledgement: tcp.acknowledgement(view, ip.payload),
    payloadLength: ip.end - ip.payload - headerLength,
    ...(httpLine === undefined ? {} : { httpLine }),
  };
}

/** Numbered by the message's id, so that its copies and its answer are known as such. */
function readDns(view: DataView, { source, destination, payload: udp, end }: IpHeader): DnsPart | undefined {
  const message = udp + UDP_LENGTH;
  const dnsLine = describeMessage(view, message);
  if (dnsLine === undefined) return undefined;
  const [sourcePort, destinationPort] = [view.getUint16(udp), view.getUint16(udp + 2)];
  if (sourcePort !== DNS_PORT && destinationPort !== DNS_PORT) return undefined;
  return {
    source,
    sourcePort,
    destination,
    destinationPort,
    flags: 0,
    sequence: view.getUint16(message),
    acknowledgement: 0,
    payloadLength: end - message,
    dnsLine,
  };
}

type DnsPart = Omit<Packet, 'host' | 'direction' | 'timeMs' | 'tunnel'>;

/** All TCP packets and DNS messages in the frames, in the order of their times. */
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
