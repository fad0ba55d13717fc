/**
 * IPv6 and UDP for tests, built byte by byte from the RFCs and on purpose not with wire/, as test/packets.ts does for
 * IPv4 and TCP.
 */
import {
  bytesOfIp,
  CLIENT_MAC,
  ethernetFrame,
  internetChecksum,
  OWN_MAC,
  type TcpFields,
  tcpSegment,
} from './packets.ts';

export const ETHERTYPE_IPV6 = 0x86dd;

export interface Ipv6Fields {
  trafficClass?: number;
  flowLabel?: number;
  hopLimit?: number;
  /** Protocol of what stands behind the last extension header. */
  protocol?: number;
  /** Extension headers in order: the number that names each, and its bytes without the first, which names the next. */
  extensions?: readonly (readonly [number: number, rest: readonly number[]])[];
  /** Lies: what the header claims instead of the truth. */
  version?: number;
  payloadLength?: number;
}

const u16 = (value: number): number[] => [(value >> 8) & 255, value & 255];

/** '2001:db8::1' as its 16 bytes (RFC 4291, section 2.2). */
export function bytesOfIp6(address: string): number[] {
  const [head, tail] = address.split('::');
  const groups = (part: string | undefined) => (part ? part.split(':') : []);
  const start = groups(head);
  const end = groups(tail);
  const zeros = tail === undefined ? [] : Array(8 - start.length - end.length).fill('0');
  return [...start, ...zeros, ...end].flatMap((group) => u16(Number.parseInt(group, 16)));
}

const isIp6 = (address: string): boolean => address.includes(':');

/** Of either family. */
export const bytesOfAddress = (address: string): number[] =>
  isIp6(address) ? bytesOfIp6(address) : bytesOfIp(address);

export function ipv6Packet(
  source: string,
  destination: string,
  payload: readonly number[],
  fields: Ipv6Fields = {},
): number[] {
  const { trafficClass = 0, flowLabel = 0, hopLimit = 63, protocol = 6, extensions = [] } = fields;
  const numbers = [...extensions.map(([number]) => number), protocol];
  const behind = [...extensions.flatMap(([, rest], i) => [numbers[i + 1], ...rest]), ...payload];
  return [
    ((fields.version ?? 6) << 4) | (trafficClass >> 4),
    ((trafficClass & 15) << 4) | (flowLabel >> 16),
    ...u16(flowLabel & 0xffff),
    ...u16(fields.payloadLength ?? behind.length),
    numbers[0],
    hopLimit,
    ...bytesOfIp6(source),
    ...bytesOfIp6(destination),
    ...behind,
  ];
}

/** The pseudo-header of either family (RFC 768, RFC 8200 section 8.1). */
export function pseudoHeader(source: string, destination: string, protocol: number, length: number): number[] {
  const addresses = [...bytesOfAddress(source), ...bytesOfAddress(destination)];
  return isIp6(source)
    ? [...addresses, 0, 0, ...u16(length), 0, 0, 0, protocol]
    : [...addresses, 0, protocol, ...u16(length)];
}

export interface UdpFields {
  sourcePort?: number;
  destinationPort?: number;
  payload?: string;
  /** Instead of the right one. */
  checksum?: number;
  /** Lies: what the header claims instead of the truth. */
  length?: number;
}

/** Of either family. */
export function udpDatagram(source: string, destination: string, fields: UdpFields = {}): number[] {
  const payload = [...Buffer.from(fields.payload ?? '')];
  const length = 8 + payload.length;
  const ports = [...u16(fields.sourcePort ?? 40000), ...u16(fields.destinationPort ?? 53)];
  const datagram = [...ports, ...u16(fields.length ?? length), 0, 0, ...payload];
  const sum = internetChecksum([...pseudoHeader(source, destination, 17, length), ...datagram]);
  [datagram[6], datagram[7]] = u16(fields.checksum ?? (sum === 0 ? 0xffff : sum));
  return datagram;
}

export interface Tcp6Fields extends Omit<TcpFields, 'ip'> {
  ip?: Ipv6Fields;
}

/** A TCP segment over IPv6; the checksum of test/packets.ts's segment is made anew over the other pseudo-header. */
export function tcp6Packet(fields: Tcp6Fields = {}): number[] {
  const source = fields.source ?? '2001:db8::7';
  const destination = fields.destination ?? '2001:db8:10::1';
  const { ip, ...tcp } = fields;
  const segment = tcpSegment('0.0.0.0', '0.0.0.0', tcp);
  [segment[16], segment[17]] = [0, 0];
  const sum = internetChecksum([...pseudoHeader(source, destination, 6, segment.length), ...segment]);
  [segment[16], segment[17]] = u16(sum);
  return ipv6Packet(source, destination, segment, ip);
}

/** A TCP segment from a client to an IPv6 VIP, as the router hands it to the balancer. */
export function tcp6Frame(fields: Tcp6Fields = {}): Uint8Array {
  return ethernetFrame(OWN_MAC, CLIENT_MAC, ETHERTYPE_IPV6, tcp6Packet(fields));
}
