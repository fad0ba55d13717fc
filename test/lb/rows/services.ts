/** Packet rows: port ranges, all ports, several services of a VIP; IP options; MSS; tunnels to the VIP. */
import { ipv4Packet, type TcpFields, tcpPacket } from '../../packets.ts';
import { tcp6Packet, udpDatagram } from '../../packets6.ts';
import { tunnelPacket } from '../../tunnels.ts';
import { backendYaml } from '../rig.ts';
import { CLIENT, frameOf, ipip, ipip6, l2, ON_IPV6, type PacketRow, SMALL_TABLES, VIP } from './row.ts';

const backends = `${SMALL_TABLES.join(', ')}, backends: [${['b1', 'b2', 'b3'].map((name) => backendYaml(name)).join(', ')}]`;
const RANGE = { others: [`{ name: range, vip: ${VIP}, port: 8000-8999, ${backends} }`] };
const ALL = { others: [`{ name: all, vip: 198.18.10.9, port: all, ${backends} }`] };

function to(name: string, fields: TcpFields, more: Partial<PacketRow> = {}): PacketRow {
  const packet = tcpPacket(fields);
  return { name, in: frameOf(packet), exit: 'forward', out: ipip(packet), ...more };
}

const refused = (name: string, packet: readonly number[], exit: string, more: Partial<PacketRow> = {}): PacketRow => ({
  name,
  in: frameOf(packet),
  exit,
  ...more,
});

const PORTS: PacketRow[] = [
  to('range: its first port', { destinationPort: 8000 }, RANGE),
  to('range: its last port', { destinationPort: 8999 }, RANGE),
  to('range: a service beside it', { destinationPort: 80 }, RANGE),
  refused('range: one below', tcpPacket({ destinationPort: 7999 }), 'pass: other-port', RANGE),
  refused('range: one above', tcpPacket({ destinationPort: 9000 }), 'pass: other-port', RANGE),
  refused('range: of another protocol', udpTo(8000), 'pass: other-port', RANGE),
  to('all ports: the last', { destination: '198.18.10.9', destinationPort: 65535 }, ALL),
  to('all ports: 22', { destination: '198.18.10.9', destinationPort: 22 }, ALL),
  refused('all ports: of another VIP', tcpPacket({ destinationPort: 22 }), 'pass: other-port', ALL),
  to(
    'a port of its own goes before all of them',
    { destinationPort: 80 },
    {
      service: 'encap: l2',
      others: [`{ name: all, vip: ${VIP}, port: all, ${backends} }`],
      out: l2(tcpPacket({ destinationPort: 80 })),
    },
  ),
  to(
    'a range goes before all of them',
    { destinationPort: 8080 },
    {
      others: [
        `{ name: all, vip: ${VIP}, port: all, encap: l2, ${backends} }`,
        `{ name: range, vip: ${VIP}, port: 8000-8999, ${backends} }`,
      ],
    },
  ),
];

function udpTo(destinationPort: number): number[] {
  return ipv4Packet(CLIENT, VIP, udpDatagram(CLIENT, VIP, { destinationPort }), { protocol: 17 });
}

const ACCEPT = { service: 'ipOptions: accept' };
const ROUTE = [7, 7, 4, 0, 0, 0, 0, 0];

const OPTIONS: PacketRow[] = [
  to('options: accepted', { ip: { options: [1, 1, 1, 1] } }, ACCEPT),
  to('options: a record of the route', { ip: { options: ROUTE } }, ACCEPT),
  to('options: 40 bytes', { ip: { options: Array(40).fill(1) } }, ACCEPT),
  to('options: that are nonsense, which is the backend’s business', { ip: { options: [7, 99, 0, 0] } }, ACCEPT),
  to(
    'options: accepted, by L2',
    { ip: { options: ROUTE } },
    { service: 'ipOptions: accept\n    encap: l2', out: l2(tcpPacket({ ip: { options: ROUTE } })) },
  ),
  refused(
    'options: on a packet for another port',
    tcpPacket({ destinationPort: 81, ip: { options: ROUTE } }),
    'pass: other-port',
    ACCEPT,
  ),
  refused(
    'options: in front of half a TCP header',
    tcpPacket({ ip: { options: ROUTE, totalLength: 47 } }),
    'drop: bad-tcp-header',
    ACCEPT,
  ),
];

