/** Packet rows: echo requests to a VIP, in each of the three ways. */
import { ipv4Packet } from '../../packets.ts';
import { type IcmpFields, icmp6Packet, icmpMessage, icmpPacket } from '../../packets-icmp.ts';
import {
  answer,
  CLIENT,
  CLIENT_IPV6,
  frameOf,
  ipip,
  ipip6,
  ON_IPV6,
  type PacketRow,
  padded,
  VIP,
  VIP_IPV6,
} from './row.ts';

const request = (fields: Partial<IcmpFields> = {}): IcmpFields => ({
  type: 8,
  rest: [0x12, 0x34, 0, 1],
  body: [...Buffer.from('abcdefghi')],
  ...fields,
});
const request6 = (fields: Partial<IcmpFields> = {}): IcmpFields => request({ type: 128, ...fields });

/** Everything is the request's but addresses, type, checksum and TTL. */
function answered(name: string, fields: Partial<IcmpFields> = {}, ip = {}): PacketRow {
  return {
    name,
    in: frameOf(icmpPacket(CLIENT, VIP, request(fields), ip)),
    exit: 'answer: echo',
    out: answer(icmpPacket(VIP, CLIENT, request({ ...fields, type: 0 }), { ...ip, ttl: 64 })),
  };
}

function answered6(name: string, fields: Partial<IcmpFields> = {}, ip = {}): PacketRow {
  return {
    ...ON_IPV6,
    name: `${name}, IPv6`,
    in: frameOf(icmp6Packet(CLIENT_IPV6, VIP_IPV6, request6(fields), ip)),
    exit: 'answer: echo',
    out: answer(icmp6Packet(VIP_IPV6, CLIENT_IPV6, request6({ ...fields, type: 129 }), { ...ip, hopLimit: 64 })),
  };
}

const PING = icmpPacket(CLIENT, VIP, request());
const PING_IPV6 = icmp6Packet(CLIENT_IPV6, VIP_IPV6, request6());
const refused = (name: string, packet: readonly number[], exit: string, more: Partial<PacketRow> = {}): PacketRow => ({
  name,
  in: frameOf(packet),
  exit,
  ...more,
});

const rows: PacketRow[] = [
  answered('answered'),
  answered('without data', { body: [] }),
  answered('1472 bytes of data', { body: Array.from({ length: 1472 }, (_, i) => i & 255) }),
  // Found by fuzzing: what is too long for the link came in all the same, and what becomes of the answer is the device's.
  answered('1473 bytes of data', { body: Array.from({ length: 1473 }, (_, i) => i & 255) }),
  answered('TTL 1, TOS, no DF and an identification', {}, { ttl: 1, tos: 0x28, fragment: 0, id: 0xbeef }),
  answered('a checksum near the end of the ring', { rest: [0xff, 0xff, 0xff, 0xff], body: [0xf8, 0] }),
  {
    name: 'padding is cut off',
    in: padded(frameOf(icmpPacket(CLIENT, VIP, request({ body: [] }))), 60),
    exit: 'answer: echo',
    out: answer(icmpPacket(VIP, CLIENT, request({ type: 0, body: [] }), { ttl: 64 })),
  },
  answered6('answered'),
  answered6('without data', { body: [] }),
  answered6('1452 bytes of data', { body: Array.from({ length: 1452 }, (_, i) => (7 * i) & 255) }),
  answered6('hop limit 1 and a flow label', {}, { hopLimit: 1, flowLabel: 0x54321 }),

  refused('one bit is wrong', icmpPacket(CLIENT, VIP, request({ checksum: 0x1234 })), 'drop: bad-icmp'),
  refused('another code', icmpPacket(CLIENT, VIP, request({ code: 1 })), 'drop: bad-icmp'),
  refused('from a group', icmpPacket('224.0.0.1', VIP, request()), 'drop: bad-icmp'),
  refused('from everybody', icmpPacket('255.255.255.255', VIP, request()), 'drop: bad-icmp'),
  refused('from nobody', icmpPacket('0.0.0.0', VIP, request()), 'drop: bad-icmp'),
  refused('from this host itself', icmpPacket('127.0.0.1', VIP, request()), 'drop: bad-icmp'),
  refused(
    'seven bytes',
    ipv4Packet(CLIENT, VIP, icmpMessage(request()).slice(0, 7), { protocol: 1 }),
    'drop: bad-icmp',
  ),
  refused(
    'one bit is wrong, IPv6',
    icmp6Packet(CLIENT_IPV6, VIP_IPV6, request6({ checksum: 1 })),
    'drop: bad-icmp',
    ON_IPV6,
  ),
  refused('from a group, IPv6', icmp6Packet('ff02::1', VIP_IPV6, request6()), 'drop: bad-icmp', ON_IPV6),
  refused('from nobody, IPv6', icmp6Packet('::', VIP_IPV6, request6()), 'drop: bad-icmp', ON_IPV6),
  refused('a reply', icmpPacket(CLIENT, VIP, request({ type: 0 })), 'pass: other-protocol'),
  refused('to somebody else', icmpPacket(CLIENT, '198.18.2.10', request()), 'pass: not-vip'),
  refused('to somebody else, IPv6', icmp6Packet(CLIENT_IPV6, '2001:db8:10::2', request6()), 'pass: not-vip', ON_IPV6),
  refused('left to the kernel', PING, 'pass: other-protocol', { top: 'echo: kernel' }),
  refused('left to the kernel, IPv6', PING_IPV6, 'pass: other-protocol', { ...ON_IPV6, top: 'echo: kernel' }),
  refused('sent to a backend', PING, 'forward', { top: 'echo: backend', out: ipip(PING) }),
  refused('sent to a backend, IPv6', PING_IPV6, 'forward', { ...ON_IPV6, top: 'echo: backend', out: ipip6(PING_IPV6) }),
];

export const ECHO_ROWS: readonly PacketRow[] = rows.map((row) => ({ ...row, name: `echo: ${row.name}` }));
