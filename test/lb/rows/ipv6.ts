/** Packet rows: TCP over IPv6, with and without extension headers, and IPv6 that cannot be right. */
import type { TcpFields } from '../../packets.ts';
import { icmp6Packet } from '../../packets-icmp.ts';
import { type Ipv6Fields, ipv6Packet, type Tcp6Fields, tcp6Packet } from '../../packets6.ts';
import type { TunnelFields } from '../../tunnels.ts';
import {
  answer,
  CLIENT_IPV6,
  frameOf,
  ipip6,
  l2,
  ON_IPV6,
  type Out,
  type PacketRow,
  padded,
  VIP_IPV6,
  withByte,
} from './row.ts';

const syn: TcpFields = { flags: 'S', options: [2, 4, 5, 160, 1, 3, 3, 7] };
const data: TcpFields = { flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n', sequence: 1001, acknowledgement: 5001 };

/** A segment that is forwarded as it is. */
function forwarded(name: string, fields: Tcp6Fields, outer: TunnelFields = {}): PacketRow {
  const packet = tcp6Packet(fields);
  return { name, in: frameOf(packet), exit: 'forward', out: ipip6(packet, outer) };
}

const refused = (name: string, frame: Uint8Array, exit: string): PacketRow => ({ name, in: frame, exit });

/** Eight bytes of header: no options, padding (PadN of four). */
const OPTIONS = [0, 1, 4, 0, 0, 0, 0];
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
type Extensions = NonNullable<Ipv6Fields['extensions']>;
const many = (count: number): Extensions => Array.from({ length: count }, () => [DESTINATION_OPTIONS, OPTIONS]);
const behind = (...extensions: Extensions): Tcp6Fields => ({ ...data, ip: { extensions } });

const LARGEST = 1500 - 40;
const text = (ipLength: number) => 'x'.repeat(ipLength - 40 - 20);

/** RFC 4443, section 3.2, quoting as much as 1280 bytes hold. */
function tooBig(packet: number[], mtu: number): Out {
  const rest = [0, 0, mtu >> 8, mtu & 255];
  const body = packet.slice(0, 1280 - 48);
  return answer(icmp6Packet(VIP_IPV6, CLIENT_IPV6, { type: 2, rest, body }, { hopLimit: 64 }));
}

/** The RST from the VIP. */
function reset(fields: TcpFields): Out {
  const ends = { source: VIP_IPV6, destination: CLIENT_IPV6, sourcePort: 80, destinationPort: 40000 };
  return answer(tcp6Packet({ ...ends, window: 0, ...fields, ip: { hopLimit: 64 } }));
}

const rows: PacketRow[] = [
  forwarded('SYN', syn),
  forwarded('data without an entry', data),
  { ...forwarded('data with an entry', data), before: [frameOf(tcp6Packet(syn))] },
  forwarded('FIN', { flags: 'FA' }),
  forwarded('RST of an unknown connection', { flags: 'R' }),
  { ...forwarded('by hash alone', data), service: 'conntrack: { enabled: false }' },
  { ...forwarded('round-robin', syn), service: 'scheduler: round-robin' },
  {
    name: 'SYN by L2',
    service: 'encap: l2',
    in: frameOf(tcp6Packet(syn)),
    exit: 'forward',
    out: l2(tcp6Packet(syn)),
  },
  {
    name: 'what stands behind the packet is cut off',
    in: padded(frameOf(tcp6Packet(data)), 120),
    exit: 'forward',
    out: ipip6(tcp6Packet(data)),
  },
  forwarded('DSCP and ECN are copied', { ...data, ip: { trafficClass: 0xb9 } }, { tos: 0xb9 }),
  forwarded('the flow label inside is not touched', { ...data, ip: { flowLabel: 0xabcde } }),
  forwarded('hop limit 1 is forwarded, and not touched', { ...data, ip: { hopLimit: 1 } }),
  forwarded('hop limit 255', { ...data, ip: { hopLimit: 255 } }),

  forwarded('behind hop-by-hop options', behind([HOP_BY_HOP, OPTIONS])),
  forwarded('behind destination options', behind([DESTINATION_OPTIONS, OPTIONS])),
  forwarded('behind a routing header that has been followed', behind([ROUTING, [0, 4, 0, 0, 0, 0, 0]])),
  forwarded('behind an authentication header', behind([AUTHENTICATION, [4, 0, 0, ...Array(20).fill(9)]])),
  forwarded('behind an atomic fragment', behind([FRAGMENT, [0, 0, 0, 1, 2, 3, 4]])),
  forwarded('behind options of 64 bytes', behind([DESTINATION_OPTIONS, [7, 1, 60, ...Array(60).fill(0)]])),
  forwarded(
    'behind three kinds of headers',
    behind([HOP_BY_HOP, OPTIONS], [DESTINATION_OPTIONS, OPTIONS], [ROUTING, [0, 4, 0, 0, 0, 0, 0]]),
  ),
  forwarded('behind eight headers', behind(...many(8))),
  refused('behind nine', frameOf(tcp6Packet(behind(...many(9)))), 'drop: bad-ip-header'),
  refused('behind a hundred', frameOf(tcp6Packet(behind(...many(100)))), 'drop: bad-ip-header'),
  refused(
    'hop-by-hop options behind others',
    frameOf(tcp6Packet(behind([DESTINATION_OPTIONS, OPTIONS], [HOP_BY_HOP, OPTIONS]))),
    'drop: bad-ip-header',
  ),
  refused(
    'hop-by-hop options that name themselves',
    frameOf(tcp6Packet(behind([HOP_BY_HOP, OPTIONS], [HOP_BY_HOP, OPTIONS]))),
    'drop: bad-ip-header',
  ),
  refused(
    'an extension header beyond the end',
    frameOf(tcp6Packet(behind([DESTINATION_OPTIONS, [255, ...OPTIONS.slice(1)]]))),
    'drop: bad-ip-header',
  ),
  refused(
    'an extension header of which four bytes are there',
    frameOf(ipv6Packet(CLIENT_IPV6, VIP_IPV6, [6, 0, 1, 2], { protocol: DESTINATION_OPTIONS })),
    'drop: bad-ip-header',
  ),
  refused(
    'two fragment headers',
    frameOf(tcp6Packet(behind([FRAGMENT, [0, 0, 0, 1, 2, 3, 4]], [FRAGMENT, [0, 0, 0, 1, 2, 3, 4]]))),
    'drop: bad-ip-header',
  ),
  refused(
    'a jumbogram (RFC 2675)',
    frameOf(tcp6Packet({ ...data, ip: { payloadLength: 0, extensions: [[HOP_BY_HOP, [0, 194, 4, 0, 1, 0, 0]]] } })),
    'drop: bad-ip-header',
  ),

  forwarded('1460 bytes, the most that fits 1500', { payload: text(LARGEST) }),
  {
    name: '1461 bytes: the client is told what fits',
    in: frameOf(tcp6Packet({ payload: text(LARGEST + 1) })),
    exit: 'answer: too-big',
    out: tooBig(tcp6Packet({ payload: text(LARGEST + 1) }), LARGEST),
  },
  {
    name: '1461 bytes from a group, which nobody answers',
    in: frameOf(tcp6Packet({ source: 'ff02::1', payload: text(LARGEST + 1) })),
    exit: 'drop: too-big',
  },
  {
    name: 'stateful: unknown data is answered with RST, SEQ = its ACK',
    top: 'mode: stateful',
    in: frameOf(tcp6Packet(data)),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 5001 }),
  },
  {
    name: 'stateful: a segment without ACK, behind an extension header',
    top: 'mode: stateful',
    in: frameOf(tcp6Packet({ ...behind([DESTINATION_OPTIONS, OPTIONS]), flags: 'F', sequence: 1000, payload: 'abc' })),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'RA', sequence: 0, acknowledgement: 1004 }),
  },
  {
    name: 'onExpiry: reset: a connection that is not idle goes on',
    service: 'onExpiry: reset',
    before: [frameOf(tcp6Packet({ flags: 'S' }))],
    in: frameOf(tcp6Packet({ ...data, ...behind([DESTINATION_OPTIONS, OPTIONS]) })),
    exit: 'forward',
    out: ipip6(tcp6Packet({ ...data, ...behind([DESTINATION_OPTIONS, OPTIONS]) })),
  },

  refused('somebody else', frameOf(tcp6Packet({ destination: '2001:db8:10::2' })), 'pass: not-vip'),
  refused(
    'somebody who shares 12 bytes with the VIP',
    frameOf(tcp6Packet({ destination: '2001:db8:10::1:1' })),
    'pass: not-vip',
  ),
  refused('the VIP, another port', frameOf(tcp6Packet({ destinationPort: 81 })), 'pass: other-port'),
  refused('neighbour solicitation for the VIP', solicitation(VIP_IPV6), 'pass: other-protocol'),
  refused('neighbour solicitation to a group', solicitation('ff02::1:ff00:1'), 'pass: not-vip'),
  refused(
    'nothing behind the header',
    frameOf(ipv6Packet(CLIENT_IPV6, VIP_IPV6, [], { protocol: 59 })),
    'pass: other-protocol',
  ),
  refused(
    'ESP',
    frameOf(ipv6Packet(CLIENT_IPV6, VIP_IPV6, Array(40).fill(7), { protocol: 50 })),
    'pass: other-protocol',
  ),
  refused(
    'SCTP',
    frameOf(ipv6Packet(CLIENT_IPV6, VIP_IPV6, Array(12).fill(7), { protocol: 132 })),
    'pass: other-protocol',
  ),
  refused(
    'IPv4 in IPv6 to the VIP',
    frameOf(ipv6Packet(CLIENT_IPV6, VIP_IPV6, tcp6Packet(), { protocol: 4 })),
    'pass: other-protocol',
  ),
  refused(
    'IPv6 in IPv6 to the VIP',
    frameOf(ipv6Packet(CLIENT_IPV6, VIP_IPV6, tcp6Packet(), { protocol: 41 })),
    'pass: other-protocol',
  ),

  refused('half a header', frameOf(tcp6Packet()).slice(0, 53), 'drop: truncated'),
  refused('cut in the TCP header', frameOf(tcp6Packet()).slice(0, 70), 'drop: bad-ip-header'),
  refused('version 4', frameOf(tcp6Packet({ ip: { version: 4 } }), 0x86dd), 'drop: bad-ip-header'),
  refused('version 7', frameOf(tcp6Packet({ ip: { version: 7 } }), 0x86dd), 'drop: bad-ip-header'),
  refused(
    'payload length one byte beyond the frame',
    frameOf(tcp6Packet({ ip: { payloadLength: 21 } })),
    'drop: bad-ip-header',
  ),
  refused('payload length 65535', frameOf(tcp6Packet({ ip: { payloadLength: 65535 } })), 'drop: bad-ip-header'),
  refused('payload length 0', frameOf(tcp6Packet({ ip: { payloadLength: 0 } })), 'drop: bad-tcp-header'),
  refused(
    'payload length inside the TCP header',
    frameOf(tcp6Packet({ ip: { payloadLength: 19 } })),
    'drop: bad-tcp-header',
  ),
  refused('hop limit 0', frameOf(tcp6Packet({ ip: { hopLimit: 0 } })), 'drop: ttl-expired'),
  refused('a TCP data offset of 4', withByte(frameOf(tcp6Packet()), 14 + 40 + 12, 0x40), 'drop: bad-tcp-header'),
  refused(
    'a TCP data offset beyond the segment',
    withByte(frameOf(tcp6Packet()), 14 + 40 + 12, 0x60),
    'drop: bad-tcp-header',
  ),
];

/** RFC 4861, section 4.3: for the VIP, with the sender's MAC. */
function solicitation(destination: string): Uint8Array {
  const body = [...tcp6Packet({ source: VIP_IPV6 }).slice(8, 24), 1, 1, 2, 0, 0, 0, 0, 1];
  return frameOf(icmp6Packet(CLIENT_IPV6, destination, { type: 135, body }, { hopLimit: 255 }));
}

export const IPV6_ROWS: readonly PacketRow[] = rows.map((row) => ({ ...ON_IPV6, ...row, name: `IPv6: ${row.name}` }));