/** `mss` behind `before` bytes of no operation. */
const syn = (mss: number, before = 0): TcpFields => ({
  flags: 'S',
  options: [...Array(before).fill(1), 2, 4, mss >> 8, mss & 255, ...Array((8 - before) % 4).fill(1)],
});

function clamped(name: string, from: TcpFields, by: TcpFields, mssClamp: string): PacketRow {
  return {
    name: `MSS: ${name}`,
    service: `mssClamp: ${mssClamp}`,
    in: frameOf(tcpPacket(from)),
    exit: 'forward',
    out: ipip(tcpPacket(by)),
  };
}

const MSS: PacketRow[] = [
  clamped('what fits 1480 bytes', syn(1460), syn(1440), 'auto'),
  clamped('a number', syn(1460), syn(1000), '1000'),
  clamped('that is below already', syn(536), syn(536), 'auto'),
  clamped('off', syn(1460), syn(1460), 'off'),
  clamped('at an odd place', syn(1460, 1), syn(1440, 1), 'auto'),
  clamped('of jumbo frames', syn(8960), syn(1440), 'auto'),
  clamped('a SYN without options', { flags: 'S' }, { flags: 'S' }, 'auto'),
  clamped('no SYN', { ...syn(1460), flags: 'A' }, { ...syn(1460), flags: 'A' }, 'auto'),
  clamped(
    'options that do not add up',
    { flags: 'S', options: [2, 9, 5, 180] },
    { flags: 'S', options: [2, 9, 5, 180] },
    'auto',
  ),
  clamped(
    'an option of length 0',
    { flags: 'S', options: [3, 0, 2, 4] },
    { flags: 'S', options: [3, 0, 2, 4] },
    'auto',
  ),
  {
    ...ON_IPV6,
    name: 'MSS: what fits 1460 bytes of IPv6',
    service: 'mssClamp: auto',
    in: frameOf(tcp6Packet(syn(1440))),
    exit: 'forward',
    out: ipip6(tcp6Packet(syn(1400))),
  },
];

/** Somebody's own tunnels end here, or an attacker hopes so. */
const inTunnel = (name: string, protocol: number, payload: readonly number[]) =>
  refused(`to the VIP: ${name}`, ipv4Packet(CLIENT, VIP, payload, { protocol }), 'pass: other-protocol');
const ENDS = { source: CLIENT, destination: VIP };

const TUNNELS: PacketRow[] = [
  inTunnel('IPv4 in IPv4', 4, tcpPacket()),
  inTunnel('IPv6 in IPv4', 41, tcp6Packet()),
  refused('to the VIP: GRE', tunnelPacket(tcpPacket(), { ...ENDS, encap: 'gre' }), 'pass: other-protocol'),
  refused('to the VIP: GUE', tunnelPacket(tcpPacket(), { ...ENDS, encap: 'gue' }), 'pass: other-port'),
  inTunnel(
    'a tunnel in a tunnel in a tunnel',
    4,
    ipv4Packet(CLIENT, VIP, ipv4Packet(CLIENT, VIP, tcpPacket(), { protocol: 4 }), { protocol: 4 }),
  ),
  inTunnel('SCTP', 132, Array(12).fill(0)),
  inTunnel('protocol 255', 255, Array(12).fill(0)),
  inTunnel('protocol 0', 0, []),
];

export const SERVICE_ROWS: readonly PacketRow[] = [...PORTS, ...OPTIONS, ...MSS, ...TUNNELS];
