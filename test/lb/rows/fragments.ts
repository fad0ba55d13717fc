/**
 * Packet rows: pieces of datagrams, each after those that stand in front of it; which cannot be, and which have to wait.
 * test/lb/pieces.test.ts has whole datagrams in all orders.
 */
import { type Ipv4Fields, ipv4Packet, tcpFrame, tcpPacket } from '../../packets.ts';
import { icmpMessage } from '../../packets-icmp.ts';
import { fragmentsOf, tagged } from '../../packets-link.ts';
import { type Ipv6Fields, ipv6Packet, tcp6Packet, udpDatagram } from '../../packets6.ts';
import {
  CLIENT,
  CLIENT_IPV6,
  frameOf,
  ipip,
  ipip6,
  l2,
  ON_IPV6,
  type PacketRow,
  tunnel,
  VIP,
  VIP_IPV6,
} from './row.ts';

/** 20 bytes of TCP and 400 of data, which may be fragmented. */
const WHOLE = { flags: 'PA', payload: 'x'.repeat(400), ip: { fragment: 0, id: 0xbeef } } as const;
const [first, middle, last] = fragmentsOf(tcpPacket(WHOLE), 160, 160) as [number[], number[], number[]];
/** The outer datagram is whole, and has the inner one's identification. */
const OUTER = { fragment: 0, id: 0xbeef };
const WHOLE_FRAME = tcpFrame({ flags: 'PA' });

const DATAGRAM = ipv4Packet(CLIENT, VIP, udpDatagram(CLIENT, VIP, { destinationPort: 80, payload: 'y'.repeat(100) }), {
  protocol: 17,
  fragment: 0,
  id: 7,
});
const [firstOfUdp, lastOfUdp] = fragmentsOf(DATAGRAM, 64) as [number[], number[]];

function piece(name: string, packet: readonly number[], more: Partial<PacketRow> = {}): PacketRow {
  return { name, in: frameOf(packet), exit: 'forward', out: ipip(packet, OUTER), backendOf: WHOLE_FRAME, ...more };
}

const refused = (name: string, packet: readonly number[], exit: string, more: Partial<PacketRow> = {}): PacketRow => ({
  name,
  in: frameOf(packet),
  exit,
  ...more,
});

/** The data offset says 60 bytes of header, of which 24 are in this piece. */
const OPTIONS_IN_THE_NEXT = raw(
  [...tcpPacket({ flags: 'S' }).slice(20, 32), 0xf0, 2, ...tcpPacket({ flags: 'S' }).slice(34, 40), 1, 1, 1, 1],
  { fragment: 0x2000 },
);

/** Any bytes, as a piece of a datagram of the client's. */
function raw(data: readonly number[], ip: Ipv4Fields): number[] {
  return ipv4Packet(CLIENT, VIP, data, { id: 0xbeef, ...ip });
}

/** RFC 8200, section 4.5. */
function piece6(data: readonly number[], place: number, fields: Ipv6Fields = {}): number[] {
  const header = [6, 0, place >> 8, place & 255, 0, 0, 0xbe, 0xef];
  return ipv6Packet(CLIENT_IPV6, VIP_IPV6, [...header, ...data], { protocol: 44, ...fields });
}

const segment6 = tcp6Packet({ flags: 'PA', payload: 'x'.repeat(396) }).slice(40);
const first6 = piece6(segment6.slice(0, 160), 1);
const last6 = piece6(segment6.slice(160), 160);
const WHOLE_FRAME_IPV6 = frameOf(tcp6Packet({ flags: 'PA' }));

const known = { before: [frameOf(first)] };

