/** The decapsulation program row by row, in BPF_PROG_TEST_RUN: every tunnel of both families, and what is no such tunnel. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { loadDecap } from '../../dsr/decap.ts';
import type { TunnelEncap } from '../../dsr/decap-program.ts';
import { testRun, XDP_DROP, XDP_PASS } from '../../io/bpf.ts';
import { addressBytes, needsRoot, openDescriptors } from '../io/two-hosts.ts';
import { CLIENT_MAC, ethernetFrame, OWN_MAC, tcpPacket } from '../packets.ts';
import { tcp6Packet } from '../packets6.ts';
import { type TunnelFields, tunnelPacket, typeOf } from '../tunnels.ts';

const BALANCER = { 4: '198.18.1.1', 6: '2001:db8:1::1' } as const;
const BACKEND = { 4: '198.18.2.1', 6: '2001:db8:2::1' } as const;
const ENCAPS = ['ipip', 'gue', 'gre'] as const;
const FAMILIES = [4, 6] as const;

const frameOf = (packet: readonly number[]) => ethernetFrame(OWN_MAC, CLIENT_MAC, typeOf(packet), packet);
const addressed = (outer: 4 | 6, fields: TunnelFields = {}): TunnelFields => ({
  source: BALANCER[outer],
  destination: BACKEND[outer],
  ...fields,
});
/** What the balancer sends: `inner` behind the headers of a tunnel. */
const tunnelled = (inner: readonly number[], outer: 4 | 6, fields?: TunnelFields) =>
  frameOf(tunnelPacket(inner, addressed(outer, fields)));

