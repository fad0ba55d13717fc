/**
 * Packet rows: description, packet in, exit, packet out. Each goes through the real forwarder (forwarder.test.ts); what
 * comes out is compared with bytes that test/packets.ts builds by the RFCs.
 *
 * Longer than 300 lines because it is one table.
 */
import {
  CLIENT_MAC,
  ETHERTYPE_IPV4,
  ethernetFrame,
  internetChecksum,
  ipv4Packet,
  OWN_MAC,
  type TcpFields,
  tcpFrame,
  tcpPacket,
  tcpSegment,
} from '../packets.ts';
import { BACKENDS, BALANCER_ADDRESS } from './rig.ts';

export interface PacketRow {
  name: string;
  /** YAML lines, as in rig.ts. */
  top?: string;
  service?: string;
  /** Packets that go before, at the same time; what becomes of them is not looked at. */
  before?: Uint8Array[];
  in: Uint8Array;
  exit: string;
  /** The frame that leaves, when `backend` is the one that was chosen; undefined: nothing may leave. */
  out?: (backend: string) => Uint8Array;
}

const VIP = '198.18.10.1';
const CLIENT = '192.0.2.7';

/** What field practice expects in front of an inner packet: TTL 64, its TOS, its identification and DF. */
function ipip(inner: number[], outer: { tos?: number; id?: number; fragment?: number } = {}) {
  return (backend: string): Uint8Array => {
    const { address, mac } = BACKENDS[backend];
    const packet = ipv4Packet(BALANCER_ADDRESS, address, inner, { ttl: 64, protocol: 4, ...outer });
    return ethernetFrame(mac, OWN_MAC, ETHERTYPE_IPV4, packet);
  };
}

function l2(packet: number[]) {
  return (backend: string): Uint8Array => ethernetFrame(BACKENDS[backend].mac, OWN_MAC, ETHERTYPE_IPV4, packet);
}

/** The RST from the VIP to the client, back to where the segment came from. */
function reset(fields: TcpFields) {
  return (): Uint8Array => {
    const segment = tcpSegment(VIP, CLIENT, { window: 0, sourcePort: 80, destinationPort: 40000, ...fields });
    return ethernetFrame(CLIENT_MAC, OWN_MAC, ETHERTYPE_IPV4, ipv4Packet(VIP, CLIENT, segment, { id: 0, ttl: 64 }));
  };
}

function frameOf(packet: number[], type = ETHERTYPE_IPV4): Uint8Array {
  return ethernetFrame(OWN_MAC, CLIENT_MAC, type, packet);
}

function padded(frame: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length).fill(0x5a);
  out.set(frame);
  return out;
}

