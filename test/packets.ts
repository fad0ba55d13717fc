/**
 * Packets for tests, built byte by byte from the RFCs and on purpose not with wire/: what tests expect must not come from
 * the code under test.
 */

export interface TcpFields {
  source?: string;
  destination?: string;
  sourcePort?: number;
  destinationPort?: number;
  sequence?: number;
  acknowledgement?: number;
  /** Any of the letters S, A, F, R, P. */
  flags?: string;
  payload?: string;
  options?: number[];
  window?: number;
  ip?: Ipv4Fields;
}

export interface Ipv4Fields {
  tos?: number;
  ttl?: number;
  id?: number;
  /** Flags and fragment offset as one 16-bit word; 0x4000 is DF. */
  fragment?: number;
  protocol?: number;
  options?: number[];
  /** Lies: what the header claims instead of the truth. */
  version?: number;
  ihl?: number;
  totalLength?: number;
}

export const CLIENT_MAC = '02:00:00:00:00:01';
export const OWN_MAC = '02:00:00:00:00:02';
export const ETHERTYPE_IPV4 = 0x0800;

const FLAG_BITS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16 };

export function bytesOfMac(mac: string): number[] {
  return mac.split(':').map((part) => Number.parseInt(part, 16));
}

export function bytesOfIp(address: string): number[] {
  return address.split('.').map(Number);
}

function u16(value: number): number[] {
  return [(value >> 8) & 255, value & 255];
}

function u32(value: number): number[] {
  return [...u16(Math.floor(value / 65536) & 0xffff), ...u16(value & 0xffff)];
}

/** RFC 1071 by the book: sixteen-bit one's-complement additions, one at a time. */
export function internetChecksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i] * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum = sum - 0xffff;
  }
  return 0xffff - sum;
}

export function tcpSegment(source: string, destination: string, fields: TcpFields): number[] {
  const options = fields.options ?? [];
  const payload = [...Buffer.from(fields.payload ?? '')];
  const flags = [...(fields.flags ?? 'A')].reduce((bits, letter) => bits | FLAG_BITS[letter], 0);
  const segment = [
    ...u16(fields.sourcePort ?? 40000),
    ...u16(fields.destinationPort ?? 80),
    ...u32(fields.sequence ?? 1000),
    ...u32(fields.acknowledgement ?? 0),
    ((20 + options.length) / 4) << 4,
    flags,
    ...u16(fields.window ?? 64240),
    0,
    0,
    0,
    0,
    ...options,
    ...payload,
  ];
  const pseudo = [...bytesOfIp(source), ...bytesOfIp(destination), 0, 6, ...u16(segment.length)];
  const sum = internetChecksum([...pseudo, ...segment]);
  [segment[16], segment[17]] = u16(sum);
  return segment;
}

export function ipv4Packet(
  source: string,
  destination: string,
  payload: readonly number[],
  fields: Ipv4Fields,
): number[] {
  const options = fields.options ?? [];
  const length = 20 + options.length + payload.length;
  const header = [
    ((fields.version ?? 4) << 4) | (fields.ihl ?? (20 + options.length) / 4),
    fields.tos ?? 0,
    ...u16(fields.totalLength ?? length),
    ...u16(fields.id ?? 0x1234),
    ...u16(fields.fragment ?? 0x4000),
    fields.ttl ?? 63,
    fields.protocol ?? 6,
    0,
    0,
    ...bytesOfIp(source),
    ...bytesOfIp(destination),
    ...options,
  ];
  [header[10], header[11]] = u16(internetChecksum(header));
  return [...header, ...payload];
}

export function ethernetFrame(
  destinationMac: string,
  sourceMac: string,
  type: number,
  payload: readonly number[],
): Uint8Array {
  return Uint8Array.from([...bytesOfMac(destinationMac), ...bytesOfMac(sourceMac), ...u16(type), ...payload]);
}

/** A TCP segment from a client to the VIP, as the router hands it to the balancer. */
export function tcpFrame(fields: TcpFields = {}): Uint8Array {
  return ethernetFrame(OWN_MAC, CLIENT_MAC, ETHERTYPE_IPV4, tcpPacket(fields));
}

export function tcpPacket(fields: TcpFields = {}): number[] {
  const source = fields.source ?? '192.0.2.7';
  const destination = fields.destination ?? '198.18.10.1';
  return ipv4Packet(source, destination, tcpSegment(source, destination, fields), fields.ip ?? {});
}
