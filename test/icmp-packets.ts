/** ICMP messages and frames between a client, a router and a VIP, for the tests of what answers or reads them. */
import { CLIENT_MAC, ETHERTYPE_IPV4, ethernetFrame, ipv4Packet, OWN_MAC } from './packets.ts';
import { icmpMessage as build, icmp6Message } from './packets-icmp.ts';
import { ETHERTYPE_IPV6, type Ipv6Fields, ipv6Packet } from './packets6.ts';

export const CLIENT_4 = '192.0.2.7';
export const VIP_4 = '198.18.10.1';
export const ROUTER_4 = '203.0.113.9';
export const CLIENT_6 = '2001:db8::7';
export const VIP_6 = '2001:db8:10::1';
export const ROUTER_6 = '2001:db8:99::9';

export const u16 = (value: number): number[] => [(value >> 8) & 255, value & 255];

export const u32 = (value: number): number[] => [...u16(Math.floor(value / 65536) & 0xffff), ...u16(value & 0xffff)];

/** Type, code, four bytes by type, data. */
export const icmpMessage = (type: number, code: number, rest: readonly number[], body: readonly number[]): number[] =>
  build({ type, code, rest, body });

export const icmpV6Message = (
  source: string,
  destination: string,
  type: number,
  code: number,
  rest: readonly number[],
  body: readonly number[],
): number[] => icmp6Message(source, destination, { type, code, rest, body });

/** From a router to a VIP, quoting `quoted`. */
export const error4 = (type: number, code: number, quoted: readonly number[], rest = [0, 0, 0, 0]): number[] =>
  ipv4Packet(ROUTER_4, VIP_4, icmpMessage(type, code, rest, quoted), { protocol: 1 });

export const error6 = (type: number, code: number, quoted: readonly number[], fields: Ipv6Fields = {}): number[] =>
  ipv6Packet(ROUTER_6, VIP_6, icmpV6Message(ROUTER_6, VIP_6, type, code, [0, 0, 5, 0], quoted), {
    protocol: 58,
    ...fields,
  });

/** As the router hands the packet to the balancer; the family is the packet's. */
export const frameOf = (packet: readonly number[]): Uint8Array =>
  ethernetFrame(OWN_MAC, CLIENT_MAC, packet[0] >> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4, packet);

/** A view whose last byte is the frame's last, so that reading behind the frame throws; `headroom` bytes in front. */
export function viewAtEnd(frame: ArrayLike<number>, headroom = 0): DataView {
  const bytes = new Uint8Array(headroom + frame.length).fill(0xa5, 0, headroom);
  bytes.set(Array.from(frame), headroom);
  return new DataView(bytes.buffer);
}

export const bytesOf = (view: DataView, from = 0, to = view.byteLength): number[] => [
  ...new Uint8Array(view.buffer, from, to - from),
];
