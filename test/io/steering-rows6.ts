/** The rows of IPv6 (steering-rows.ts). Headers by RFC 8200, ICMPv6 by RFC 4443. */
import { CLIENT_MAC, ethernetFrame, OWN_MAC } from '../packets.ts';
import type { SteeringRow } from './steering-rows.ts';
import { addressBytes } from './two-hosts.ts';

const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;
const NO_NEXT = 59;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const OPTIONS = 60;

const VIP = '2001:db8:10::1';
const DNS_VIP = '2001:db8:10::2';
const RANGE_VIP = '2001:db8:10::4';
const OPEN_VIP = '2001:db8:10::5';

interface Ipv6Fields {
  destination?: string;
  /** Lies. */
  version?: number;
  payloadLength?: number;
}

export function ipv6Frame(nextHeader: number, payload: readonly number[], fields: Ipv6Fields = {}): Uint8Array {
  const length = fields.payloadLength ?? payload.length;
  return ethernetFrame(OWN_MAC, CLIENT_MAC, 0x86dd, [
    (fields.version ?? 6) << 4,
    0,
    0,
    0,
    length >> 8,
    length & 255,
    nextHeader,
    63,
    ...addressBytes('2001:db8::7'),
    ...addressBytes(fields.destination ?? VIP),
    ...payload,
  ]);
}

