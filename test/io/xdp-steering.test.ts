/** Which packets the steering program hands to the socket: BPF_PROG_TEST_RUN on the running kernel. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { testRun, updateMap, XDP_PASS, XDP_REDIRECT } from '../../io/bpf.ts';
import { closeDescriptor, openSocket } from '../../io/ffi.ts';
import { createSteering, type SteeringCounters } from '../../io/xdp-steering.ts';
import { CLIENT_MAC, ethernetFrame, type Ipv4Fields, ipv4Packet, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
import { addressBytes, needsRoot, openDescriptors } from './two-hosts.ts';

const AF_XDP = 44;
const SOCK_RAW = 3;
const TCP = 6;
const UDP = 17;
const VIP = '198.18.10.1';

const toVip = (ip: Ipv4Fields, payload: number[]) =>
  ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, ipv4Packet('192.0.2.7', VIP, payload, ip));
/** Source port 40000, destination port 80, and no more. */
const PORTS = [0x9c, 0x40, 0, 80];

suite('xdp-steering', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const steering = createSteering({ queueCount: 2 });
  // A socket that is not bound is enough for the helper's answer.
  const socket = openSocket(AF_XDP, SOCK_RAW, 0);
  updateMap(steering.socketMapFd, Buffer.from([0, 0, 0, 0]), Buffer.from(Int32Array.of(socket).buffer));
  after(() => {
    steering.close();
    closeDescriptor(socket);
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });
  const web = { address: addressBytes(VIP), protocol: TCP, port: 80 };
  const dns = { address: addressBytes('198.18.10.2'), protocol: UDP, port: 53 };

  /** Runs the program and says what it counted. */
  function steer(frame: Uint8Array): { verdict: number; counted: Partial<SteeringCounters> } {
    const before = steering.counters();
    const { verdict, packet } = testRun(steering.programFd, frame);
    assert.deepEqual(packet, Buffer.from(frame), 'the packet was changed');
    const counted = Object.entries(steering.counters()).map(([name, count]) => [
      name,
      count - before[name as 'toSocket'],
    ]);
    return { verdict, counted: Object.fromEntries(counted.filter(([, count]) => count !== 0)) };
  }

  const socketVerdict = { verdict: XDP_REDIRECT, counted: { toSocket: 1 } };
  const otherPort = { verdict: XDP_PASS, counted: { otherPort: 1 } };
  const untouched = { verdict: XDP_PASS, counted: {} };

  const rows: [string, Uint8Array, typeof socketVerdict | typeof otherPort | typeof untouched][] = [
    ['a service', tcpFrame(), socketVerdict],
    ['a service, SYN', tcpFrame({ flags: 'S' }), socketVerdict],
    ['a service, with 4 bytes of IP options', tcpFrame({ ip: { options: [1, 1, 1, 1] } }), socketVerdict],
    ['a service, with 40 bytes of IP options', tcpFrame({ ip: { options: Array(40).fill(1) } }), socketVerdict],
    [
      'UDP service',
      ethernetFrame(
        OWN_MAC,
        CLIENT_MAC,
        0x0800,
        ipv4Packet('192.0.2.7', '198.18.10.2', [1, 2, 0, 53, 0, 8, 0, 0], { protocol: UDP }),
      ),
      socketVerdict,
    ],
    ['the ports are the last bytes of the frame', toVip({}, PORTS), socketVerdict],
    ['TTL 0 is for the forwarder to judge', tcpFrame({ ip: { ttl: 0 } }), socketVerdict],
    ['first fragment', tcpFrame({ ip: { fragment: 0x2000 } }), socketVerdict],
    ['later fragment to a VIP', toVip({ fragment: 0x2001 }, [...PORTS, 1, 2, 3, 4]), socketVerdict],
    ['last fragment to a VIP, shorter than ports', toVip({ fragment: 0x1fff }, [7]), socketVerdict],

    ['another port of the VIP', tcpFrame({ destinationPort: 22 }), otherPort],
    [
      'first fragment to another port of the VIP',
      tcpFrame({ destinationPort: 22, ip: { fragment: 0x2000 } }),
      otherPort,
    ],
    ['port 80 in the other byte order', tcpFrame({ destinationPort: 80 << 8 }), otherPort],
    ['port 0 does not meet the key that marks a VIP', tcpFrame({ destinationPort: 0 }), otherPort],

    ['another destination', tcpFrame({ destination: '198.18.10.3' }), untouched],
    ['the port of another VIP', tcpFrame({ destination: '198.18.10.2', destinationPort: 80 }), untouched],
    ['another protocol', toVip({ protocol: UDP }, [...PORTS, 0, 8, 0, 0]), untouched],
    ['ICMP to the VIP', toVip({ protocol: 1 }, [8, 0, 0, 0, 0, 1, 0, 1]), untouched],
    [
      'later fragment of a protocol without service',
      toVip({ fragment: 1, protocol: 1 }, [...PORTS, 1, 2, 3, 4]),
      untouched,
    ],
    ['later fragment to another address', tcpFrame({ destination: '198.18.10.3', ip: { fragment: 1 } }), untouched],
    ['ARP', ethernetFrame('ff:ff:ff:ff:ff:ff', CLIENT_MAC, 0x0806, Array(28).fill(0)), untouched],
    ['IPv6', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x86dd, Array(60).fill(0x66)), untouched],
    ['a service under the EtherType of VLANs', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x8100, tcpPacket()), untouched],
    ['version 6 in an IPv4 frame', tcpFrame({ ip: { version: 6 } }), untouched],
    ['IHL 4', tcpFrame({ ip: { ihl: 4 } }), untouched],
    ['IHL 0', tcpFrame({ ip: { ihl: 0 } }), untouched],
    ['IHL beyond the frame', toVip({ ihl: 15 }, PORTS), untouched],
    ['ports cut by one byte', toVip({}, PORTS.slice(0, 3)), untouched],
    ['IPv4 header cut by one byte', tcpFrame().subarray(0, 33), untouched],
    ['Ethernet header alone', tcpFrame().subarray(0, 14), untouched],
  ];
  for (const [name, frame, expected] of rows) {
    test(name, () => {
      steering.setServices([web, dns]);
      assert.deepEqual(steer(frame), expected);
    });
  }

  test('services are replaced, and their VIPs with them', () => {
    steering.setServices([web, { ...web, port: 443 }]);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), socketVerdict);
    steering.setServices([web]);
    assert.deepEqual(steer(tcpFrame()), socketVerdict);
    assert.deepEqual(steer(tcpFrame({ destinationPort: 443 })), otherPort);
    steering.setServices([]);
    assert.deepEqual(steer(tcpFrame()), untouched);
    assert.deepEqual(steer(tcpFrame({ ip: { fragment: 1 } })), untouched);
  });

  test('too many services are refused before any is changed', () => {
    steering.setServices([web]);
    const many = Array.from({ length: 9000 }, (_, port) => ({ ...dns, port: port + 1 }));
    assert.throws(() => steering.setServices(many), /at most 8192/);
    assert.deepEqual(steer(tcpFrame()), socketVerdict);
  });

  test('a queue without socket passes and counts', () => {
    const lonely = createSteering({ queueCount: 1 });
    lonely.setServices([web]);
    assert.equal(testRun(lonely.programFd, tcpFrame()).verdict, XDP_PASS);
    assert.deepEqual(lonely.counters(), { toSocket: 0, otherPort: 0, noSocket: 1 });
    lonely.close();
  });
});
