/** ICMP messages for tests, as test/packets.ts builds the rest: byte by byte from the RFCs, and not with wire/. */
import { bytesOfIp, internetChecksum, ipv4Packet } from '../packets.ts';

export const CLIENT_4 = '192.0.2.7';
export const VIP_4 = '198.18.10.1';
export const CLIENT_6 = '2001:db8:7::7';
export const VIP_6 = '2001:db8:10::1';
export const ETHERTYPE_IPV6 = 0x86dd;

export function u16(value: number): number[] {
  return [(value >> 8) & 255, value & 255];
}

export function u32(value: number): number[] {
  return [...u16(Math.floor(value / 65536) & 0xffff), ...u16(value & 0xffff)];
}

/** '2001:db8::1' as its sixteen bytes. */
export function bytesOfIp6(address: string): number[] {
  const [left, right = ''] = address.split('::');
  const groupsOf = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)));
  const head = groupsOf(left);
  const tail = groupsOf(right);
  const middle = new Array<number>(8 - head.length - tail.length).fill(0);
  return [...head, ...middle, ...tail].flatMap(u16);
}

export interface Ipv6Fields {
  trafficClass?: number;
  flowLabel?: number;
  hopLimit?: number;
  /** A lie. */
  payloadLength?: number;
}

export function ipv6Packet(
  source: string,
  destination: string,
  nextHeader: number,
  payload: readonly number[],
  fields: Ipv6Fields = {},
): number[] {
  return [
    ...u32(0x6000_0000 + (fields.trafficClass ?? 0) * 0x10_0000 + (fields.flowLabel ?? 0)),
    ...u16(fields.payloadLength ?? payload.length),
    nextHeader,
    fields.hopLimit ?? 57,
    ...bytesOfIp6(source),
    ...bytesOfIp6(destination),
    ...payload,
  ];
}

/** RFC 792: type, code, checksum, four bytes by type, data. */
export function icmpMessage(type: number, code: number, rest: readonly number[], data: readonly number[]): number[] {
  const message = [type, code, 0, 0, ...rest, ...data];
  [message[2], message[3]] = u16(internetChecksum(message));
  return message;
}

/** RFC 4443, section 2.3: the same, summed with the pseudo-header of RFC 8200. */
export function icmpV6Message(
  source: string,
  destination: string,
  type: number,
  code: number,
  rest: readonly number[],
  data: readonly number[],
): number[] {
  const message = [type, code, 0, 0, ...rest, ...data];
  const pseudo = [...bytesOfIp6(source), ...bytesOfIp6(destination), ...u32(message.length), 0, 0, 0, 58];
  [message[2], message[3]] = u16(internetChecksum([...pseudo, ...message]));
  return message;
}

/** RFC 768, with the pseudo-header of either family. */
export function udpDatagram(
  source: string,
  destination: string,
  sourcePort: number,
  destinationPort: number,
  data: readonly number[],
): number[] {
  const datagram = [...u16(sourcePort), ...u16(destinationPort), ...u16(8 + data.length), 0, 0, ...data];
  const addresses = source.includes(':')
    ? [...bytesOfIp6(source), ...bytesOfIp6(destination)]
    : [...bytesOfIp(source), ...bytesOfIp(destination)];
  const sum = internetChecksum([...addresses, 0, 17, ...u16(datagram.length), ...datagram]);
  [datagram[6], datagram[7]] = u16(sum === 0 ? 0xffff : sum);
  return datagram;
}

export const echoRequest4 = (data: readonly number[], fields = {}): number[] =>
  ipv4Packet(CLIENT_4, VIP_4, icmpMessage(8, 0, [0x12, 0x34, 0, 7], data), { protocol: 1, ...fields });

export const echoRequest6 = (data: readonly number[], fields: Ipv6Fields = {}): number[] =>
  ipv6Packet(CLIENT_6, VIP_6, 58, icmpV6Message(CLIENT_6, VIP_6, 128, 0, [0x12, 0x34, 0, 7], data), fields);

/** A view whose last byte is the frame's last, so that reading behind the frame throws; `headroom` bytes in front. */
export function viewAtEnd(frame: ArrayLike<number>, headroom = 0): DataView {
  const bytes = new Uint8Array(headroom + frame.length).fill(0xa5, 0, headroom);
  bytes.set(Array.from(frame), headroom);
  return new DataView(bytes.buffer);
}
