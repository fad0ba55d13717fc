/** Packet rows: ICMP errors about a flow, which go to the backend that owns it; and errors that are about none. */
import { type Ipv4Fields, ipv4Packet, tcpPacket } from '../../packets.ts';
import { type IcmpFields, icmp6Packet, icmpPacket } from '../../packets-icmp.ts';
import { type Ipv6Fields, ipv6Packet, tcp6Packet, udpDatagram } from '../../packets6.ts';
import { CLIENT, CLIENT_IPV6, frameOf, ipip, ipip6, l2, ON_IPV6, type PacketRow, VIP, VIP_IPV6 } from './row.ts';

/** Some router on the way to the client. */
const ROUTER = '203.0.113.1';
const ROUTER_IPV6 = '2001:db8:ff::1';

/** What a backend has sent to the client in the VIP's name. */
const ANSWER = { source: VIP, destination: CLIENT, sourcePort: 80, destinationPort: 40000, flags: 'A' } as const;
const answered = (ip: Ipv4Fields = {}) => tcpPacket({ ...ANSWER, payload: 'the answer', ip });
const answered6 = (ip: Ipv6Fields = {}) =>
  tcp6Packet({ ...ANSWER, source: VIP_IPV6, destination: CLIENT_IPV6, payload: 'the answer', ip });
const udp = () => udpDatagram(VIP, CLIENT, { sourcePort: 80, destinationPort: 40000, payload: 'the answer' });

/** The client's own packets of the same flow. */
const SYN = frameOf(tcpPacket({ flags: 'S' }));
const SYN_IPV6 = frameOf(tcp6Packet({ flags: 'S' }));

const error = (fields: Partial<IcmpFields>, ip?: Ipv4Fields) => icmpPacket(ROUTER, VIP, { type: 3, ...fields }, ip);
const error6 = (fields: Partial<IcmpFields>, ip?: Ipv6Fields) =>
  icmp6Packet(ROUTER_IPV6, VIP_IPV6, { type: 1, ...fields }, ip);

/** To the backend that the flow's first packet goes to, too, by a balancer that has never seen it. */
function related(name: string, packet: number[], more: Partial<PacketRow> = {}): PacketRow {
  return { name, in: frameOf(packet), exit: 'forward', out: ipip(packet), backendOf: SYN, ...more };
}

const related6 = (name: string, packet: number[], more: Partial<PacketRow> = {}): PacketRow =>
  related(`${name}, IPv6`, packet, { ...ON_IPV6, out: ipip6(packet), backendOf: SYN_IPV6, ...more });

const ofNoFlow = (name: string, packet: number[], more: Partial<PacketRow> = {}): PacketRow => ({
  name,
  in: frameOf(packet),
  exit: 'drop: icmp-of-no-flow',
  ...more,
});
const ofNoFlow6 = (name: string, packet: number[]): PacketRow => ofNoFlow(`${name}, IPv6`, packet, ON_IPV6);

const TOO_BIG = [0, 0, 5, 120];
/** The header and the eight bytes that RFC 792 promises. */
const least = answered().slice(0, 28);