const ports = (destination: number) => [0x9c, 0x40, destination >> 8, destination & 255];
const tcp = (port = 80) => [...ports(port), 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
const udp = (port: number) => [...ports(port), 0, 8, 0, 0];
const icmp = (type: number) => [type, 0, 0, 0, 0, 0, 5, 0, ...Array<number>(48).fill(0x60)];

/** An extension header of `length` bytes, padded with PadN where there are options. */
const extension = (next: number, length = 8) => [
  next,
  length / 8 - 1,
  1,
  Math.min(length - 4, 255),
  ...Array<number>(length - 4).fill(0),
];
const routing = (next: number, segmentsLeft: number) => [next, 2, 4, segmentsLeft, ...Array<number>(20).fill(0)];
const fragment = (next: number, offset: number, more: number) => [
  next,
  0,
  offset >> 5,
  ((offset << 3) & 255) | more,
  0,
  0,
  0,
  9,
];
/** `count` headers of destination options in front of what `next` says. */
const options = (count: number, next: number): number[] =>
  count === 0 ? [] : [...extension(count === 1 ? next : OPTIONS), ...options(count - 1, next)];

const range = (port: number) => ipv6Frame(UDP, udp(port), { destination: RANGE_VIP });

export const STEERING_ROWS6: readonly SteeringRow[] = [
  ['IPv6 service', ipv6Frame(TCP, tcp()), 'socket'],
  ['IPv6 UDP service', ipv6Frame(UDP, udp(53), { destination: DNS_VIP }), 'socket'],
  ['IPv6, the ports are the last bytes of the frame', ipv6Frame(TCP, ports(80)), 'socket'],
  ['IPv6, a payload length of 0', ipv6Frame(TCP, tcp(), { payloadLength: 0 }), 'socket'],
  ['IPv6, a payload length beyond the frame', ipv6Frame(TCP, tcp(), { payloadLength: 65535 }), 'socket'],
  ['IPv6, another port of the VIP', ipv6Frame(TCP, tcp(81)), 'other-port'],
  ['IPv6, port 0', ipv6Frame(TCP, tcp(0)), 'other-port'],
  ['IPv6, another protocol', ipv6Frame(UDP, udp(80)), 'kernel'],
  ['IPv6, another destination', ipv6Frame(TCP, tcp(), { destination: '2001:db8:10::3' }), 'kernel'],
  ['IPv6, all but the last byte of a VIP', ipv6Frame(TCP, tcp(), { destination: '2001:db8:10::101' }), 'kernel'],
  ['IPv6, all but the first byte of a VIP', ipv6Frame(TCP, tcp(), { destination: '2101:db8:10::1' }), 'kernel'],
  ['an IPv6 address that begins as the VIP of IPv4', ipv6Frame(TCP, tcp(), { destination: 'c612:a01::' }), 'kernel'],
  ['the VIP of IPv4 as a mapped address', ipv6Frame(TCP, tcp(), { destination: '::ffff:c612:a01' }), 'kernel'],

  ['IPv6, first port of a range', range(0), 'socket'],
  ['IPv6, last port of a range', range(1023), 'socket'],
  ['IPv6, port behind a range', range(1024), 'other-port'],
  ['IPv6, all ports', ipv6Frame(TCP, tcp(4711), { destination: OPEN_VIP }), 'socket'],
  ['IPv6, all ports of the other protocol', ipv6Frame(UDP, udp(80), { destination: OPEN_VIP }), 'kernel'],

  ['behind hop-by-hop options', ipv6Frame(HOP_BY_HOP, [...extension(TCP), ...tcp()]), 'socket'],
  ['behind destination options', ipv6Frame(OPTIONS, [...extension(TCP), ...tcp()]), 'socket'],
  ['behind 1024 bytes of options', ipv6Frame(OPTIONS, [...extension(TCP, 1024), ...tcp()]), 'socket'],
  ['behind a routing header that is through', ipv6Frame(ROUTING, [...routing(TCP, 0), ...tcp()]), 'socket'],
  ['behind a routing header that goes on', ipv6Frame(ROUTING, [...routing(TCP, 1), ...tcp()]), 'kernel'],
  [
    'behind hop-by-hop, destination options, routing, fragment and destination options',
    ipv6Frame(HOP_BY_HOP, [
      ...extension(OPTIONS, 16),
      ...extension(ROUTING, 24),
      ...routing(FRAGMENT, 0),
      ...fragment(OPTIONS, 0, 1),
      ...extension(TCP),
      ...tcp(),
    ]),
    'socket',
  ],
  ['behind six headers', ipv6Frame(OPTIONS, [...options(6, TCP), ...tcp()]), 'socket'],
  ['behind seven headers', ipv6Frame(OPTIONS, [...options(7, TCP), ...tcp()]), 'kernel'],
  ['another port behind six headers', ipv6Frame(OPTIONS, [...options(6, TCP), ...tcp(81)]), 'other-port'],
  ['options only', ipv6Frame(OPTIONS, options(40, OPTIONS)), 'kernel'],
  [
    'hop-by-hop options that come second',
    ipv6Frame(OPTIONS, [...extension(HOP_BY_HOP), ...extension(TCP), ...tcp()]),
    'kernel',
  ],
  ['no next header', ipv6Frame(NO_NEXT, tcp()), 'kernel'],
  ['no next header behind options', ipv6Frame(OPTIONS, [...extension(NO_NEXT), ...tcp()]), 'kernel'],
  ...[51, 50, 135, 139, 140, 253, 4, 41, 47, 132, 1].map(
    (next) => [`IPv6 next header ${next}`, ipv6Frame(next, [...extension(TCP), ...tcp()]), 'kernel'] as const,
  ),
  ['an extension header beyond the frame', ipv6Frame(OPTIONS, [TCP, 255, 1, 4, 0, 0, 0, 0, ...tcp()]), 'kernel'],
  ['an extension header of 7 bytes', ipv6Frame(OPTIONS, extension(TCP).slice(0, 7)), 'kernel'],
  ['the ports are cut behind an extension header', ipv6Frame(OPTIONS, [...extension(TCP), 1, 2, 3]), 'kernel'],

  ['IPv6 first fragment', ipv6Frame(FRAGMENT, [...fragment(TCP, 0, 1), ...tcp()]), 'socket'],
  ['IPv6 fragment that is the whole packet', ipv6Frame(FRAGMENT, [...fragment(TCP, 0, 0), ...tcp()]), 'socket'],
  ['IPv6 first fragment to another port', ipv6Frame(FRAGMENT, [...fragment(TCP, 0, 1), ...tcp(81)]), 'other-port'],
  ['IPv6 later fragment', ipv6Frame(FRAGMENT, [...fragment(TCP, 1, 1), 1]), 'socket'],
  ['IPv6 last fragment, no byte behind it', ipv6Frame(FRAGMENT, fragment(TCP, 8191, 0)), 'socket'],
  [
    'IPv6 later fragment behind options',
    ipv6Frame(OPTIONS, [...options(2, FRAGMENT), ...fragment(TCP, 32, 0)]),
    'socket',
  ],
  ['IPv6 later fragment whose protocol the first one knows', ipv6Frame(FRAGMENT, fragment(OPTIONS, 5, 1)), 'socket'],
  [
    'the same to another address',
    ipv6Frame(FRAGMENT, fragment(OPTIONS, 5, 1), { destination: '2001:db8:10::3' }),
    'kernel',
  ],
  ['IPv6 later fragment of a protocol without service', ipv6Frame(FRAGMENT, fragment(UDP, 5, 1)), 'kernel'],
  ['IPv6 later fragment of ICMP', ipv6Frame(FRAGMENT, [...fragment(ICMPV6, 5, 1), ...icmp(1)]), 'kernel'],
  ['fragment of a fragment', ipv6Frame(FRAGMENT, [...fragment(FRAGMENT, 0, 1), ...fragment(TCP, 3, 1)]), 'socket'],
  ['a fragment header of 7 bytes', ipv6Frame(FRAGMENT, fragment(TCP, 1, 1).slice(0, 7)), 'kernel'],

  ...[1, 2, 3, 4].map((type) => [`ICMPv6 error ${type} to a VIP`, ipv6Frame(ICMPV6, icmp(type)), 'socket'] as const),
  ['ICMPv6 error to a VIP of UDP alone', ipv6Frame(ICMPV6, icmp(2), { destination: DNS_VIP }), 'socket'],
  ['ICMPv6 error behind options', ipv6Frame(OPTIONS, [...extension(ICMPV6), ...icmp(2)]), 'socket'],
  ['ICMPv6 error in a fragment that is whole', ipv6Frame(FRAGMENT, [...fragment(ICMPV6, 0, 0), ...icmp(2)]), 'socket'],
  ['ICMPv6 error in a first fragment', ipv6Frame(FRAGMENT, [...fragment(ICMPV6, 0, 1), ...icmp(2)]), 'kernel'],
  ['ICMPv6 error to another address', ipv6Frame(ICMPV6, icmp(2), { destination: '2001:db8:10::3' }), 'kernel'],
  ['ICMPv6 error of 7 bytes', ipv6Frame(ICMPV6, icmp(2).slice(0, 7)), 'kernel'],
  ['IPv6 echo request to a VIP', ipv6Frame(ICMPV6, icmp(128)), 'echo'],
  ['IPv6 echo request to another address', ipv6Frame(ICMPV6, icmp(128), { destination: '2001:db8:10::3' }), 'kernel'],
  ...[0, 5, 127, 129, 130, 133, 134, 135, 136, 137, 143, 255].map(
    (type) => [`ICMPv6 type ${type} to a VIP`, ipv6Frame(ICMPV6, icmp(type)), 'kernel'] as const,
  ),
  ['ICMP of IPv4 in IPv6', ipv6Frame(1, icmp(3)), 'kernel'],

  ['version 4 in an IPv6 frame', ipv6Frame(TCP, tcp(), { version: 4 }), 'kernel'],
  ['version 0 in an IPv6 frame', ipv6Frame(TCP, tcp(), { version: 0 }), 'kernel'],
  ['IPv6 ports cut by one byte', ipv6Frame(TCP, ports(80).slice(0, 3)), 'kernel'],
  ['IPv6 header cut by one byte', ipv6Frame(TCP, tcp()).subarray(0, 53), 'kernel'],
  ['noise in an IPv6 frame', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x86dd, Array(60).fill(0x66)), 'kernel'],
];

/** What must be there of a frame for the sockets, in bytes: no byte less. */
export const NEEDED6: readonly (readonly [name: string, frame: Uint8Array, bytes: number])[] = [
  ['IPv6', ipv6Frame(TCP, tcp()), 14 + 40 + 4],
  [
    'IPv6, six extension headers',
    ipv6Frame(OPTIONS, [...options(6, UDP), ...udp(80)], { destination: RANGE_VIP }),
    106,
  ],
  ['IPv6, 24 bytes of options', ipv6Frame(OPTIONS, [...extension(TCP, 24), ...tcp()]), 14 + 40 + 24 + 4],
  ['IPv6, later fragment', ipv6Frame(FRAGMENT, [...fragment(TCP, 1, 0), 1, 2, 3]), 14 + 40 + 8],
  ['ICMPv6', ipv6Frame(ICMPV6, icmp(4)), 14 + 40 + 8],
];