const rows: PacketRow[] = [
  piece('the first', first),
  piece('a middle one after the first', middle, known),
  piece('the last one after the first', last, known),
  piece('the same one twice', middle, { before: [frameOf(first), frameOf(middle)] }),
  piece('one that overlaps the first', raw(Array(80).fill(1), { fragment: 0x2000 | (80 / 8) }), known),
  piece('one of a TTL that runs out, which is not looked at again', [...middle.slice(0, 8), 1, ...middle.slice(9)], {
    ...known,
    out: ipip([...middle.slice(0, 8), 1, ...middle.slice(9)], OUTER),
  }),
  piece('a first one with DF, as some tunnels send them', raw(first.slice(20), { fragment: 0x6000 }), {
    out: ipip(raw(first.slice(20), { fragment: 0x6000 }), { ...OUTER, fragment: 0x4000 }),
  }),
  piece('by hash alone', last, { ...known, service: 'conntrack: { enabled: false }' }),
  piece('by L2', last, { ...known, service: 'encap: l2', out: l2(last) }),
  piece('by GRE', last, { ...known, service: 'encap: gre', out: tunnel(last, false, { ...OUTER, encap: 'gre' }) }),
  piece('by GUE', last, { ...known, service: 'encap: gue', out: tunnel(last, false, { ...OUTER, encap: 'gue' }) }),
  piece('source-ip: the last one alone', last, { service: 'hash: source-ip' }),
  piece('source-ip: a middle one alone', middle, { service: 'hash: source-ip' }),
  piece('the last of a datagram of UDP', lastOfUdp, {
    service: 'protocol: udp',
    before: [frameOf(firstOfUdp)],
    out: ipip(lastOfUdp, { fragment: 0, id: 7 }),
    backendOf: frameOf(firstOfUdp),
  }),
  {
    ...ON_IPV6,
    name: 'IPv6, the first',
    in: frameOf(first6),
    exit: 'forward',
    out: ipip6(first6),
    backendOf: WHOLE_FRAME_IPV6,
  },
  {
    ...ON_IPV6,
    name: 'IPv6, the last one after the first',
    before: [frameOf(first6)],
    in: frameOf(last6),
    exit: 'forward',
    out: ipip6(last6),
    backendOf: WHOLE_FRAME_IPV6,
  },

  refused('a middle one alone waits', middle, 'hold: early-fragment'),
  refused(
    'after the first of another datagram',
    raw(last.slice(20), { id: 1, fragment: 40 }),
    'hold: early-fragment',
    known,
  ),
  refused(
    'after the first of another client',
    ipv4Packet('192.0.2.8', VIP, last.slice(20), { id: 0xbeef, fragment: 40 }),
    'hold: early-fragment',
    known,
  ),
  refused(
    'after the first of another protocol',
    raw(last.slice(20), { protocol: 17, fragment: 40 }),
    'hold: early-fragment',
    known,
  ),
  refused('IPv6, the last one alone', last6, 'hold: early-fragment', ON_IPV6),
  {
    name: 'behind a tag, alone',
    in: tagged(frameOf(last), { control: 5 }),
    exit: 'hold: early-fragment',
  },

  refused('of a port that is no service', withPort(first, 81), 'pass: other-port'),
  refused('to somebody else', ipv4Packet(CLIENT, '198.18.2.10', last.slice(20), { fragment: 40 }), 'pass: not-vip'),
  refused('a first one with half a TCP header', raw(first.slice(20, 36), { fragment: 0x2000 }), 'drop: bad-fragment'),
  refused(
    'one that overwrites the flags (RFC 1858)',
    raw(Array(16).fill(0), { fragment: 1 }),
    'drop: bad-fragment',
    known,
  ),
  refused(
    'one that is no multiple of eight',
    raw(Array(17).fill(0), { fragment: 0x2000 | 20 }),
    'drop: bad-fragment',
    known,
  ),
  refused('one of nothing', raw([], { fragment: 20 }), 'drop: bad-fragment', known),
  refused(
    'one beyond 65,535 bytes: the ping of death',
    raw(Array(40).fill(0), { fragment: 0x1fff }),
    'drop: bad-fragment',
    known,
  ),
  refused('IPv6, one beyond 65,535 bytes', piece6(Array(40).fill(0), 0xfff8), 'drop: bad-ip-header', ON_IPV6),
  refused('IPv6, one that is no multiple of eight', piece6(Array(17).fill(0), 161), 'drop: bad-ip-header', ON_IPV6),
  refused('IPv6, a first one with half a TCP header', piece6(segment6.slice(0, 16), 1), 'drop: bad-fragment', ON_IPV6),
  refused(
    'of an ICMP error',
    ipv4Packet(CLIENT, VIP, icmpMessage({ type: 3, body: first }), { protocol: 1, fragment: 0x2000 }),
    'drop: fragment',
  ),
  piece('a first one whose TCP options are in the next', OPTIONS_IN_THE_NEXT),
  piece('a SYN whose MSS is in the next, and not in what stands behind it', OPTIONS_IN_THE_NEXT, {
    service: 'mssClamp: auto',
    in: Uint8Array.from([...frameOf(OPTIONS_IN_THE_NEXT), 2, 4, 5, 180, ...Array(32).fill(1)]),
  }),
];

function withPort(packet: readonly number[], port: number): number[] {
  return [...packet.slice(0, 22), port >> 8, port & 255, ...packet.slice(24)];
}

export const FRAGMENT_ROWS: readonly PacketRow[] = rows.map((row) => ({ ...row, name: `fragment: ${row.name}` }));
