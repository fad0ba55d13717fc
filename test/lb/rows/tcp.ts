/** Packet rows: TCP over IPv4, as a stateless balancer forwards it. */
import { type TcpFields, tcpFrame, tcpPacket } from '../../packets.ts';
import { icmpPacket } from '../../packets-icmp.ts';
import { answer, CLIENT, ipip, l2, type PacketRow, padded, VIP } from './row.ts';

const syn: TcpFields = { flags: 'S', options: [2, 4, 5, 180, 1, 3, 3, 7] };
const data: TcpFields = { flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n', sequence: 1001, acknowledgement: 5001 };

/** RFC 1191: 1480 bytes would fit. It quotes what 576 bytes hold (RFC 1812, section 4.3.2.3). */
function fragmentationNeeded(packet: readonly number[]): number[] {
  const rest = [0, 0, 1480 >> 8, 1480 & 255];
  const error = { type: 3, code: 4, rest, body: packet.slice(0, 576 - 28) };
  return icmpPacket(VIP, CLIENT, error, { ttl: 64, tos: 0xc0, id: 0 });
}

export const TCP_ROWS: readonly PacketRow[] = [
  { name: 'SYN by IPIP', in: tcpFrame(syn), exit: 'forward', out: ipip(tcpPacket(syn)) },
  {
    name: 'data without an entry is hashed and forwarded',
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  {
    name: 'data with an entry',
    before: [tcpFrame(syn)],
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  { name: 'SYN by L2', service: 'encap: l2', in: tcpFrame(syn), exit: 'forward', out: l2(tcpPacket(syn)) },
  { name: 'data by L2', service: 'encap: l2', in: tcpFrame(data), exit: 'forward', out: l2(tcpPacket(data)) },
  { name: 'FIN', in: tcpFrame({ flags: 'FA' }), exit: 'forward', out: ipip(tcpPacket({ flags: 'FA' })) },
  {
    name: 'RST of an unknown connection',
    in: tcpFrame({ flags: 'R' }),
    exit: 'forward',
    out: ipip(tcpPacket({ flags: 'R' })),
  },
  { name: 'no flags at all', in: tcpFrame({ flags: '' }), exit: 'forward', out: ipip(tcpPacket({ flags: '' })) },
  { name: 'all flags', in: tcpFrame({ flags: 'SAFRP' }), exit: 'forward', out: ipip(tcpPacket({ flags: 'SAFRP' })) },
  {
    name: 'DSCP and ECN are copied to the outer header',
    in: tcpFrame({ ...data, ip: { tos: 0xb9 } }),
    exit: 'forward',
    out: ipip(tcpPacket({ ...data, ip: { tos: 0xb9 } }), { tos: 0xb9 }),
  },
  {
    name: 'without DF the outer header has none, and the identification is copied',
    in: tcpFrame({ ...data, ip: { fragment: 0, id: 0xbeef } }),
    exit: 'forward',
    out: ipip(tcpPacket({ ...data, ip: { fragment: 0, id: 0xbeef } }), { fragment: 0, id: 0xbeef }),
  },
  {
    name: 'the reserved flag of RFC 3514 is not copied',
    in: tcpFrame({ ...data, ip: { fragment: 0xc000 } }),
    exit: 'forward',
    out: ipip(tcpPacket({ ...data, ip: { fragment: 0xc000 } }), { fragment: 0x4000 }),
  },
  {
    name: 'TTL 1 is forwarded, the inner TTL untouched',
    in: tcpFrame({ ip: { ttl: 1 } }),
    exit: 'forward',
    out: ipip(tcpPacket({ ip: { ttl: 1 } })),
  },
  { name: 'Ethernet padding is cut off, IPIP', in: padded(tcpFrame(), 60), exit: 'forward', out: ipip(tcpPacket()) },
  {
    name: 'Ethernet padding is cut off, L2',
    service: 'encap: l2',
    in: padded(tcpFrame(), 60),
    exit: 'forward',
    out: l2(tcpPacket()),
  },
  {
    name: '1480 bytes, the most that fits 1500 with IPIP',
    in: tcpFrame({ payload: 'x'.repeat(1440) }),
    exit: 'forward',
    out: ipip(tcpPacket({ payload: 'x'.repeat(1440) })),
  },
  {
    name: '1481 bytes with IPIP, which may be fragmented',
    in: tcpFrame({ payload: 'x'.repeat(1441), ip: { fragment: 0 } }),
    exit: 'drop: too-big',
  },
  {
    name: '1481 bytes with IPIP, DF: the client is told what fits',
    in: tcpFrame({ payload: 'x'.repeat(1441) }),
    exit: 'answer: too-big',
    out: answer(fragmentationNeeded(tcpPacket({ payload: 'x'.repeat(1441) }))),
  },
  {
    name: '1500 bytes by L2',
    service: 'encap: l2',
    in: tcpFrame({ payload: 'x'.repeat(1460) }),
    exit: 'forward',
    out: l2(tcpPacket({ payload: 'x'.repeat(1460) })),
  },
  {
    name: '40 bytes of TCP options',
    in: tcpFrame({ ...syn, options: Array(40).fill(1) }),
    exit: 'forward',
    out: ipip(tcpPacket({ ...syn, options: Array(40).fill(1) })),
  },
  {
    name: 'by hash alone',
    service: 'conntrack: { enabled: false }',
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  {
    name: 'round-robin',
    service: 'scheduler: round-robin',
    in: tcpFrame(syn),
    exit: 'forward',
    out: ipip(tcpPacket(syn)),
  },
];
