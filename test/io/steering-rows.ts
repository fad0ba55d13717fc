/**
 * Packets, and where every way of steering sends them while `SERVICES` are the services: the rows of IPv4, and with
 * steering-rows6.ts those of IPv6. Whatever steers, VLAN tags or not, says the same.
 */
import type { SteeredService } from '../../io/service-map.ts';
import { CLIENT_MAC, ethernetFrame, type Ipv4Fields, ipv4Packet, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
import { STEERING_ROWS6 } from './steering-rows6.ts';
import { addressBytes } from './two-hosts.ts';

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const VIP = '198.18.10.1';
const DNS_VIP = '198.18.10.2';
/** Has port 22 and the range of 8000 to 8999; the other has all ports. */
const RANGE_VIP = '198.18.10.4';
const OPEN_VIP = '198.18.10.5';

export function steered(address: string, protocol: number, first: number, last = first): SteeredService {
  return { address: addressBytes(address), protocol, ports: { first, last } };
}

export const web = steered(VIP, TCP, 80);
export const dns = steered(DNS_VIP, UDP, 53);

export const SERVICES: readonly SteeredService[] = [
  web,
  dns,
  steered(RANGE_VIP, TCP, 8000, 8999),
  steered(RANGE_VIP, TCP, 22),
  steered(OPEN_VIP, UDP, 1, 65535),
  steered('2001:db8:10::1', TCP, 80),
  steered('2001:db8:10::2', UDP, 53),
  steered('2001:db8:10::4', UDP, 0, 1023),
  steered('2001:db8:10::5', TCP, 0, 65535),
];

const ipv4Frame = (destination: string, ip: Ipv4Fields, payload: number[]) =>
  ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, ipv4Packet('192.0.2.7', destination, payload, ip));
const toVip = (ip: Ipv4Fields, payload: number[]) => ipv4Frame(VIP, ip, payload);
const udp = (destination: string, port: number, ip: Ipv4Fields = {}) =>
  ipv4Frame(destination, { protocol: UDP, ...ip }, [1, 2, port >> 8, port & 255, 0, 8, 0, 0]);
const icmp = (destination: string, type: number, ip: Ipv4Fields = {}) =>
  ipv4Frame(destination, { protocol: ICMP, ...ip }, [type, 0, 0, 0, 0, 0, 0, 0, ...tcpPacket().slice(0, 28)]);
const toRange = (destinationPort: number) => tcpFrame({ destination: RANGE_VIP, destinationPort });
/** Source port 40000, destination port 80, and no more. */
const PORTS = [0x9c, 0x40, 0, 80];

/** `other-port`: the kernel's too, and counted. `echo`: to the socket unless the kernel is to answer. */
export type SteeredTo = 'socket' | 'other-port' | 'kernel' | 'echo';

export type SteeringRow = readonly [name: string, frame: Uint8Array, to: SteeredTo];