const syn: TcpFields = { flags: 'S', options: [2, 4, 5, 180, 1, 3, 3, 7] };
const data: TcpFields = { flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n', sequence: 1001, acknowledgement: 5001 };

export const ROWS: readonly PacketRow[] = [
  // Forwarded.
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
    out: () => {
      const quote = tcpPacket({ payload: 'x'.repeat(1441) }).slice(0, 548);
      const message = [3, 4, 0, 0, 0, 0, 5, 200, ...quote];
      const sum = internetChecksum(message);
      message.splice(2, 2, sum >> 8, sum & 255);
      const error = ipv4Packet(VIP, CLIENT, message, { protocol: 1, ttl: 64, tos: 0xc0, id: 0 });
      return ethernetFrame(CLIENT_MAC, OWN_MAC, ETHERTYPE_IPV4, error);
    },
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

  // Stateful: the broken mode, on purpose.
  { name: 'stateful: SYN opens', top: 'mode: stateful', in: tcpFrame(syn), exit: 'forward', out: ipip(tcpPacket(syn)) },
  {
    name: 'stateful: data of a known connection',
    top: 'mode: stateful',
    before: [tcpFrame(syn)],
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  {
    name: 'stateful: unknown data is answered with RST, SEQ = its ACK',
    top: 'mode: stateful',
    in: tcpFrame(data),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 5001 }),
  },
  {
    name: 'stateful: the ACK may be beyond 2^31',
    top: 'mode: stateful',
    in: tcpFrame({ ...data, acknowledgement: 0xfffffff0 }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 0xfffffff0 }),
  },
  {
    name: 'stateful: SYN-ACK opens nothing',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'SA', acknowledgement: 7 }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 7 }),
  },
  {
    name: 'stateful: a segment without ACK is acknowledged by the RST (SEQ + LEN, FIN counts one)',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'F', sequence: 1000, payload: 'abc' }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'RA', sequence: 0, acknowledgement: 1004 }),
  },
  {
    name: 'stateful: SEQ + LEN wraps at 2^32',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'P', sequence: 0xffffffff, payload: 'abc' }),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'RA', sequence: 0, acknowledgement: 2 }),
  },
  {
    name: 'stateful: padding is no data',
    top: 'mode: stateful',
    in: padded(tcpFrame({ flags: 'F', sequence: 1000 }), 60),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'RA', sequence: 0, acknowledgement: 1001 }),
  },
  {
    name: 'stateful: an RST is never answered',
    top: 'mode: stateful',
    in: tcpFrame({ flags: 'R' }),
    exit: 'drop: unknown-reset',
  },
  {
    name: 'onMiss: reset, of one service in a stateless file',
    service: 'onMiss: reset',
    in: tcpFrame(data),
    exit: 'reset: unknown-connection',
    out: reset({ flags: 'R', sequence: 5001 }),
  },
  {
    name: 'onMiss: forward, of one service in a stateful file',
    top: 'mode: stateful',
    service: 'onMiss: forward',
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },

  // Silent drops.
  { name: 'drop: SYN opens', service: 'onMiss: drop', in: tcpFrame(syn), exit: 'forward', out: ipip(tcpPacket(syn)) },
  {
    name: 'drop: data of a known connection',
    service: 'onMiss: drop',
    before: [tcpFrame(syn)],
    in: tcpFrame(data),
    exit: 'forward',
    out: ipip(tcpPacket(data)),
  },
  { name: 'drop: unknown data', service: 'onMiss: drop', in: tcpFrame(data), exit: 'drop: unknown-connection' },
  {
    name: 'drop: an unknown RST is like any other packet',
    service: 'onMiss: drop',
    in: tcpFrame({ flags: 'R' }),
    exit: 'drop: unknown-connection',
  },
  {
    name: 'drop: SYN-ACK opens nothing',
    service: 'onMiss: drop',
    in: tcpFrame({ flags: 'SA' }),
    exit: 'drop: unknown-connection',
  },

  // Passed to the kernel.
  { name: 'ARP', in: frameOf(Array(28).fill(0), 0x0806), exit: 'pass: not-ip' },
  { name: 'IPv6 of another version', in: frameOf(Array(60).fill(0), 0x86dd), exit: 'drop: bad-ip-header' },
  { name: 'a VLAN tag in front of ARP', in: frameOf([0, 5, 8, 6, ...Array(28).fill(0)], 0x8100), exit: 'pass: not-ip' },
  {
    name: 'somebody else: ssh to the host',
    in: tcpFrame({ destination: '198.18.2.10', destinationPort: 22 }),
    exit: 'pass: not-vip',
  },
  { name: 'somebody else, same port', in: tcpFrame({ destination: '198.18.10.2' }), exit: 'pass: not-vip' },
  { name: 'the VIP, another port', in: tcpFrame({ destinationPort: 81 }), exit: 'pass: other-port' },
  { name: 'the VIP, port 0', in: tcpFrame({ destinationPort: 0 }), exit: 'pass: other-port' },
  {
    name: 'the VIP, the port in the wrong byte order',
    in: tcpFrame({ destinationPort: 80 << 8 }),
    exit: 'pass: other-port',
  },
  {
    name: 'ping to the VIP',
    in: frameOf(ipv4Packet(CLIENT, VIP, [8, 0, 0xf7, 0xfe, 0, 1, 0, 0], { protocol: 1 })),
    exit: 'answer: echo',
    out: () => {
      const reply = ipv4Packet(VIP, CLIENT, [0, 0, 0xff, 0xfe, 0, 1, 0, 0], { protocol: 1, ttl: 64 });
      return ethernetFrame(CLIENT_MAC, OWN_MAC, ETHERTYPE_IPV4, reply);
    },
  },
  {
    name: 'ping to the VIP that was damaged on its way',
    in: frameOf(ipv4Packet(CLIENT, VIP, [8, 0, 0xf7, 0xfe, 0, 2, 0, 0], { protocol: 1 })),
    exit: 'drop: bad-icmp',
  },
  {
    name: 'ping to the VIP, the balancer’s host answers',
    top: 'echo: kernel',
    in: frameOf(ipv4Packet(CLIENT, VIP, [8, 0, 0xf7, 0xfe, 0, 1, 0, 0], { protocol: 1 })),
    exit: 'pass: other-protocol',
  },
  {
    name: 'an error about the answer to a ping',
    in: frameOf(
      ipv4Packet(CLIENT, VIP, [3, 1, 0, 0, 0, 0, 0, 0, ...ipv4Packet(VIP, CLIENT, Array(8).fill(0), { protocol: 1 })], {
        protocol: 1,
      }),
    ),
    exit: 'drop: icmp-of-no-flow',
  },
  {
    name: 'UDP to the VIP',
    in: frameOf(ipv4Packet(CLIENT, VIP, [156, 64, 0, 80, 0, 8, 0, 0], { protocol: 17 })),
    exit: 'pass: other-port',
  },
  {
    name: 'UDP whose length is a lie',
    in: frameOf(ipv4Packet(CLIENT, VIP, [156, 64, 0, 80, 0, 9, 0, 0], { protocol: 17 })),
    exit: 'drop: bad-udp-header',
  },
  {
    name: 'ping to somebody else',
    in: frameOf(ipv4Packet(CLIENT, '198.18.2.10', [8, 0], { protocol: 1 })),
    exit: 'pass: not-vip',
  },
  {
    name: 'a fragment to somebody else',
    in: tcpFrame({ destination: '198.18.2.10', ip: { fragment: 0x2000 } }),
    exit: 'pass: not-vip',
  },
  {
    name: 'IP options to somebody else',
    in: tcpFrame({ destination: '198.18.2.10', ip: { options: [1, 1, 1, 0] } }),
    exit: 'pass: not-vip',
  },

  // Dropped: bad input has a name too.
  { name: 'no byte at all', in: new Uint8Array(0), exit: 'drop: truncated' },
  { name: 'half an Ethernet header', in: tcpFrame().slice(0, 13), exit: 'drop: truncated' },
  { name: 'an Ethernet header alone', in: tcpFrame().slice(0, 14), exit: 'drop: truncated' },
  { name: 'cut in the IP header', in: tcpFrame().slice(0, 33), exit: 'drop: truncated' },
  { name: 'cut in the TCP header', in: tcpFrame().slice(0, 50), exit: 'drop: bad-ip-header' },
  { name: 'cut in the data', in: tcpFrame(data).slice(0, 60), exit: 'drop: bad-ip-header' },
  { name: 'version 5', in: tcpFrame({ ip: { version: 5 } }), exit: 'drop: bad-ip-header' },
  { name: 'IHL 4', in: tcpFrame({ ip: { ihl: 4 } }), exit: 'drop: bad-ip-header' },
  { name: 'IHL 0', in: tcpFrame({ ip: { ihl: 0 } }), exit: 'drop: bad-ip-header' },
  { name: 'IHL beyond the total length', in: tcpFrame({ ip: { ihl: 15 } }), exit: 'drop: bad-ip-header' },
  {
    name: 'total length one byte beyond the frame',
    in: tcpFrame({ ip: { totalLength: 41 } }),
    exit: 'drop: bad-ip-header',
  },
  { name: 'total length 65535', in: tcpFrame({ ip: { totalLength: 65535 } }), exit: 'drop: bad-ip-header' },
  { name: 'total length 0', in: tcpFrame({ ip: { totalLength: 0 } }), exit: 'drop: bad-ip-header' },
  { name: 'total length below the header', in: tcpFrame({ ip: { totalLength: 19 } }), exit: 'drop: bad-ip-header' },
  { name: 'total length the bare IP header', in: tcpFrame({ ip: { totalLength: 20 } }), exit: 'drop: bad-tcp-header' },
  {
    name: 'total length inside the TCP header',
    in: tcpFrame({ ip: { totalLength: 39 } }),
    exit: 'drop: bad-tcp-header',
  },
  { name: 'IP options', in: tcpFrame({ ip: { options: [1, 1, 1, 0] } }), exit: 'drop: ip-options' },
  { name: 'an IHL that calls the ports options', in: tcpFrame({ ip: { ihl: 6 } }), exit: 'drop: bad-tcp-header' },
  { name: 'TTL 0', in: tcpFrame({ ip: { ttl: 0 } }), exit: 'drop: ttl-expired' },
  { name: 'the first fragment', in: tcpFrame({ ip: { fragment: 0x2000 } }), exit: 'drop: fragment' },
  { name: 'a later fragment', in: tcpFrame({ ip: { fragment: 0x2010 } }), exit: 'drop: fragment' },
  { name: 'the last fragment', in: tcpFrame({ ip: { fragment: 0x0010 } }), exit: 'drop: fragment' },
  { name: 'a TCP data offset of 4', in: withByte(tcpFrame(), 46, 0x40), exit: 'drop: bad-tcp-header' },
  { name: 'a TCP data offset beyond the segment', in: withByte(tcpFrame(), 46, 0x60), exit: 'drop: bad-tcp-header' },
];

function withByte(frame: Uint8Array, index: number, value: number): Uint8Array {
  const copy = frame.slice();
  copy[index] = value;
  return copy;
}
