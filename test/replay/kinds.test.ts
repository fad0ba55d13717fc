/** What a replay says of the rarer kinds of packets: families, datagrams, ICMP, pieces of VLAN and too long ones. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseConfig } from '../../lb/config-file.ts';
import { chained } from '../chained-hash.ts';
import { CLIENT_4, CLIENT_6, error4, error6, frameOf, icmpMessage, VIP_4, VIP_6 } from '../icmp-packets.ts';
import { BACKENDS, BACKENDS_IPV6 } from '../lb/rig.ts';
import { bytesOfIp, ethernetFrame, ipv4Packet, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
import { bytesOfIp6, ETHERTYPE_IPV6, ipv6Packet, tcp6Packet, udpDatagram } from '../packets6.ts';
import { backendAt, packetAt, replay, slotOf } from './replays.ts';

interface Given {
  vip?: string;
  service?: string;
  top?: string;
  backends?: typeof BACKENDS;
}

function told(frames: readonly Uint8Array[], given: Given = {}) {
  const { vip = VIP_4, service = '', top = '', backends = BACKENDS } = given;
  const list = Object.entries(backends).map(([name, { address }]) => `{ name: ${name}, address: "${address}" }`);
  const { config } = parseConfig(
    `{ interface: eth0, ${top} services: [{ name: web, vip: "${vip}", port: 80, ${service} backends: [${list}] }] }`,
    'test',
  );
  return replay(
    frames.map((frame, i) => packetAt(i, frame)),
    config,
  );
}

const comments = (frames: readonly Uint8Array[], given: Given = {}) =>
  told(frames, given).told.map(({ verdict, comment }) => `${verdict} ${comment}`);

/** Source address, source port and two zeros. */
const slot6 = (port: number, client = CLIENT_6): number =>
  chained(Uint8Array.from([...bytesOfIp6(client), port >> 8, port & 255, 0, 0]), 0) % 65537;
const FOUND_4 = { slot: slotOf(40000), backend: backendAt(slotOf(40000)) };
const FOUND_6 = { slot: slot6(40000), backend: backendAt(slot6(40000)) };
const syn6 = tcp6Packet({ flags: 'S' });

describe('IPv6', () => {
  const { slot, backend } = FOUND_6;

  test('to backends of either family, by any encapsulation', () => {
    const packets = [syn6, tcp6Packet({ flags: 'A' })].map(frameOf);
    const known = (of: typeof BACKENDS, way: string) => [
      `forward web: miss (SYN) → slot ${slot} of 65537 → ${backend}; ${way} to ${of[backend].address}`,
      `forward web: hit → ${backend} (slot ${slot} of 65537); ${way} to ${of[backend].address}`,
    ];
    assert.deepEqual(comments(packets, { vip: VIP_6 }), known(BACKENDS, 'IPIP'));
    for (const [encap, way] of [
      ['ipip', 'IPIP'],
      ['gue', 'GUE'],
      ['gre', 'GRE'],
      ['l2', 'L2'],
    ]) {
      const given = { vip: VIP_6, backends: BACKENDS_IPV6, service: `encap: ${encap},` };
      assert.deepEqual(comments(packets, given), known(BACKENDS_IPV6, way));
    }
  });

  test('the frame is from the made-up addresses', () => {
    const [{ frame }] = told([frameOf(syn6)], { vip: VIP_6, backends: BACKENDS_IPV6 }).told;
    const { address } = BACKENDS_IPV6[backend];
    const mac = ['02:00', ...bytesOfIp6(address).slice(12)].map((part) => part.toString(16).padStart(2, '0')).join(':');
    const outer = ipv6Packet('2001:db8::1', address, syn6, { protocol: 41, hopLimit: 64 });
    // The flow label is the tunnel's choice: the four bytes that it is in are not compared.
    const expected = ethernetFrame(mac, OWN_MAC, ETHERTYPE_IPV6, outer);
    assert.deepEqual([frame.subarray(0, 14), frame.subarray(18)], [expected.subarray(0, 14), expected.subarray(18)]);
  });

  test('behind extension headers and VLAN tags the slot is the same', () => {
    const extended = tcp6Packet({ flags: 'S', ip: { extensions: [[60, [0, 1, 4, 0, 0, 0, 0]]] } });
    const tagged = (tags: readonly number[]): Uint8Array => {
      const frame = frameOf(extended);
      return Uint8Array.from([...frame.subarray(0, 12), ...tags, ...frame.subarray(12)]);
    };
    const expected = `forward web: miss (SYN) → slot ${slot} of 65537 → ${backend}; IPIP to ${BACKENDS[backend].address}`;
    for (const tags of [[], [0x81, 0, 0, 7], [0x88, 0xa8, 0, 9, 0x81, 0, 0, 7]]) {
      assert.deepEqual(comments([tagged(tags)], { vip: VIP_6 }), [expected]);
    }
  });
});