const ROWS4: readonly SteeringRow[] = [
  ['a service', tcpFrame(), 'socket'],
  ['a service, SYN', tcpFrame({ flags: 'S' }), 'socket'],
  ['a service, with 4 bytes of IP options', tcpFrame({ ip: { options: [1, 1, 1, 1] } }), 'socket'],
  ['a service, with 40 bytes of IP options', tcpFrame({ ip: { options: Array(40).fill(1) } }), 'socket'],
  ['UDP service', udp(DNS_VIP, 53), 'socket'],
  ['UDP service, with IP options', udp(DNS_VIP, 53, { options: [1, 1, 1, 1] }), 'socket'],
  ['the ports are the last bytes of the frame', toVip({}, PORTS), 'socket'],
  ['TTL 0 is for the forwarder to judge', tcpFrame({ ip: { ttl: 0 } }), 'socket'],
  ['a total length of 0 is for the forwarder to judge', tcpFrame({ ip: { totalLength: 0 } }), 'socket'],
  ['a total length beyond the frame is, too', tcpFrame({ ip: { totalLength: 65535 } }), 'socket'],
  ['first fragment', tcpFrame({ ip: { fragment: 0x2000 } }), 'socket'],
  ['later fragment to a VIP', toVip({ fragment: 0x2001 }, [...PORTS, 1, 2, 3, 4]), 'socket'],
  ['last fragment to a VIP, shorter than ports', toVip({ fragment: 0x1fff }, [7]), 'socket'],
  ['later UDP fragment to a VIP of UDP', udp(DNS_VIP, 99, { fragment: 0x2001 }), 'socket'],

  ['first port of a range', toRange(8000), 'socket'],
  ['port within a range', toRange(8512), 'socket'],
  ['last port of a range', toRange(8999), 'socket'],
  ['port in front of a range', toRange(7999), 'other-port'],
  ['port behind a range', toRange(9000), 'other-port'],
  ['a single port beside a range', toRange(22), 'socket'],
  ['port 0 beside a range', toRange(0), 'other-port'],
  ['the range’s port under another protocol', udp(RANGE_VIP, 8000), 'kernel'],
  ['all ports: one of them', udp(OPEN_VIP, 4711), 'socket'],
  ['all ports: the last', udp(OPEN_VIP, 65535), 'socket'],
  ['all ports: port 0', udp(OPEN_VIP, 0), 'socket'],
  ['all ports of the other protocol', tcpFrame({ destination: OPEN_VIP }), 'kernel'],

  ['another port of the VIP', tcpFrame({ destinationPort: 22 }), 'other-port'],
  [
    'first fragment to another port of the VIP',
    tcpFrame({ destinationPort: 22, ip: { fragment: 0x2000 } }),
    'other-port',
  ],
  ['port 80 in the other byte order', tcpFrame({ destinationPort: 80 << 8 }), 'other-port'],
  ['port 0 does not meet the key that marks a VIP', tcpFrame({ destinationPort: 0 }), 'other-port'],

  ...[3, 11, 12].map((type) => [`ICMP error ${type} to a VIP`, icmp(VIP, type), 'socket'] as const),
  ['ICMP error to a VIP of UDP alone', icmp(DNS_VIP, 3), 'socket'],
  ['ICMP error behind IP options', icmp(VIP, 3, { options: [1, 1, 1, 1] }), 'socket'],
  ['ICMP error to another address', icmp('198.18.10.3', 3), 'kernel'],
  ['ICMP error of 7 bytes', toVip({ protocol: ICMP }, [3, 4, 0, 0, 0, 0, 0]), 'kernel'],
  ['first fragment of an ICMP error', icmp(VIP, 3, { fragment: 0x2000 }), 'kernel'],
  ['later fragment of ICMP to a VIP', icmp(VIP, 3, { fragment: 1 }), 'kernel'],
  ['echo request to a VIP', icmp(VIP, 8), 'echo'],
  ['echo request to another address', icmp('198.18.10.3', 8), 'kernel'],
  ['first fragment of an echo request', icmp(VIP, 8, { fragment: 0x2000 }), 'kernel'],
  ...[0, 1, 2, 4, 5, 9, 10, 13, 17, 128, 255].map(
    (type) => [`ICMP type ${type} to a VIP`, icmp(VIP, type), 'kernel'] as const,
  ),
  ['ICMPv6 in IPv4', toVip({ protocol: 58 }, [1, 0, 0, 0, 0, 0, 0, 0]), 'kernel'],

  ['another destination', tcpFrame({ destination: '198.18.10.3' }), 'kernel'],
  ['the port of another VIP', tcpFrame({ destination: DNS_VIP, destinationPort: 80 }), 'kernel'],
  ['another protocol', toVip({ protocol: UDP }, [...PORTS, 0, 8, 0, 0]), 'kernel'],
  ...[0, 2, 4, 41, 47, 50, 132, 255].map(
    (protocol) => [`IP protocol ${protocol} to a VIP`, toVip({ protocol }, PORTS), 'kernel'] as const,
  ),
  [
    'later fragment of a protocol without service',
    toVip({ fragment: 1, protocol: UDP }, [...PORTS, 1, 2, 3, 4]),
    'kernel',
  ],
  ['later fragment to another address', tcpFrame({ destination: '198.18.10.3', ip: { fragment: 1 } }), 'kernel'],
  ['ARP', ethernetFrame('ff:ff:ff:ff:ff:ff', CLIENT_MAC, 0x0806, Array(28).fill(0)), 'kernel'],
  [
    'the old EtherType of stacked tags',
    ethernetFrame(OWN_MAC, CLIENT_MAC, 0x9100, [0, 5, 8, 0, ...tcpPacket()]),
    'kernel',
  ],
  ['a service behind three bytes of a tag', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x8100, [0, 5, 8]), 'kernel'],
  ['a service without its tag', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x8100, tcpPacket()), 'kernel'],
  ['version 6 in an IPv4 frame', tcpFrame({ ip: { version: 6 } }), 'kernel'],
  ['IHL 4', tcpFrame({ ip: { ihl: 4 } }), 'kernel'],
  ['IHL 0', tcpFrame({ ip: { ihl: 0 } }), 'kernel'],
  ['IHL beyond the frame', toVip({ ihl: 15 }, PORTS), 'kernel'],
  ['ports cut by one byte', toVip({}, PORTS.slice(0, 3)), 'kernel'],
  ['IPv4 header cut by one byte', tcpFrame().subarray(0, 33), 'kernel'],
  ['Ethernet header alone', tcpFrame().subarray(0, 14), 'kernel'],
];

export const STEERING_ROWS = [...ROWS4, ...STEERING_ROWS6];

/** The frame with tags (TPID and TCI) behind its addresses, the outer one first. */
export function withTags(frame: Uint8Array, ...tags: number[]): Buffer {
  const bytes = Buffer.alloc(4 * tags.length);
  for (const [i, tag] of tags.entries()) bytes.writeUInt32BE(tag, 4 * i);
  return Buffer.concat([frame.subarray(0, 12), bytes, frame.subarray(12)]);
}

/** 802.1Q with VLAN 5 at priority 7, and the same within 802.1ad with VLAN 4094. */
export const TAGGINGS: readonly (readonly [name: string, ...tags: number[]])[] = [
  ['untagged'],
  ['one tag', 0x8100e005],
  ['one tag of 802.1ad', 0x88a80005],
  ['two tags', 0x88a80ffe, 0x81000005],
  ['two tags of 802.1Q', 0x81000ffe, 0x81000005],
];
export const THREE_TAGS = [0x88a80001, 0x81000002, 0x81000003];
