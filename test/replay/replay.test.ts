/**
 * A replay against the same forwarder driven by hand (test/lb/rig.ts), against a model of who is in the table, and against
 * frames, slots and backends that others work out.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ReadPacket } from '../../io/pcapng-reader.ts';
import { SERVICE_HITS } from '../../metrics/counters.ts';
import { BACKENDS, createRig } from '../lb/rig.ts';
import { bytesOfIp, ethernetFrame, ipv4Packet, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
import { backendAt, configOf, packetAt, replay, slotOf } from './replays.ts';

describe('what is sent, and why', () => {
  const idle60 = 'conntrack: { idleTimeout: 60s }';

  test('a tunnel to the slot’s backend: the frame byte by byte, the decision in one line', () => {
    const packets = [
      packetAt(0, tcpFrame({ flags: 'S' })),
      packetAt(1, tcpFrame({ flags: 'A' })),
      packetAt(70_000, tcpFrame({ flags: 'PA', payload: 'GET' })),
      packetAt(70_001, tcpFrame({ flags: 'A', sourcePort: 40001 })),
    ];
    const { told, facts } = replay(packets, configOf(idle60));
    const slot = slotOf(40000);
    const backend = backendAt(slot);
    const { address } = BACKENDS[backend];
    const expected = [{ flags: 'S' }, { flags: 'A' }, { flags: 'PA', payload: 'GET' }].map((fields) =>
      ethernetFrame(
        ['02:00', ...bytesOfIp(address).map((byte) => byte.toString(16).padStart(2, '0'))].join(':'),
        OWN_MAC,
        0x0800,
        ipv4Packet('192.0.2.1', address, tcpPacket(fields), { protocol: 4, ttl: 64 }),
      ),
    );
    assert.deepEqual(
      told.slice(0, 3).map(({ frame }) => frame),
      expected,
    );
    const way = `slot ${slot} of 65537 → ${backend}; IPIP to ${address}`;
    const other = slotOf(40001);
    assert.deepEqual(
      told.map(({ ms, comment }) => [ms, comment]),
      [
        [0, `web: miss (SYN) → ${way}`],
        [1, `web: hit → ${backend} (slot ${slot} of 65537); IPIP to ${address}`],
        [70_000, `web: miss (not SYN, forgotten: idle for 60s or closed) → ${way}`],
        [
          70_001,
          `web: miss (not SYN) → slot ${other} of 65537 → ${backendAt(other)}; IPIP to ${BACKENDS[backendAt(other)].address}`,
        ],
      ],
    );
    const { packets: count, seconds, sent, verdicts } = facts;
    assert.deepEqual({ count, seconds, sent }, { count: 4, seconds: 70.001, sent: 4 });
    assert.deepEqual(verdicts, { forward: 4, reset: 0, answer: 0, pass: 0, hold: 0, drop: 0 });
    const [{ hits, synMisses, nonSynMisses, expired }] = facts.services;
    assert.deepEqual(
      { hits, synMisses, nonSynMisses, expired },
      { hits: 1, synMisses: 1, nonSynMisses: 2, expired: 1 },
    );
  });

  const comments = (packets: ReadPacket[], service: string, top = '') =>
    replay(packets, configOf(service, top)).told.map(({ verdict, comment }) => [verdict, comment]);
  const slot = slotOf(40000);
  const backend = backendAt(slot);

  test('L2, round-robin, no table, drained', () => {
    const opening = [packetAt(0, tcpFrame({ flags: 'S' })), packetAt(1, tcpFrame({ flags: 'A' }))];
    assert.deepEqual(comments(opening.slice(0, 1), 'encap: l2'), [
      ['forward', `web: miss (SYN) → slot ${slot} of 65537 → ${backend}; L2 to ${BACKENDS[backend].address}`],
    ]);
    assert.deepEqual(comments(opening, 'scheduler: round-robin'), [
      ['forward', 'web: miss (SYN) → b1, whose turn it is; IPIP to 198.18.2.1'],
      ['forward', 'web: hit → b1; IPIP to 198.18.2.1'],
    ]);
    assert.deepEqual(comments(opening.slice(1), 'conntrack: { enabled: false }'), [
      [
        'forward',
        `web: no connection table → slot ${slot} of 65537 → ${backend}; IPIP to ${BACKENDS[backend].address}`,
      ],
    ]);
  });

  test('what is not forwarded says its exit', () => {
    // 1481 and 20 bytes are more than 1500, and nothing forbids to fragment them.
    const long = tcpFrame({ payload: 'x'.repeat(1441), ip: { fragment: 0 } });
    const packets = [
      packetAt(0, tcpFrame({ destinationPort: 22 })),
      packetAt(0, tcpFrame({ destination: '203.0.113.1' })),
      packetAt(0, tcpFrame({ ip: { fragment: 0x2000 } })),
      packetAt(0, long),
    ];
    assert.deepEqual(comments(packets, ''), [
      ['pass', 'pass: other-port'],
      ['pass', 'pass: not-vip'],
      ['drop', 'drop: bad-fragment'],
      ['drop', `web: miss (not SYN) → slot ${slot} of 65537 → ${backend}; drop: too-big`],
    ]);
    assert.deepEqual(comments([packetAt(0, tcpFrame())], '', 'mode: stateful'), [
      ['reset', 'web: miss (not SYN); reset: unknown-connection'],
    ]);
    assert.deepEqual(comments([packetAt(0, tcpFrame())], 'onMiss: drop'), [
      ['drop', 'web: miss (not SYN); drop: unknown-connection'],
    ]);
    // What came in is told of, untouched.
    assert.deepEqual(replay(packets).told[3].frame, long);
  });

  test('cut packets, and what the host itself sent, are left out and counted', () => {
    const packets = [
      packetAt(0, tcpFrame(), { originalLength: 1500 }),
      packetAt(1, tcpFrame(), { direction: 'out' }),
      packetAt(2, tcpFrame(), { direction: 'in' }),
    ];
    const { told, facts } = replay(packets);
    assert.deepEqual([told.length, facts.packets, facts.leftOut], [1, 3, { cut: 1, outbound: 1 }]);
    assert.deepEqual(replay(packets, configOf(), true).facts.leftOut, { cut: 1, outbound: 0 });
  });
});

describe('any packets at any times', () => {
  const step = fc.record({
    // Around the idle timeout of 60 s and the 5 s after a FIN, and now and then back.
    ms: fc.oneof(fc.nat(10), fc.integer({ min: -3000, max: 70_000 }), fc.constantFrom(4999, 5000, 59_999, 60_000)),
    port: fc.integer({ min: 40000, max: 40003 }),
    flags: fc.constantFrom('S', 'A', 'A', 'PA', 'FA', 'R', 'SA'),
    destinationPort: fc.constantFrom(80, 80, 80, 80, 443),
  });
  const anyService = fc.constantFrom('', 'onMiss: reset', 'onMiss: drop', 'scheduler: round-robin', 'encap: l2');

  test('the same frames leave as when the forwarder is driven by hand, and the comments say what it did', () => {
    const property = fc.property(anyService, fc.array(step, { minLength: 1, maxLength: 40 }), (service, steps) => {
      const lines = `${service}\n    conntrack: { idleTimeout: 60s, capacity: 1024 }`;
      const rig = createRig({
        service: lines,
        hopOf: (address) => ({
          mac: Uint8Array.of(2, 0, ...bytesOfIp(address)),
          source: Uint8Array.from(bytesOfIp('192.0.2.1')),
        }),
      });
      let ms = 100_000;
      let latest = ms;
      const walked: { exit: string; frame: Uint8Array | undefined; hit: boolean; forgotten: boolean }[] = [];
      const packets: ReadPacket[] = [];
      const seen = new Map<number, { ms: number; closing: boolean }>();
      for (const { ms: more, port, flags, destinationPort } of steps) {
        ms += more;
        latest = packets.length === 0 ? ms : Math.max(latest, ms);
        const frame = tcpFrame({ sourcePort: port, flags, destinationPort });
        packets.push(packetAt(ms, frame));
        const hits = rig.count(SERVICE_HITS);
        const outcome = rig.walk(frame, latest);
        const entry = seen.get(port);
        const isOld = entry !== undefined && latest - entry.ms >= (entry.closing ? 5000 : 60_000);
        const hit = rig.count(SERVICE_HITS) > hits;
        walked.push({ ...outcome, hit, forgotten: isOld && flags !== 'S' && destinationPort === 80 });
        if (destinationPort !== 80) continue;
        // The model of the table: a hit keeps what it knows of an end, a miss that is forwarded begins anew.
        const ends = flags === 'FA' || flags === 'R';
        if (hit) seen.set(port, { ms: latest, closing: ends || entry!.closing });
        else if (outcome.exit === 'forward' && flags !== 'R') seen.set(port, { ms: latest, closing: ends });
        else if (isOld && flags !== 'S') seen.delete(port);
      }

      const { told, facts } = replay(packets, configOf(lines));
      assert.deepEqual(
        told.map(({ verdict, comment }) => {
          const reason = /(?:pass|drop|reset): (\S+)$/.exec(comment)?.[1];
          return reason === undefined ? verdict : `${verdict}: ${reason}`;
        }),
        walked.map(({ exit }) => exit),
      );
      for (const [i, { frame, hit, forgotten }] of walked.entries()) {
        if (frame !== undefined) assert.deepEqual(told[i].frame, frame);
        assert.equal(told[i].comment.startsWith('web: hit'), hit, `${i}: ${told[i].comment}`);
        assert.equal(told[i].comment.includes('forgotten'), forgotten, `${i}: ${told[i].comment}`);
      }
      const counted = facts.exits.reduce((sum, exit) => sum + exit.packets, 0);
      assert.equal(counted, packets.length);
      assert.equal(facts.sent, facts.verdicts.forward + facts.verdicts.reset + facts.verdicts.answer);
      assert.equal(facts.services[0].hits, rig.count(SERVICE_HITS));
    });
    fc.assert(property, { numRuns: 150 });
  });
});

test('whatever the frames: each leaves by one exit, and is told of in one line', () => {
  const mutated = fc
    .tuple(
      fc.constantFrom('S', 'A', 'FA'),
      fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 4 }),
      fc.option(fc.nat(70), { nil: undefined }),
    )
    .map(([flags, changes, end]) => {
      const bytes = tcpFrame({ flags, payload: 'GET' });
      for (const [offset, value] of changes) if (offset < bytes.length) bytes[offset] = value;
      return bytes.subarray(0, end);
    });
  const anyFrames = fc.array(fc.oneof(mutated, fc.uint8Array({ maxLength: 120 })), { maxLength: 30 });
  const anyService = fc.constantFrom('', 'onExpiry: reset', 'onMiss: reset', 'conntrack: { enabled: false }');
  const property = fc.property(anyService, anyFrames, (service, frames) => {
    const { told, facts } = replay(
      frames.map((frame, i) => packetAt(i, frame)),
      configOf(service),
    );
    assert.equal(told.length, frames.length);
    for (const { comment } of told) assert.match(comment, /^(web|pass|answer|hold|drop): [^\n]+$/);
    assert.equal(
      facts.exits.reduce((sum, { packets }) => sum + packets, 0),
      frames.length,
    );
  });
  fc.assert(property, { numRuns: 300 });
});