test('datagrams: nothing is said of SYNs', () => {
  const datagram = frameOf(
    ipv4Packet(CLIENT_4, VIP_4, udpDatagram(CLIENT_4, VIP_4, { destinationPort: 80 }), { protocol: 17 }),
  );
  const { slot, backend } = FOUND_4;
  const way = `IPIP to ${BACKENDS[backend].address}`;
  const given = { service: 'protocol: udp, conntrack: { idleTimeout: 1ms },' };
  assert.deepEqual(comments([datagram, datagram], given), [
    `forward web: miss → slot ${slot} of 65537 → ${backend}; ${way}`,
    `forward web: miss (forgotten: idle for 0.001s) → slot ${slot} of 65537 → ${backend}; ${way}`,
  ]);
  const { facts } = told([datagram, datagram], { service: 'protocol: udp,' });
  const [{ hits, datagramMisses }] = facts.services;
  assert.deepEqual({ hits, datagramMisses }, { hits: 1, datagramMisses: 1 });
});

test('a QUIC connection id that names its backend', () => {
  const list = Object.entries(BACKENDS).map(
    ([name, { address }], i) => `{ name: ${name}, address: ${address}, serverId: "0${i}" }`,
  );
  const { config } = parseConfig(
    `{ interface: eth0, services: [{ name: quic, vip: ${VIP_4}, port: 80, protocol: udp,
       quic: { serverIdLength: 1, nonceLength: 4 }, backends: [${list}] }] }`,
    'test',
  );
  const payload = '\x41\x00\x02nonce';
  const datagram = udpDatagram(CLIENT_4, VIP_4, { destinationPort: 80, payload });
  const { told: all, facts } = replay(
    [packetAt(0, frameOf(ipv4Packet(CLIENT_4, VIP_4, datagram, { protocol: 17 })))],
    config,
  );
  assert.deepEqual(
    all.map(({ comment }) => comment),
    ['quic: server id → b3; IPIP to 198.18.2.3'],
  );
  assert.equal(facts.services[0].quicRouted, 1);
});

describe('ICMP', () => {
  const { slot, backend } = FOUND_4;
  const way = `IPIP to ${BACKENDS[backend].address}`;
  const answer = { source: VIP_4, destination: CLIENT_4, sourcePort: 80, destinationPort: 40000 };

  test('an error about a connection, in the table and not', () => {
    const unreachable = frameOf(error4(3, 4, tcpPacket(answer)));
    assert.deepEqual(comments([unreachable, tcpFrame({ flags: 'S' }), unreachable]), [
      `forward web: ICMP error, miss → slot ${slot} of 65537 → ${backend}; ${way}`,
      `forward web: miss (SYN) → slot ${slot} of 65537 → ${backend}; ${way}`,
      `forward web: ICMP error, hit → ${backend} (slot ${slot} of 65537); ${way}`,
    ]);
    const { facts } = told([unreachable]);
    assert.equal(facts.services[0].related, 1);
  });

  test('the same of IPv6, where the client is in the quoted packet', () => {
    const quoted = tcp6Packet({ source: VIP_6, destination: CLIENT_6, sourcePort: 80, destinationPort: 40000 });
    assert.deepEqual(comments([frameOf(error6(2, 0, quoted))], { vip: VIP_6 }), [
      `forward web: ICMP error, miss → slot ${FOUND_6.slot} of 65537 → ${FOUND_6.backend}; IPIP to ${BACKENDS[FOUND_6.backend].address}`,
    ]);
  });

  test('a ping, answered and for a backend', () => {
    const ping = frameOf(ipv4Packet(CLIENT_4, VIP_4, icmpMessage(8, 0, [0, 1, 0, 1], [1, 2, 3]), { protocol: 1 }));
    assert.deepEqual(comments([ping]), ['answer answer: echo']);
    const pingSlot = chained(Uint8Array.from([...bytesOfIp(CLIENT_4), 0, 0, 0, 0]), 0) % 65537;
    const pinged = backendAt(pingSlot);
    assert.deepEqual(comments([ping], { top: 'echo: backend,' }), [
      `forward web: ping → slot ${pingSlot} of 65537 → ${pinged}; IPIP to ${BACKENDS[pinged].address}`,
    ]);
  });

  test('an error of no flow', () => {
    assert.deepEqual(comments([frameOf(error4(3, 4, tcpPacket({ ...answer, sourcePort: 81 })))]), [
      'drop drop: icmp-of-no-flow',
    ]);
  });
});

