/** The decapsulation program: row by row in BPF_PROG_TEST_RUN, then attached to a veth whose kernel takes the rest. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { attachDecap, loadDecap } from '../../dsr/decap.ts';
import { testRun, XDP_PASS } from '../../io/bpf.ts';
import { inNamespace } from '../../io/namespace.ts';
import { openPacketSocket } from '../io/packet-socket.ts';
import { addressBytes, ip, ipJson, makeTwoHosts, needsRoot, openDescriptors } from '../io/two-hosts.ts';
import { bytesOfMac, CLIENT_MAC, ethernetFrame, type Ipv4Fields, ipv4Packet, OWN_MAC, tcpPacket } from '../packets.ts';

const IPIP = 4;
const BALANCER = '198.18.1.1';
const BACKEND = '198.18.2.1';

/** What the balancer sends: `inner` behind an outer header (RFC 2003). */
const tunnelled = (inner: readonly number[], outer: Ipv4Fields = {}, destination = BACKEND) =>
  ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, ipv4Packet(BALANCER, destination, inner, { protocol: IPIP, ...outer }));
const plain = (packet: readonly number[]) => ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0800, packet);

suite('decap', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  after(() => assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked'));

  suite('test run', () => {
    const program = loadDecap();
    const own = ['198.18.2.200', BACKEND, '198.18.2.3'].map(addressBytes);
    const programForOwn = loadDecap(own);
    after(() => {
      program.close();
      programForOwn.close();
    });
    const inner = tcpPacket({ payload: 'GET / HTTP/1.1' });
    const withOptions = tcpPacket({ ip: { options: [1, 1, 1, 0] } });

    function run(frame: Uint8Array, loaded = program): { stripped: number; packet: Buffer } {
      const before = loaded.counters().stripped;
      const { verdict, packet } = testRun(loaded.programFd, frame);
      assert.equal(verdict, XDP_PASS);
      return { stripped: loaded.counters().stripped - before, packet };
    }

    const strippedRows: [string, Uint8Array, readonly number[]][] = [
      ['a TCP segment', tunnelled(inner), inner],
      ['a segment with IP options', tunnelled(withOptions), withOptions],
      ['an inner header alone', tunnelled(inner.slice(0, 20)), inner.slice(0, 20)],
      [
        'an inner fragment',
        tunnelled(tcpPacket({ ip: { fragment: 0x2001 } })),
        tcpPacket({ ip: { fragment: 0x2001 } }),
      ],
      ['an outer header without DF', tunnelled(inner, { fragment: 0 }), inner],
      ...[4, 8, 36, 40].map((length): [string, Uint8Array, readonly number[]] => [
        `an outer header with ${length} bytes of options`,
        tunnelled(inner, { options: Array(length).fill(1) }),
        inner,
      ]),
      [
        'one of two outer headers',
        tunnelled(ipv4Packet(BALANCER, BACKEND, inner, { protocol: IPIP })),
        ipv4Packet(BALANCER, BACKEND, inner, { protocol: IPIP }),
      ],
    ];
    for (const [name, frame, expected] of strippedRows) {
      test(`strips ${name}`, () => {
        assert.deepEqual(run(frame), { stripped: 1, packet: Buffer.from(plain(expected)) });
      });
    }

    const untouchedRows: [string, Uint8Array][] = [
      ['plain TCP', plain(inner)],
      ['the first fragment', tunnelled(inner, { fragment: 0x2000 })],
      ['a later fragment', tunnelled(inner, { fragment: 0x0001 })],
      ['the fragment at the last offset', tunnelled(inner, { fragment: 0x1000 })],
      ['IPv6 inside', tunnelled([0x60, ...inner.slice(1)])],
      ['IPv6 in IPv4', tunnelled(inner, { protocol: 41 })],
      ['version 6 outside', tunnelled(inner, { version: 6 })],
      ['IHL 4, though what follows looks like a header', tunnelled(inner, { ihl: 4 }, '69.0.0.1')],
      ['IHL 0', tunnelled(inner, { ihl: 0 })],
      ['IHL beyond the frame', tunnelled(inner.slice(0, 30), { ihl: 15 })],
      ['an inner header cut by one byte', tunnelled(inner.slice(0, 19))],
      ['an outer header alone', tunnelled([])],
      ['a cut outer header', tunnelled(inner).subarray(0, 33)],
      ['ARP', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0806, ipv4Packet(BALANCER, BACKEND, inner, { protocol: IPIP }))],
    ];
    for (const [name, frame] of untouchedRows) {
      test(`passes ${name}`, () => {
        assert.deepEqual(run(frame), { stripped: 0, packet: Buffer.from(frame) });
      });
    }

    test('strips what is tunnelled to one of the given addresses, and nothing else', () => {
      for (const destination of ['198.18.2.200', BACKEND, '198.18.2.3']) {
        const result = run(tunnelled(inner, {}, destination), programForOwn);
        assert.deepEqual(result, { stripped: 1, packet: Buffer.from(plain(inner)) });
      }
      for (const destination of ['198.18.2.2', '198.18.2.201', '1.2.18.198']) {
        const frame = tunnelled(inner, {}, destination);
        assert.deepEqual(run(frame, programForOwn), { stripped: 0, packet: Buffer.from(frame) });
      }
    });

    test('an empty list of addresses is a mistake', () => {
      assert.throws(() => loadDecap([]), /no address of this host/);
    });
  });

  for (const mode of ['native', 'generic'] as const) {
    test(`the kernel answers a tunnelled SYN straight to the client, in ${mode} mode`, () => {
      const hosts = makeTwoHosts();
      try {
        // Native XDP on veth does not take a peer that may send more than a page.
        if (mode === 'generic') ip('-n', hosts.right, 'link', 'set', 'right', 'mtu', '9000');
        const peer = openPacketSocket(hosts.right, 'right');
        const decap = inNamespace(hosts.left, () => attachDecap({ interfaceName: 'left', encap: 'ipip' }));
        assert.equal(decap.mode, mode);
        assert.equal(decap.fallbackReason?.slice(0, 6), mode === 'generic' ? 'ERANGE' : undefined);

        ip('-n', hosts.left, 'address', 'add', '198.18.10.1/32', 'dev', 'lo');
        const [{ address: leftMac }] = ipJson(hosts.left, 'link', 'show', 'left');
        const syn = tcpPacket({ source: '198.18.0.2', destination: '198.18.10.1', destinationPort: 80, flags: 'S' });
        const frame = Buffer.from(tunnelled(syn, {}, '198.18.0.1'));
        frame.set(bytesOfMac(leftMac));
        peer.send(frame);
        const answer = peer.receive();
        assert.deepEqual(answer?.subarray(26, 34), Buffer.from([198, 18, 10, 1, 198, 18, 0, 2]));
        assert.equal(answer?.[47], 0x14, 'nobody listens there: RST, ACK');
        assert.deepEqual(decap.counters(), { stripped: 1 });

        decap.close();
        assert.equal(ipJson(hosts.left, 'link', 'show', 'left')[0].xdp, undefined);
        peer.close();
      } finally {
        hosts.remove();
      }
    });
  }

  test('no such interface', () => {
    assert.throws(() => attachDecap({ interfaceName: 'nowhere0', encap: 'ipip' }), /interface nowhere0: ENODEV/);
  });
});
