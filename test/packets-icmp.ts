/**
 * ICMP, ICMPv6 and neighbours of them for tests, built byte by byte from RFC 792 and RFC 4443 and on purpose not with wire/,
 * as test/packets.ts does for IPv4 and TCP.
 */
import { type Ipv4Fields, internetChecksum, ipv4Packet } from './packets.ts';
import { type Ipv6Fields, ipv6Packet, pseudoHeader } from './packets6.ts';

export const ICMP = 1;
export const ICMPV6 = 58;

export interface IcmpFields {
  type: number;
  code?: number;
  /** The four bytes behind the checksum: identifier and sequence number, or MTU. */
  rest?: readonly number[];
  /** What an error quotes, or an echo's data. */
  body?: readonly number[];
  /** Instead of the right one. */
  checksum?: number;
}

function message({ type, code = 0, rest = [0, 0, 0, 0], body = [], checksum }: IcmpFields, pseudo: number[]): number[] {
  const bytes = [type, code, 0, 0, ...rest, ...body];
  const sum = checksum ?? internetChecksum([...pseudo, ...bytes]);
  [bytes[2], bytes[3]] = [sum >> 8, sum & 255];
  return bytes;
}

export const icmpMessage = (fields: IcmpFields): number[] => message(fields, []);

/** ICMPv6 sums the pseudo-header too, whose length is that of the whole message (RFC 4443, section 2.3). */
export function icmp6Message(source: string, destination: string, fields: IcmpFields): number[] {
  const length = 8 + (fields.body?.length ?? 0);
  return message(fields, pseudoHeader(source, destination, ICMPV6, length));
}

export function icmpPacket(source: string, destination: string, fields: IcmpFields, ip: Ipv4Fields = {}): number[] {
  return ipv4Packet(source, destination, icmpMessage(fields), { protocol: ICMP, ...ip });
}

export function icmp6Packet(source: string, destination: string, fields: IcmpFields, ip: Ipv6Fields = {}): number[] {
  return ipv6Packet(source, destination, icmp6Message(source, destination, fields), { protocol: ICMPV6, ...ip });
}