suite('decapsulation program', { skip: needsRoot }, () => {
  const descriptorsBefore = openDescriptors();
  const loaded = {
    ipip: loadDecap({ encap: 'ipip' }),
    gue: loadDecap({ encap: 'gue' }),
    gre: loadDecap({ encap: 'gre' }),
  };
  after(() => {
    for (const program of Object.values(loaded)) program.close();
    assert.equal(openDescriptors(), descriptorsBefore, 'descriptors leaked');
  });

  interface Outcome {
    verdict: number;
    stripped: number;
    dropped: number;
    packet: Buffer;
  }

  function run(encap: TunnelEncap, frame: Uint8Array, program = loaded[encap]): Outcome {
    const before = program.counters();
    const { verdict, packet } = testRun(program.programFd, frame);
    const after = program.counters();
    return {
      verdict,
      stripped: after.stripped - before.stripped,
      dropped: after.dropped - before.dropped,
      packet,
    };
  }

  const strippedTo = (inner: readonly number[]): Outcome => ({
    verdict: XDP_PASS,
    stripped: 1,
    dropped: 0,
    packet: Buffer.from(frameOf(inner)),
  });
  const untouched = (frame: Uint8Array): Outcome => ({
    verdict: XDP_PASS,
    stripped: 0,
    dropped: 0,
    packet: Buffer.from(frame),
  });

  const inner = { 4: tcpPacket({ payload: 'GET / HTTP/1.1' }), 6: tcp6Packet({ payload: 'GET / HTTP/1.1' }) };
  const headerAlone = { 4: inner[4].slice(0, 20), 6: inner[6].slice(0, 40) };

  for (const encap of ENCAPS) {
    for (const outer of FAMILIES) {
      for (const family of FAMILIES) {
        test(`${encap}: strips IPv${family} in IPv${outer}, of any length, but no packet that is cut`, () => {
          for (const packet of [inner[family], headerAlone[family]]) {
            assert.deepEqual(run(encap, tunnelled(packet, outer, { encap })), strippedTo(packet));
          }
          const frame = tunnelled(headerAlone[family], outer, { encap });
          for (let length = 14; length < frame.length; length++) {
            const cut = frame.subarray(0, length);
            assert.deepEqual(run(encap, cut), untouched(cut), `the first ${length} bytes`);
          }
        });
      }
    }

    test(`${encap}: what stands outside may have options and no DF, what is inside may be a fragment`, () => {
      for (const length of [4, 8, 36, 40]) {
        const frame = tunnelled(inner[4], 4, { encap, options: Array(length).fill(1), fragment: 0 });
        assert.deepEqual(run(encap, frame), strippedTo(inner[4]), `${length} bytes of options`);
      }
      for (const packet of [tcpPacket({ ip: { fragment: 0x2001 } }), tcpPacket({ ip: { options: [1, 1, 1, 0] } })]) {
        assert.deepEqual(run(encap, tunnelled(packet, 6, { encap })), strippedTo(packet));
      }
    });

    test(`${encap}: one of two tunnels`, () => {
      const once = tunnelPacket(inner[6], addressed(6, { encap }));
      assert.deepEqual(run(encap, tunnelled(once, 4, { encap })), strippedTo(once));
    });

    test(`${encap}: leaves the others alone`, () => {
      for (const other of ENCAPS.filter((each) => each !== encap)) {
        for (const outer of FAMILIES) {
          const frame = tunnelled(inner[4], outer, { encap: other });
          assert.deepEqual(run(encap, frame), untouched(frame));
        }
      }
    });
  }

  test('gue: strips variant 1', () => {
    for (const outer of FAMILIES) {
      for (const family of FAMILIES) {
        const frame = tunnelled(inner[family], outer, { encap: 'gue', variant: 1 });
        assert.deepEqual(run('gue', frame), strippedTo(inner[family]));
      }
    }
  });

  /** UDP to `port` with these bytes behind it. */
  const udp = (bytes: readonly number[], port = 6080) => [0xc0, 0, port >> 8, port & 255, 0, 0, 0, 0, ...bytes];
  const gue = (bytes: readonly number[]): TunnelFields => ({ encap: 'gue', between: udp(bytes) });
  const gre = (bytes: readonly number[]): TunnelFields => ({ encap: 'gre', between: bytes });
  const otherVersion = [0x50, ...inner[4].slice(1)];
  const untouchedRows: [string, TunnelEncap, Uint8Array][] = [
    ['plain TCP', 'ipip', frameOf(inner[4])],
    ['plain TCP over IPv6', 'ipip', frameOf(inner[6])],
    ['the first fragment', 'ipip', tunnelled(inner[4], 4, { fragment: 0x2000 })],
    ['a later fragment', 'ipip', tunnelled(inner[4], 4, { fragment: 0x0001 })],
    ['the fragment at the last offset', 'ipip', tunnelled(inner[4], 4, { fragment: 0x1000 })],
    ['extension headers outside', 'ipip', tunnelled(inner[6], 6, { extensions: [[60, [0, 4, 1, 4, 1, 1, 0]]] })],
    ['IPv6 that calls itself IPv4', 'ipip', tunnelled(inner[6], 4, { protocol: 4 })],
    ['IPv4 that calls itself IPv6', 'ipip', tunnelled([...inner[4], ...inner[4]], 4, { protocol: 41 })],
    ['version 5 inside', 'ipip', tunnelled(otherVersion, 4)],
    ['ARP', 'ipip', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x0806, tunnelPacket(inner[4]))],
    ['a VLAN tag', 'ipip', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x8100, [0, 1, 8, 0, ...tunnelPacket(inner[4])])],
    ['IPv4 in a frame of IPv6', 'ipip', ethernetFrame(OWN_MAC, CLIENT_MAC, 0x86dd, tunnelPacket(inner[6]))],
    ['IHL 4', 'ipip', frameOf([0x44, ...tunnelPacket(inner[4]).slice(1)])],
    ['IHL beyond the frame', 'ipip', frameOf([0x4f, ...tunnelPacket(inner[4].slice(0, 30)).slice(1)])],
    ['gre with a checksum', 'gre', tunnelled(inner[4], 4, gre([0x80, 0, 8, 0, 0, 0, 0, 0]))],
    ['gre with a key', 'gre', tunnelled(inner[4], 4, gre([0x20, 0, 8, 0, 0, 0, 0, 1]))],
    ['gre version 1, of PPTP', 'gre', tunnelled(inner[4], 4, gre([0, 1, 8, 0]))],
    ['gre around Ethernet', 'gre', tunnelled(inner[4], 4, gre([0, 0, 0x65, 0x58]))],
    ['gre around IPv6 that says IPv4', 'gre', tunnelled(inner[6], 4, gre([0, 0, 8, 0]))],
    ['gue to another port', 'gue', tunnelled(inner[4], 4, { encap: 'gue', port: 6081 })],
    ['gue from the port', 'gue', tunnelled(inner[4], 4, { encap: 'gue', port: 49152, sourcePort: 6080 })],
    ['a gue control message', 'gue', tunnelled(inner[4], 4, gue([0x20, 4, 0, 0]))],
    ['gue with options', 'gue', tunnelled(inner[4], 4, gue([1, 4, 0, 1, 0, 0, 0, 0]))],
    ['gue with flags', 'gue', tunnelled(inner[4], 4, gue([0, 4, 0x80, 0]))],
    ['gue around TCP', 'gue', tunnelled(inner[4].slice(20), 4, gue([0, 6, 0, 0]))],
    ['gue variant 2', 'gue', tunnelled(inner[4], 4, gue([0x80, 4, 0, 0]))],
    ['gue variant 1, version 5', 'gue', tunnelled(otherVersion, 4, gue([]))],
  ];
  for (const [name, encap, frame] of untouchedRows) {
    test(`passes ${name}`, () => assert.deepEqual(run(encap, frame), untouched(frame)));
  }

  test('gue on a port of its own', () => {
    const program = loadDecap({ encap: 'gue', port: 443 });
    try {
      assert.deepEqual(run('gue', tunnelled(inner[4], 4, { encap: 'gue', port: 443 }), program), strippedTo(inner[4]));
      const frame = tunnelled(inner[4], 4, { encap: 'gue' });
      assert.deepEqual(run('gue', frame, program), untouched(frame));
    } finally {
      program.close();
    }
  });

  suite('addresses of the host', () => {
    const own = {
      4: ['198.18.2.200', BACKEND[4], '198.18.2.3'],
      6: ['2001:db8:2::200', BACKEND[6], 'fe80::1'],
    };
    const others = {
      4: ['198.18.2.2', '198.18.2.201', '1.2.18.198'],
      // One of the four words differs, and words of two own addresses mixed.
      6: ['2001:db9:2::1', '2001:db8:3::1', '2001:db8:2:0:1::1', '2001:db8:2::2', 'fe80:0:2::1', '2001:db8::1'],
    };
    for (const families of [[4], [6], [4, 6]] as const) {
      test(`of IPv${families.join(' and IPv')}`, () => {
        const program = loadDecap({ encap: 'gre', addresses: families.flatMap((f) => own[f]).map(addressBytes) });
        try {
          for (const outer of FAMILIES) {
            const isOwn = (families as readonly number[]).includes(outer);
            for (const destination of [...own[outer], ...others[outer]]) {
              const frame = tunnelled(inner[6], outer, { encap: 'gre', destination });
              const expected = isOwn && own[outer].includes(destination) ? strippedTo(inner[6]) : untouched(frame);
              assert.deepEqual(run('gre', frame, program), expected, destination);
            }
          }
        } finally {
          program.close();
        }
      });
    }

    test('an empty list is a mistake', () => {
      assert.throws(() => loadDecap({ encap: 'ipip', addresses: [] }), /no address of this host/);
    });
  });

  /** RFC 6040, figure 4; by inner ECN, then outer. */
  const DROP = -1;
  const ECN = [
    [0, 0, 0, DROP],
    [1, 1, 1, 3],
    [2, 1, 2, 3],
    [3, 3, 3, 3],
  ];
  for (const outer of FAMILIES) {
    for (const family of FAMILIES) {
      test(`congestion marks, IPv${family} in IPv${outer}`, () => {
        for (const [innerEcn, row] of ECN.entries()) {
          for (const [outerEcn, expected] of row.entries()) {
            // Identifications whose checksums carry and wrap in different ways; the last gives 3 less one of the marks.
            for (const id of [0, 1, 0xffff, 0x8fab, 0x50fa, 0x50f8, 0x50f9, 0x50fb, 0x50fc]) {
              const packet = (ecn: number) =>
                family === 4
                  ? tcpPacket({ ip: { tos: 0xb8 | ecn, id } })
                  : tcp6Packet({ ip: { trafficClass: 0xb8 | ecn, flowLabel: id } });
              const frame = tunnelled(packet(innerEcn), outer, { tos: 0x48 | outerEcn });
              const result = run('ipip', frame);
              if (expected !== DROP) assert.deepEqual(result, strippedTo(packet(expected)));
              else assert.deepEqual([result.verdict, result.stripped, result.dropped], [XDP_DROP, 0, 1]);
            }
          }
        }
      });
    }
  }

  test('a checksum that wraps around zero when a mark comes in', () => {
    for (const [ecn, outerEcn] of [
      [1, 3],
      [2, 3],
      [2, 1],
    ]) {
      const checksums = new Set<number>();
      for (let id = 0; id < 0x10000 && checksums.size < 8; id++) {
        const before = tcpPacket({ ip: { tos: ecn, id } });
        const checksum = before[10] * 256 + before[11];
        if (checksum > 3 && checksum < 0xfffc) continue;
        checksums.add(checksum);
        const marked = tcpPacket({ ip: { tos: outerEcn, id } });
        assert.deepEqual(run('ipip', tunnelled(before, 4, { tos: outerEcn })), strippedTo(marked));
      }
      // One's complement has one zero in a header that isn't empty.
      assert.ok(checksums.size >= 7);
    }
  });
});
