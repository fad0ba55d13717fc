/** Packet rows: UDP services of both families. */
import { type Ipv4Fields, ipv4Packet, tcpFrame } from '../../packets.ts';
import { ipv6Packet, tcp6Packet, type UdpFields, udpDatagram } from '../../packets6.ts';
import {
  CLIENT,
  CLIENT_IPV6,
  frameOf,
  ipip,
  ipip6,
  l2,
  ON_IPV6,
  type PacketRow,
  padded,
  VIP,
  VIP_IPV6,
} from './row.ts';

const PROTOCOL_UDP = 17;

/** To port 80, where rig.ts has its service. */
function packetOf(fields: UdpFields, ip: Ipv4Fields = {}): number[] {
  const datagram = udpDatagram(CLIENT, VIP, { destinationPort: 80, ...fields });
  return ipv4Packet(CLIENT, VIP, datagram, { protocol: PROTOCOL_UDP, ...ip });
}

function packet6Of(fields: UdpFields): number[] {
  const datagram = udpDatagram(CLIENT_IPV6, VIP_IPV6, { destinationPort: 80, ...fields });
  return ipv6Packet(CLIENT_IPV6, VIP_IPV6, datagram, { protocol: PROTOCOL_UDP });
}

const query: UdpFields = { payload: 'a query' };

function forwarded(name: string, packet: number[], outer: Ipv4Fields = {}): PacketRow {
  return { name, in: frameOf(packet), exit: 'forward', out: ipip(packet, outer) };
}

const forwarded6 = (name: string, packet: number[]): PacketRow => ({
  ...ON_IPV6,
  name,
  in: frameOf(packet),
  exit: 'forward',
  out: ipip6(packet),
});

const refused = (name: string, packet: number[], exit: string): PacketRow => ({ name, in: frameOf(packet), exit });
const text = (ipLength: number, headers: number) => 'x'.repeat(ipLength - headers);

const rows: PacketRow[] = [
  forwarded('a datagram', packetOf(query)),
  { ...forwarded('a second datagram', packetOf(query)), before: [frameOf(packetOf(query))] },
  forwarded('no data', packetOf({})),
  forwarded('a checksum of zero says that there is none', packetOf({ ...query, checksum: 0 })),
  forwarded('a wrong checksum is the backend’s business', packetOf({ ...query, checksum: 0x1234 })),
  forwarded('from port 0, to which nobody can answer', packetOf({ ...query, sourcePort: 0 })),
  forwarded('the length may say less than the packet has', packetOf({ ...query, length: 10 })),
  forwarded('without DF', packetOf(query, { fragment: 0, id: 0xbeef }), { fragment: 0, id: 0xbeef }),
  { ...forwarded('by hash alone', packetOf(query)), service: 'conntrack: { enabled: false }' },
  { ...forwarded('round-robin', packetOf(query)), service: 'scheduler: round-robin' },
  {
    name: 'by L2',
    service: 'encap: l2',
    in: frameOf(packetOf(query)),
    exit: 'forward',
    out: l2(packetOf(query)),
  },
  {
    name: 'Ethernet padding is cut off',
    in: padded(frameOf(packetOf({})), 60),
    exit: 'forward',
    out: ipip(packetOf({})),
  },
  forwarded('1480 bytes, the most that fits', packetOf({ payload: text(1480, 28) })),
  refused(
    '1481 bytes, which may be fragmented',
    packetOf({ payload: text(1481, 28) }, { fragment: 0 }),
    'drop: too-big',
  ),
  refused('TCP to a service of UDP', [...tcpFrame()].slice(14), 'pass: other-port'),
  refused('another port', packetOf({ destinationPort: 81 }), 'pass: other-port'),
  refused('seven bytes', ipv4Packet(CLIENT, VIP, [1, 2, 0, 80, 0, 7, 0], { protocol: 17 }), 'drop: bad-udp-header'),
  refused('no byte of it', ipv4Packet(CLIENT, VIP, [], { protocol: 17 }), 'drop: bad-udp-header'),
  refused('a length of 0', packetOf({ ...query, length: 0 }), 'drop: bad-udp-header'),
  refused('a length of 7', packetOf({ ...query, length: 7 }), 'drop: bad-udp-header'),
  refused('a length one byte beyond', packetOf({ ...query, length: 16 }), 'drop: bad-udp-header'),
  refused('a length of 65535', packetOf({ ...query, length: 65535 }), 'drop: bad-udp-header'),
  refused('TTL 0', packetOf(query, { ttl: 0 }), 'drop: ttl-expired'),

  forwarded6('a datagram over IPv6', packet6Of(query)),
  forwarded6('a checksum of zero over IPv6 (RFC 6936)', packet6Of({ ...query, checksum: 0 })),
  { ...ON_IPV6, ...refused('TCP over IPv6 to a service of UDP', tcp6Packet(), 'pass: other-port') },
  {
    ...ON_IPV6,
    ...refused(
      'seven bytes over IPv6',
      ipv6Packet(CLIENT_IPV6, VIP_IPV6, Array(7).fill(0), { protocol: 17 }),
      'drop: bad-udp-header',
    ),
  },
  { ...ON_IPV6, ...refused('a lying length over IPv6', packet6Of({ ...query, length: 16 }), 'drop: bad-udp-header') },
];

export const UDP_ROWS: readonly PacketRow[] = rows.map((row) => ({
  ...row,
  name: `UDP: ${row.name}`,
  service: ['protocol: udp', row.service].filter(Boolean).join('\n    '),
}));
