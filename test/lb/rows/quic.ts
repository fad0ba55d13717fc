/** Packet rows: QUIC connection ids that name a backend, and those that name nobody (draft-ietf-quic-load-balancers-21). */
import { ipv4Packet } from '../../packets.ts';
import { ipv6Packet } from '../../packets6.ts';
import { BACKENDS_IPV6, backendYaml } from '../rig.ts';
import { CLIENT, CLIENT_IPV6, frameOf, ipip, ipip6, ON_IPV6, type PacketRow, VIP, VIP_IPV6 } from './row.ts';

/** Of b1, b2 and b3; the second is that of the draft's first vector. */
const SERVER_IDS = ['111111', 'c4605e', '333333'];
const service = 'protocol: udp\n    quic: { serverIdLength: 3, nonceLength: 4 }';
const backends = SERVER_IDS.map((id, i) => backendYaml(`b${i + 1}`, `serverId: "${id}"`));
const backends6 = SERVER_IDS.map(
  (id, i) => `{ name: b${i + 1}, address: "${BACKENDS_IPV6[`b${i + 1}`].address}", serverId: "${id}" }`,
);

/** First octet, server id, nonce: the draft's vector. */
const ID = [...Buffer.from('07c4605e4504cc4f', 'hex')];
/** RFC 8999: what all versions have in common. */
const short = (id: readonly number[]) => [0x41, ...id, 9, 9, 9, 9];
const long = (id: readonly number[], idLength = id.length) => [0xe3, 0, 0, 0, 1, idLength, ...id, 0, 9, 9, 9, 9];

/** Without a checksum. */
const udp = (payload: readonly number[], sourcePort = 40000): number[] => [
  sourcePort >> 8,
  sourcePort & 255,
  0,
  80,
  0,
  8 + payload.length,
  0,
  0,
  ...payload,
];
const packetOf = (payload: readonly number[], sourcePort?: number) =>
  ipv4Packet(CLIENT, VIP, udp(payload, sourcePort), { protocol: 17 });
const packet6Of = (payload: readonly number[]) => ipv6Packet(CLIENT_IPV6, VIP_IPV6, udp(payload), { protocol: 17 });

const named = (name: string, packet: number[], backend = 'b2'): PacketRow => ({
  name,
  service,
  backends,
  in: frameOf(packet),
  exit: 'forward',
  out: (_, actual) => ipip(packet)(backend, actual),
});

/** As a datagram of the same client that is no QUIC. */
const byHash = (name: string, payload: readonly number[]): PacketRow => ({
  name,
  service,
  backends,
  in: frameOf(packetOf(payload)),
  exit: 'forward',
  out: ipip(packetOf(payload)),
  backendOf: frameOf(packetOf([])),
});

const rows: PacketRow[] = [
  named('a short header', packetOf(short(ID))),
  named('a long header', packetOf(long(ID))),
  named('from another port', packetOf(short(ID), 50_001)),
  named('another backend', packetOf(short([7, 0x33, 0x33, 0x33, 1, 2, 3, 4])), 'b3'),
  {
    ...named('over the table, which knows the client by another backend', packetOf(short(ID))),
    before: [frameOf(packetOf(short([7, 0x11, 0x11, 0x11, 1, 2, 3, 4])))],
  },
  named('the server has written more behind the nonce', packetOf(long([...ID, 1, 2, 3]))),
  {
    ...ON_IPV6,
    name: 'over IPv6',
    service,
    backends: backends6,
    in: frameOf(packet6Of(short(ID))),
    exit: 'forward',
    out: (_, actual) => ipip6(packet6Of(short(ID)))('b2', actual),
  },
  byHash('a server id of nobody', short([7, 1, 2, 3, 4, 5, 6, 7])),
  byHash('another rotation', short([0x27, ...ID.slice(1)])),
  byHash('the rotation of what is not routable', long([0xe7, ...ID.slice(1)])),
  byHash('an id that is too short', long(ID.slice(0, 7))),
  byHash('an id of no bytes', long([])),
  byHash('an id that reaches beyond the datagram', long(ID, 200)),
  byHash('six bytes', [0xe3, 0, 0, 0, 1, 8]),
  byHash('no byte', []),
];

export const QUIC_ROWS: readonly PacketRow[] = rows.map((row) => ({ ...row, name: `QUIC: ${row.name}` }));
