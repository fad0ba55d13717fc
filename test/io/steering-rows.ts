/** Packets, and where every way of steering sends them while `web` and `dns` are the services. */
import { CLIENT_MAC, ethernetFrame, type Ipv4Fields, ipv4Packet, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
import { addressBytes } from './two-hosts.ts';

const TCP = 6;
const UDP = 17;
const VIP = '198.18.10.1';

export const web = { address: addressBytes(VIP), protocol: TCP, port: 80 };
export const dns = { address: addressBytes('198.18.10.2'), protocol: UDP, port: 53 };

const toVip = (ip: Ipv4Fields, payload: number[]) =>
  ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, ipv4Packet('192.0.2.7', VIP, payload, ip));
/** Source port 40000, destination port 80, and no more. */
const PORTS = [0x9c, 0x40, 0, 80];

/** `other-port`: the kernel's too, and counted. */
export type SteeredTo = 'socket' | 'other-port' | 'kernel';

export const STEERING_ROWS: readonly [name: string, frame: Uint8Array, to: SteeredTo][] = [
  ['a service', tcpFrame(), 'socket'],
  ['a service, SYN', tcpFrame({ flags: 'S' }), 'socket'],
  ['a service, with 4 bytes of IP options', tcpFrame({ ip: { options: [1, 1, 1, 1] } }), 'socket'],
  ['a service, with 40 bytes of IP options', tcpFrame({ ip: { options: Array(40).fill(1) } }), 'socket'],
  [
    'UDP service',
    ethernetFrame(
      OWN_MAC,
      CLIENT_MAC,
      0x0800,
      ipv4Packet('192.0.2.7', '198.18.10.2', [1, 2, 0, 53, 0, 8, 0, 0], { protocol: UDP }),
    ),
    'socket',
  ],
  ['the ports are the last bytes of the frame', toVip({}, PORTS), 'socket'],
  ['TTL 0 is for the forwarder to judge', tcpFrame({ ip: { ttl: 0 } }), 'socket'],
  ['first fragment', tcpFrame({ ip: { fragment: 0x2000 } }), 'socket'],
  ['later fragment to a VIP', toVip({ fragment: 0x2001 }, [...PORTS, 1, 2, 3, 4]), 'socket'],
  ['last fragment to a VIP, shorter than ports', toVip({ fragment: 0x1fff }, [7]), 'socket'],

  ['another port of the VIP', tcpFrame({ destinationPort: 22 }), 'other-port'],
  [
    'first fragment to another port of the VIP',
    tcpFrame({ destinationPort: 22, ip: { fragment: 0x2000 } }),
    'other-port',
  ],
  ['port 80 in the other byte order', tcpFrame({ destinationPort: 80 << 8 }), 'other-port'],
  ['port 0 does not meet the key that marks a VIP', tcpFrame({ destinationPort: 0 }), 'other-port'],

  ['another destination', tcpFrame({ destination: '198.18.10.3' }), 'kernel'],
  ['the port of another VIP', tcpFrame({ destination: '198.18.10.2', destinationPort: 80 }), 'kernel'],
  ['another protocol', toVip({ protocol: UDP }, [...PORTS, 0, 8, 0, 0]), 'kernel'],
  ['ICMP to the VIP', toVip({ protocol: 1 }, [8, 0, 0, 0, 0, 1, 0, 1]), 'kernel'],
  [
    'later fragment of a protocol without service',
    toVip({ fragment: 1, protocol: 1 }, [...PORTS, 1, 2, 3, 4]),
    'kernel',
  ],
  ['later fragment to another address', tcpFrame({ destination: '198.18.10.3', ip: { fragment: 1 } }), 'kernel'],
  ['ARP', ethernetFrame('ff:ff:ff:ff:ff:ff', CLIENT_MAC, 0x0806, Array(28).fill(0)), 'kernel'],
  ['IPv6', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x86dd, Array(60).fill(0x66)), 'kernel'],
  ['a service under the EtherType of VLANs', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x8100, tcpPacket()), 'kernel'],
  ['version 6 in an IPv4 frame', tcpFrame({ ip: { version: 6 } }), 'kernel'],
  ['IHL 4', tcpFrame({ ip: { ihl: 4 } }), 'kernel'],
  ['IHL 0', tcpFrame({ ip: { ihl: 0 } }), 'kernel'],
  ['IHL beyond the frame', toVip({ ihl: 15 }, PORTS), 'kernel'],
  ['ports cut by one byte', toVip({}, PORTS.slice(0, 3)), 'kernel'],
  ['IPv4 header cut by one byte', tcpFrame().subarray(0, 33), 'kernel'],
  ['Ethernet header alone', tcpFrame().subarray(0, 14), 'kernel'],
];