const rows: PacketRow[] = [
  related('fragmentation needed', error({ code: 4, rest: TOO_BIG, body: answered() })),
  related('with the least that must be quoted', error({ code: 4, rest: TOO_BIG, body: least })),
  related('of a flow that the table knows', error({ code: 4, rest: TOO_BIG, body: least }), { before: [SYN] }),
  related('by hash alone', error({ code: 4, rest: TOO_BIG, body: least }), {
    service: 'conntrack: { enabled: false }',
  }),
  related('host unreachable', error({ code: 1, body: least })),
  related('port unreachable', error({ code: 3, body: least })),
  related('time exceeded', error({ type: 11, body: least })),
  related('parameter problem', error({ type: 12, rest: [9, 0, 0, 0], body: least })),
  related('by L2', error({ body: least }), { service: 'encap: l2', out: l2(error({ body: least })) }),
  related('source-ip', error({ body: least }), { service: 'hash: source-ip' }),
  related('five-tuple', error({ body: least }), { service: 'hash: five-tuple' }),
  related('round-robin, which has to ask its table', error({ body: least }), {
    service: 'scheduler: round-robin',
    before: [SYN],
    backendOf: SYN,
  }),
  ofNoFlow6('a quote of nothing', error6({})),
  related('a quoted packet with options', error({ body: answered({ options: [1, 1, 1, 1] }) })),
  related('a quoted first fragment', error({ body: answered({ fragment: 0x2000 }) })),
  related('a quote whose TTL has run out', error({ type: 11, body: answered({ ttl: 0 }) })),
  related('a wrong checksum is the backend’s business', error({ body: least, checksum: 1 })),
  related('about a datagram', error({ code: 3, body: quote(17, udp()) }), {
    service: 'protocol: udp',
    backendOf: frameOf(ipv4Packet(CLIENT, VIP, udpDatagram(CLIENT, VIP, { destinationPort: 80 }), { protocol: 17 })),
  }),

  ofNoFlow('a quote without ports', error({ body: answered().slice(0, 20) })),
  ofNoFlow('a quote with four bytes of ports', error({ body: answered().slice(0, 24) })),
  ofNoFlow('half a quoted header', error({ body: answered().slice(0, 12) })),
  ofNoFlow('no quote', error({ body: [] })),
  ofNoFlow('a quoted later fragment', error({ body: answered({ fragment: 0x2010 }) })),
  ofNoFlow('a quote that the VIP has not sent', error({ body: tcpPacket({ ...ANSWER, source: '198.18.10.2' }) })),
  ofNoFlow('a quote of another version', error({ body: answered({ version: 6 }) })),
  ofNoFlow('a quoted header of 16 bytes', error({ body: answered({ ihl: 4 }) })),
  ofNoFlow('a quoted header beyond the quote', error({ body: answered({ ihl: 15 }) })),
  ofNoFlow('a quoted length below its header', error({ body: answered({ totalLength: 19 }) })),
  ofNoFlow('a quote of another port', error({ body: tcpPacket({ ...ANSWER, sourcePort: 81 }) })),
  ofNoFlow('a quote of another protocol', error({ body: quote(132, Array(12).fill(1)) })),
  ofNoFlow('about a datagram of a TCP service', error({ body: quote(17, udp()) })),
  ofNoFlow('ICMP that quotes ICMP', error({ body: icmpPacket(VIP, CLIENT, { type: 3, body: answered() }) })),
  ofNoFlow('a quoted tunnel', error({ body: quote(4, answered()) })),
  ofNoFlow('source quench (RFC 6633)', error({ type: 4, body: least })),
  ofNoFlow('a redirect', error({ type: 5, code: 1, body: least })),
  {
    name: 'seven bytes of ICMP',
    in: frameOf(ipv4Packet(ROUTER, VIP, [3, 4, 0, 0, 0, 0, 5], { protocol: 1 })),
    exit: 'drop: bad-icmp',
  },
  { name: 'no byte of ICMP', in: frameOf(ipv4Packet(ROUTER, VIP, [], { protocol: 1 })), exit: 'drop: bad-icmp' },
  {
    name: 'to somebody else',
    in: frameOf(icmpPacket(ROUTER, '198.18.2.10', { type: 3, body: least })),
    exit: 'pass: not-vip',
  },
  {
    name: 'a timestamp request',
    in: frameOf(error({ type: 13, body: Array(12).fill(0) })),
    exit: 'pass: other-protocol',
  },
  {
    name: 'a router’s advertisement',
    in: frameOf(error({ type: 9, body: Array(8).fill(0) })),
    exit: 'pass: other-protocol',
  },

  related6('packet too big', error6({ type: 2, rest: [0, 0, 5, 0], body: answered6() })),
  related6(
    'with the least that must be quoted',
    error6({ type: 2, rest: [0, 0, 5, 0], body: answered6().slice(0, 48) }),
  ),
  related6('no route', error6({ code: 0, body: answered6() })),
  related6('time exceeded', error6({ type: 3, body: answered6() })),
  related6('parameter problem', error6({ type: 4, rest: [0, 0, 0, 6], body: answered6() })),
  related6('of a flow that the table knows', error6({ body: answered6() }), { before: [SYN_IPV6] }),
  related6(
    'a quoted packet behind options',
    error6({ body: answered6({ extensions: [[60, [0, 1, 4, 0, 0, 0, 0]]] }) }),
  ),
  related6('behind options itself', error6({ body: answered6() }, { extensions: [[60, [0, 1, 4, 0, 0, 0, 0]]] })),
  ofNoFlow6('a quote without ports', error6({ body: answered6().slice(0, 43) })),
  ofNoFlow6('half a quoted header', error6({ body: answered6().slice(0, 39) })),
  ofNoFlow6('a quote that the VIP has not sent', error6({ body: tcp6Packet({ ...ANSWER, source: '2001:db8:10::2' }) })),
  ofNoFlow6('a quote of another version', error6({ body: answered6({ version: 4 }) })),
  ofNoFlow6(
    'a quoted chain of headers that ends nowhere',
    error6({ body: answered6({ extensions: Array.from({ length: 20 }, () => [60, [0, 1, 4, 0, 0, 0, 0]] as const) }) }),
  ),
  ofNoFlow6('ICMP that quotes ICMP', error6({ body: icmp6Packet(VIP_IPV6, CLIENT_IPV6, { type: 129 }) })),
  ofNoFlow6('an error that nobody knows', error6({ type: 100, body: answered6() })),
  {
    ...ON_IPV6,
    name: 'seven bytes of ICMPv6',
    in: frameOf(ipv6Packet(ROUTER_IPV6, VIP_IPV6, Array(7).fill(1), { protocol: 58 })),
    exit: 'drop: bad-icmp',
  },
];

/** A packet of another protocol from the VIP. */
function quote(protocol: number, payload: readonly number[]): number[] {
  return ipv4Packet(VIP, CLIENT, payload, { protocol });
}

export const ICMP_ERROR_ROWS: readonly PacketRow[] = rows.map((row) => ({ ...row, name: `ICMP error: ${row.name}` }));
