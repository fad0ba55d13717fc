/** Packet rows: what is passed to the kernel, and IPv4 with TCP that cannot be right. */
import { ipv4Packet, type TcpFields, tcpFrame, tcpPacket } from '../../packets.ts';
import { CLIENT, frameOf, type PacketRow, VIP, withByte } from './row.ts';

const data: TcpFields = { flags: 'PA', payload: 'GET / HTTP/1.1\r\n\r\n', sequence: 1001, acknowledgement: 5001 };

export const NOT_FORWARDED_ROWS: readonly PacketRow[] = [
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
  {
    name: 'a first fragment whose length is no multiple of eight',
    in: tcpFrame({ ip: { fragment: 0x2000 } }),
    exit: 'drop: bad-fragment',
  },
  {
    name: 'a first fragment without the whole TCP header',
    in: frameOf(ipv4Packet(CLIENT, VIP, tcpPacket().slice(20, 36), { fragment: 0x2000 })),
    exit: 'drop: bad-fragment',
  },
  {
    name: 'a last fragment before its first',
    in: tcpFrame({ ip: { fragment: 0x0010 } }),
    exit: 'hold: early-fragment',
  },
  {
    name: 'a first fragment of a ping',
    in: frameOf(ipv4Packet(CLIENT, VIP, [8, 0, 0xf7, 0xfe, 0, 1, 0, 0], { protocol: 1, fragment: 0x2000 })),
    exit: 'drop: fragment',
  },
  { name: 'a TCP data offset of 4', in: withByte(tcpFrame(), 46, 0x40), exit: 'drop: bad-tcp-header' },
  { name: 'a TCP data offset beyond the segment', in: withByte(tcpFrame(), 46, 0x60), exit: 'drop: bad-tcp-header' },
];
