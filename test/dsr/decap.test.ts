/** The decapsulation program attached to a veth whose kernel takes the rest: it answers the client past the balancer. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { attachDecap } from '../../dsr/decap.ts';
import { inNamespace } from '../../io/namespace.ts';
import { openPacketSocket, type PacketSocket } from '../io/packet-socket.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, openDescriptors } from '../io/two-hosts.ts';
import { bytesOfMac, CLIENT_MAC, ethernetFrame, OWN_MAC, tcpPacket } from '../packets.ts';
import { bytesOfIp6, ETHERTYPE_IPV6, tcp6Packet } from '../packets6.ts';
import { tunnelPacket, typeOf } from '../tunnels.ts';

const LEFT = { 4: '198.18.0.1', 6: '2001:db8::1' } as const;
const RIGHT = { 4: '198.18.0.2', 6: '2001:db8::2' } as const;
const VIP = { 4: '198.18.10.1', 6: '2001:db8:10::1' } as const;

suite('decap', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  after(() => assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked'));

  /** The first TCP segment that arrives, whatever neighbour discovery comes before it. */
  function receiveSegment(socket: PacketSocket, family: 4 | 6): Buffer | undefined {
    for (;;) {
      const frame = socket.receive(10_000);
      if (frame === undefined || frame[family === 4 ? 23 : 20] === 6) return frame;
    }
  }

  for (const mode of ['native', 'generic'] as const) {
    test(`the kernel answers a tunnelled SYN straight to the client, in ${mode} mode`, () => {
      const hosts = makeTwoHosts();
      try {
        // Native XDP on veth does not take a peer that may send more than a page.
        if (mode === 'generic') ip('-n', hosts.right, 'link', 'set', 'right', 'mtu', '9000');
        const peers = {
          4: openPacketSocket(hosts.right, 'right'),
          6: openPacketSocket(hosts.right, 'right', ETHERTYPE_IPV6),
        };
        ip('-n', hosts.left, 'address', 'add', `${VIP[4]}/32`, 'dev', 'lo');
        ip('-n', hosts.left, 'address', 'add', `${VIP[6]}/128`, 'dev', 'lo', 'nodad');
        const [{ address: leftMac }] = ipJson(hosts.left, 'link', 'show', 'left');
        let port = 40_000;
        for (const encap of ['ipip', 'gue', 'gre'] as const) {
          const decap = inNamespace(hosts.left, () => attachDecap({ interfaceName: 'left', encap }));
          assert.equal(decap.mode, mode);
          assert.equal(decap.fallbackReason?.slice(0, 6), mode === 'generic' ? 'ERANGE' : undefined);
          for (const outer of [4, 6] as const) {
            for (const family of [4, 6] as const) {
              port++;
              const fields = { source: RIGHT[family], destination: VIP[family], sourcePort: port, flags: 'S' };
              const syn = family === 4 ? tcpPacket(fields) : tcp6Packet(fields);
              const packet = tunnelPacket(syn, { encap, source: RIGHT[outer], destination: LEFT[outer] });
              const frame = Buffer.from(ethernetFrame(OWN_MAC, CLIENT_MAC, typeOf(packet), packet));
              frame.set(bytesOfMac(leftMac));
              peers[outer].send(frame);

              const answer = receiveSegment(peers[family], family);
              const what = `${encap}, IPv${family} in IPv${outer}`;
              const addresses = answer?.subarray(...(family === 4 ? [26, 34] : [22, 54]));
              const expected =
                family === 4 ? [198, 18, 10, 1, 198, 18, 0, 2] : [...bytesOfIp6(VIP[6]), ...bytesOfIp6(RIGHT[6])];
              assert.deepEqual(addresses, Buffer.from(expected), what);
              const tcp = answer?.subarray(family === 4 ? 34 : 54);
              assert.equal(tcp?.readUInt16BE(2), port, what);
              assert.equal(tcp?.[13], 0x14, `${what}: nobody listens there: RST, ACK`);
            }
          }
          assert.deepEqual(decap.counters(), { stripped: 4, dropped: 0 });
          decap.close();
        }
        assert.equal(ipJson(hosts.left, 'link', 'show', 'left')[0].xdp, undefined);
        peers[4].close();
        peers[6].close();
      } finally {
        hosts.remove();
      }
    });
  }

  test('no such interface', () => {
    assert.throws(() => attachDecap({ interfaceName: 'nowhere0', encap: 'ipip' }), /interface nowhere0: ENODEV/);
  });
});