test('what is too long and may not be cut: its sender is told, and the answer is the frame that leaves', () => {
  const long = tcpFrame({ payload: 'x'.repeat(1441), flags: 'A', ip: { fragment: 0x4000 } });
  const { told: all, facts } = told([long]);
  const { slot, backend } = FOUND_4;
  assert.deepEqual(
    all.map(({ comment }) => comment),
    [`web: miss (not SYN) → slot ${slot} of 65537 → ${backend}; answer: too-big`],
  );
  assert.deepEqual([all[0].frame[23], all[0].frame[34], facts.sent, facts.verdicts.answer], [1, 3, 1, 1]);
});

describe('pieces', () => {
  const { slot, backend } = FOUND_4;
  const way = `IPIP to ${BACKENDS[backend].address}`;
  const segment = tcpPacket({ payload: 'x'.repeat(1980), flags: 'A' }).slice(20);
  const piece = (from: number, to: number, more: number): Uint8Array =>
    frameOf(ipv4Packet(CLIENT_4, VIP_4, segment.slice(from, to), { id: 7, fragment: more | (from >> 3) }));
  const [first, second, third] = [piece(0, 800, 0x2000), piece(800, 1600, 0x2000), piece(1600, 2000, 0)];

  test('follow the first, and wait for it', () => {
    const miss = `forward web: miss (not SYN) → slot ${slot} of 65537 → ${backend}; ${way}`;
    const follows = `forward web: fragment → ${backend}; ${way}`;
    assert.deepEqual(comments([first, second, third]), [miss, follows, follows]);
    const { told: all, facts } = told([third, second, first]);
    const early = 'hold hold: early-fragment';
    const lines = all.map(({ verdict, comment }) => `${verdict} ${comment}`);
    assert.deepEqual(lines, [early, early, miss, follows, follows]);
    // In the order of their arrival, and whole.
    assert.deepEqual(
      all.slice(2).map(({ frame }) => Buffer.from(frame.subarray(34))),
      [first, third, second].map((frame) => Buffer.from(frame.subarray(14))),
    );
    assert.deepEqual([facts.sent, facts.verdicts.hold, facts.verdicts.forward], [3, 2, 3]);
  });

  test('that hushlb cuts say what the packet says', () => {
    const whole = frameOf(ipv4Packet(CLIENT_4, VIP_4, segment, { fragment: 0 }));
    const line = `forward web: miss (not SYN) → slot ${slot} of 65537 → ${backend}; ${way}`;
    assert.deepEqual(comments([whole], { service: 'tooBig: fragment,' }), [line, line]);
  });
});

test('an entry that made room for another is not this connection, forgotten', () => {
  // A table of one bucket. The second connection finds the first idled out, and takes its slot.
  const steps = [
    { ms: 0, port: 40000 },
    { ms: 2000, port: 40001 },
    { ms: 2001, port: 40001 },
    { ms: 4000, port: 40001 },
  ];
  const { config } = parseConfig(
    `{ interface: eth0, services: [{ name: web, vip: ${VIP_4}, port: 80, conntrack: { idleTimeout: 1s, capacity: 2 },
       backends: [{ name: b1, address: 198.18.2.1 }] }] }`,
    'test',
  );
  const { told: all, facts } = replay(
    steps.map(({ ms, port }) => packetAt(ms, tcpFrame({ sourcePort: port, flags: 'A' }))),
    config,
  );
  assert.deepEqual(
    all.map(({ comment }) => comment.replace(/ → .*/, '')),
    ['web: miss (not SYN)', 'web: miss (not SYN)', 'web: hit', 'web: miss (not SYN, forgotten: idle for 1s or closed)'],
  );
  assert.equal(facts.services[0].expired, 2);
});
