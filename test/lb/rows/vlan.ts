/** Packet rows: VLAN tags, which are kept on the way out. */
import { tcpPacket } from '../../packets.ts';
import { icmpPacket } from '../../packets-icmp.ts';
import { type Tag, tagged } from '../../packets-link.ts';
import { tcp6Packet, udpDatagram } from '../../packets6.ts';
import { answer, CLIENT, frameOf, ipip, ipip6, l2, ON_IPV6, type Out, type PacketRow, padded, VIP } from './row.ts';

const VLAN: Tag = { control: 5 };
/** Priority 6, drop eligible. */
const WITH_PRIORITY: Tag = { control: 0xd123 };
const SERVICE: Tag = { control: 0x0456, type: 0x88a8 };

const packet = tcpPacket({ flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n', acknowledgement: 5001 });
const packet6 = tcp6Packet({ flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n' });

const withTags =
  (out: Out, ...tags: Tag[]): Out =>
  (backend, actual) =>
    // The fields to be taken over stand where they would without tags.
    tagged(out(backend, withoutTags(actual, tags.length)), ...tags);

function withoutTags(frame: Uint8Array, count: number): Uint8Array {
  return Uint8Array.from([...frame.subarray(0, 12), ...frame.subarray(12 + 4 * count)]);
}

function forwarded(name: string, tags: Tag[], more: Partial<PacketRow> = {}, out: Out = ipip(packet)): PacketRow {
  return { name, in: tagged(frameOf(packet), ...tags), exit: 'forward', out: withTags(out, ...tags), ...more };
}

const refused = (name: string, frame: Uint8Array, exit: string): PacketRow => ({ name, in: frame, exit });

const echo = { type: 8, rest: [0, 1, 0, 2], body: [1, 2, 3] } as const;

const rows: PacketRow[] = [
  forwarded('one tag', [VLAN]),
  forwarded('priority and drop eligibility are kept', [WITH_PRIORITY]),
  forwarded('a tag for priority alone, VLAN 0', [{ control: 0xe000 }]),
  forwarded('a service tag alone', [SERVICE]),
  forwarded('QinQ', [SERVICE, VLAN]),
  forwarded('two tags of the same type', [VLAN, WITH_PRIORITY]),
  forwarded('one tag, by L2', [VLAN], { service: 'encap: l2' }, l2(packet)),
  forwarded('QinQ, by L2', [SERVICE, VLAN], { service: 'encap: l2' }, l2(packet)),
  {
    ...ON_IPV6,
    name: 'IPv6 behind a tag',
    in: tagged(frameOf(packet6), VLAN),
    exit: 'forward',
    out: withTags(ipip6(packet6), VLAN),
  },
  {
    name: 'padding behind a tag is cut off',
    in: padded(tagged(frameOf(tcpPacket()), VLAN), 64),
    exit: 'forward',
    out: withTags(ipip(tcpPacket()), VLAN),
  },
  {
    name: 'an answered echo request goes back on its VLAN',
    in: tagged(frameOf(icmpPacket(CLIENT, VIP, echo)), SERVICE, VLAN),
    exit: 'answer: echo',
    out: withTags(answer(icmpPacket(VIP, CLIENT, { ...echo, type: 0 }, { ttl: 64 })), SERVICE, VLAN),
  },
  {
    name: 'and so does a reset',
    top: 'mode: stateful',
    in: tagged(frameOf(packet), VLAN),
    exit: 'reset: unknown-connection',
    out: withTags(
      answer(
        tcpPacket({
          source: VIP,
          destination: CLIENT,
          sourcePort: 80,
          destinationPort: 40000,
          flags: 'R',
          sequence: 5001,
          window: 0,
          ip: { id: 0, ttl: 64 },
        }),
      ),
      VLAN,
    ),
  },
  refused('ARP behind a tag', tagged(frameOf(Array(28).fill(0), 0x0806), VLAN), 'pass: not-ip'),
  refused('three tags', tagged(frameOf(packet), SERVICE, VLAN, VLAN), 'pass: not-ip'),
  refused('somebody else’s packet', tagged(frameOf(tcpPacket({ destination: '198.18.2.10' })), VLAN), 'pass: not-vip'),
  refused('another port', tagged(frameOf(tcpPacket({ destinationPort: 81 })), VLAN), 'pass: other-port'),
  refused(
    'UDP behind a tag',
    tagged(frameOf([...tcpPacket({ ip: { protocol: 17 } }).slice(0, 20), ...udpDatagram(CLIENT, VIP)]), VLAN),
    'drop: bad-ip-header',
  ),
  refused('a tag with an IP header that was cut', tagged(frameOf(packet), VLAN).slice(0, 37), 'drop: truncated'),
  refused('a tag with nothing behind it', tagged(frameOf([]), VLAN), 'drop: truncated'),
  refused('half a tag', tagged(frameOf(packet), VLAN).slice(0, 15), 'pass: not-ip'),
  refused('version 6 that says it is IPv4', tagged(frameOf(packet6, 0x0800), VLAN), 'drop: bad-ip-header'),
  refused('an IPv4 length that counts the tag', lyingLength(), 'drop: bad-ip-header'),
];

function lyingLength(): Uint8Array {
  return tagged(frameOf(tcpPacket({ ip: { totalLength: 44 } })), VLAN);
}

export const VLAN_ROWS: readonly PacketRow[] = rows.map((row) => ({ ...row, name: `VLAN: ${row.name}` }));
