/** Packet rows: datagrams of QUIC services, of which connection ids name the backend (test/lb/quic-ways.test.ts has the stories). */
import { internetChecksum, ipv4Packet } from '../../packets.ts';
import { ipv6Packet, pseudoHeader } from '../../packets6.ts';
import { backendYaml } from '../rig.ts';
import { CLIENT, CLIENT_IPV6, frameOf, ipip, type Out, type PacketRow, VIP, VIP_IPV6 } from './row.ts';

const PROTOCOL_UDP = 17;
const bytesOfHex = (hex: string): number[] => [...Buffer.from(hex, 'hex')];

function udp(source: string, destination: string, payload: readonly number[]): number[] {
  const length = 8 + payload.length;
  const datagram = [0x9c, 0x40, 0, 80, length >> 8, length & 255, 0, 0, ...payload];
  const sum = internetChecksum([...pseudoHeader(source, destination, PROTOCOL_UDP, length), ...datagram]);
  datagram.splice(6, 2, sum >> 8, sum & 255);
  return datagram;
}

const packetOf = (payload: readonly number[]): number[] =>
  ipv4Packet(CLIENT, VIP, udp(CLIENT, VIP, payload), { protocol: PROTOCOL_UDP });
const packet6Of = (payload: readonly number[]): number[] =>
  ipv6Packet(CLIENT_IPV6, VIP_IPV6, udp(CLIENT_IPV6, VIP_IPV6, payload), { protocol: PROTOCOL_UDP });

/** RFC 8999: a long header says how long its connection ids are, a short one does not. */
const longHeader = (cid: string): number[] => [0xe3, 0, 0, 0, 1, cid.length / 2, ...bytesOfHex(cid), 0, 9, 9, 9, 9];
const shortHeader = (cid: string): number[] => [0x41, ...bytesOfHex(cid), 9, 9, 9, 9];

/** The vectors of draft-ietf-quic-load-balancers-21, section "Unencrypted CIDs"; the second without its misprint. */
const VECTORS = [
  { cid: '07c4605e4504cc4f', quic: '{ serverIdLength: 3, nonceLength: 4 }', ids: ['111111', 'c4605e', '333333'] },
  {
    cid: '2a350d28b4203487d9700b',
    quic: '{ serverIdLength: 5, nonceLength: 5, rotation: 1 }',
    ids: ['1111111111', '350d28b420', '3333333333'],
  },
];

const toB2 =
  (packet: readonly number[]): Out =>
  (_backend, actual) =>
    ipip(packet)('b2', actual);

export const QUIC_ROWS: readonly PacketRow[] = VECTORS.flatMap(({ cid, quic, ids }) => {
  const service = {
    service: `protocol: udp\n    quic: ${quic}`,
    backends: ids.map((id, i) => backendYaml(`b${i + 1}`, `serverId: "${id}"`)),
  };
  const named = (name: string, packet: readonly number[], more: Partial<PacketRow> = {}): PacketRow => ({
    ...service,
    name: `QUIC: ${name}, ${cid}`,
    in: frameOf(packet),
    exit: 'forward',
    out: toB2(packet),
    ...more,
  });
  const [long, short] = [longHeader(cid), shortHeader(cid)];
  const unknown = packetOf(longHeader(`f${cid.slice(1)}`));
  return [
    named('a long header names its backend', packetOf(long)),
    named('a short header does', packetOf(short)),
    named('over IPv6', packet6Of(short), {
      vip: `"${VIP_IPV6}"`,
      out: (_backend, actual) => ipip(packet6Of(short), { id: 0 })('b2', actual),
    }),
    named('without a connection table', packetOf(short), {
      service: `${service.service}\n    conntrack: { enabled: false }`,
    }),
    named('the id counts, not what the table says', packetOf(short), {
      before: [unknown, unknown].map((one) => frameOf(one)),
    }),
    named('a draining backend keeps what names it', packetOf(short), {
      backends: ids.map((id, i) => backendYaml(`b${i + 1}`, `serverId: "${id}"${i === 1 ? ', state: draining' : ''}`)),
    }),
    named('an id of rotation 7 is nobody’s', unknown, { out: ipip(unknown), backendOf: frameOf(packetOf([])) }),
    named('an id that is cut off', packetOf(long.slice(0, 9)), {
      out: ipip(packetOf(long.slice(0, 9))),
      backendOf: frameOf(packetOf([])),
    }),
  ];
});
