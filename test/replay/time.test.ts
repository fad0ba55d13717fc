/** A replay's clock is the capture's: idle timeouts, RSTs at expiry, and times that leap or go back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ReadPacket } from '../../io/pcapng-reader.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { BACKENDS, createRig } from '../lb/rig.ts';
import { bytesOfIp, CLIENT_MAC, ethernetFrame, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
import { tcp6Frame } from '../packets6.ts';
import { backendAt, configOf, packetAt, replay, slotOf } from './replays.ts';

const DAY_MS = 86_400_000;

describe('time', () => {
  const at = (ms: number, port = 40000) => packetAt(ms, tcpFrame({ sourcePort: port, flags: 'A' }));
  const findings = (packets: ReadPacket[], service: string) =>
    replay(packets, configOf(service)).told.map(({ comment }) => /web: (hit|miss \(not SYN)/.exec(comment)?.[1]);

  test('never goes back: it stands still until the capture has caught up', () => {
    const packets = [at(0), at(100_000, 1), at(59_000), at(100_000 + 59_000)];
    const { told, facts } = replay(packets, configOf('conntrack: { idleTimeout: 60s }'));
    assert.equal(facts.backwards, 1);
    assert.equal(facts.seconds, 159);
    // At 100 s the first one had idled out, and the packet from the past makes it anew then.
    assert.deepEqual(
      told.map(({ ms, comment }) => [ms, /forgotten|hit|not SYN/.exec(comment.replace('not SYN, f', 'f'))?.[0]]),
      [
        [0, 'not SYN'],
        [100_000, 'not SYN'],
        [59_000, 'forgotten'],
        [159_000, 'hit'],
      ],
    );
  });

  test('ages of connections don’t wrap after 49 days of silence', () => {
    const wrap = 2 ** 32;
    assert.deepEqual(
      findings([at(0), at(29 * DAY_MS), at(29 * DAY_MS + wrap + 10)], 'conntrack: { idleTimeout: 30d }'),
      ['miss (not SYN', 'hit', 'miss (not SYN'],
    );
  });

  test('a full table makes room for what comes after an idle timeout', () => {
    const early = Array.from({ length: 64 }, (_, i) => at(0, 1000 + i));
    const late = Array.from({ length: 64 }, (_, i) => at(100_000, 2000 + i));
    const again = Array.from({ length: 64 }, (_, i) => at(100_001, 2000 + i));
    const { facts } = replay([...early, ...late, ...again], configOf('conntrack: { idleTimeout: 60s, capacity: 64 }'));
    const [{ hits, evicted }] = facts.services;
    assert.ok(hits > 50, `${hits} of 64 found again, ${evicted} pushed out`);
  });
});

describe('onExpiry: reset', () => {
  const service = 'onExpiry: reset\n    conntrack: { idleTimeout: 60s }';

  test('both sides hear of it, at the end of the second in which it was due', () => {
    const packets = [
      packetAt(0, tcpFrame({ flags: 'S' })),
      packetAt(500, tcpFrame({ flags: 'A', sequence: 1001, acknowledgement: 5001 })),
      packetAt(200_000, tcpFrame({ destinationPort: 22 })),
    ];
    const { told, facts } = replay(packets, configOf(service));
    const { address } = BACKENDS[backendAt(slotOf(40000))];
    assert.deepEqual(told.map(({ ms, verdict, comment }) => [ms, verdict, comment]).slice(2), [
      [61_000, 'reset', 'web: idle for 60s; RST to the client'],
      [61_000, 'reset', `web: idle for 60s; RST to ${address}`],
      [200_000, 'pass', 'pass: other-port'],
    ]);
    const toClient = tcpPacketOf('198.18.10.1', 80, '192.0.2.7', 40000, 5001);
    assert.deepEqual(told[2].frame, ethernetFrame(CLIENT_MAC, OWN_MAC, 0x0800, toClient));
    assert.equal(facts.services[0].expiryResetsSent, 2);
    assert.equal(facts.sent, 4);
  });

  test('with L2 the backend’s is told from the client’s', () => {
    const packets = [packetAt(0, tcpFrame({ flags: 'A' })), packetAt(90_000, tcpFrame({ sourcePort: 1, flags: 'S' }))];
    assert.deepEqual(
      replay(packets, configOf(`encap: l2\n    ${service}`))
        .told.slice(1, 3)
        .map(({ comment }) => comment),
      ['web: idle for 60s; RST to the client', 'web: idle for 60s; RST to the backend'],
    );
  });

  for (const encap of ['ipip', 'gue', 'gre']) {
    for (const [vip, frame] of [
      ['198.18.10.1', tcpFrame({ flags: 'A' })],
      ['2001:db8:10::1', tcp6Frame({ flags: 'A' })],
    ] as const) {
      for (const address of ['198.18.2.1', '2001:db8:2::1']) {
        test(`${vip} by ${encap} to ${address}`, () => {
          const web = `{ name: web, vip: "${vip}", port: 80, encap: ${encap}, onExpiry: reset, conntrack: { idleTimeout: 60s },
            backends: [{ name: b1, address: "${address}" }] }`;
          const { config } = parseConfig(`{ interface: eth0, services: [${web}] }`, 'test');
          const late = packetAt(90_000, tcpFrame({ destination: '198.18.10.2' }));
          assert.deepEqual(
            replay([packetAt(0, frame), late], config)
              .told.slice(1, 3)
              .map(({ comment }) => comment),
            ['web: idle for 60s; RST to the client', `web: idle for 60s; RST to ${address}`],
          );
        });
      }
    }
  }

  test('IPv6 with L2: the backend’s is told from the client’s', () => {
    const web = `{ name: web, vip: "2001:db8:10::1", port: 80, encap: l2, onExpiry: reset, conntrack: { idleTimeout: 60s },
      backends: [{ name: b1, address: "2001:db8:2::1" }] }`;
    const { config } = parseConfig(`{ interface: eth0, services: [${web}] }`, 'test');
    const late = packetAt(90_000, tcpFrame());
    assert.deepEqual(
      replay([packetAt(0, tcp6Frame({ flags: 'A' })), late], config)
        .told.slice(1, 3)
        .map(({ comment }) => comment),
      ['web: idle for 60s; RST to the client', 'web: idle for 60s; RST to the backend'],
    );
  });

  test('what comes late is reset, and its backend told', () => {
    const packets = [
      packetAt(0, tcpFrame({ destinationPort: 22 })),
      packetAt(50, tcpFrame({ flags: 'A' })),
      packetAt(60_100, tcpFrame({ flags: 'PA', payload: 'x' })),
    ];
    const { told } = replay(packets, configOf(service));
    const { address } = BACKENDS[backendAt(slotOf(40000))];
    assert.deepEqual(
      told.slice(2).map(({ ms, comment }) => [ms, comment]),
      [
        [60_100, 'web: miss (not SYN, forgotten: idle for 60s or closed); reset: expired-connection'],
        [60_100, `web: idle for 60s; RST to ${address}`],
      ],
    );
  });

  test('more than one sweep can tell are all told', () => {
    const packets = Array.from({ length: 1000 }, (_, i) =>
      packetAt(i / 100, tcpFrame({ sourcePort: 2000 + i, flags: 'A' })),
    );
    const { facts } = replay([...packets, packetAt(61_500, tcpFrame({ destinationPort: 22 }))], configOf(service));
    const [{ expiryResetsSent, expired }] = facts.services;
    assert.deepEqual({ expiryResetsSent, expired }, { expiryResetsSent: 2000, expired: 1000 });
  });
});

function tcpPacketOf(
  source: string,
  sourcePort: number,
  destination: string,
  destinationPort: number,
  seq: number,
): number[] {
  const fields = { source, sourcePort, destination, destinationPort, sequence: seq, flags: 'R', window: 0 };
  return tcpPacket({ ...fields, ip: { ttl: 64, id: 0 } });
}

test('RSTs leave as where all tables are swept at the end of every second', () => {
  const step = fc.record({
    ms: fc.oneof(fc.nat(1500), fc.integer({ min: 3000, max: 70_000 }), fc.constantFrom(4999, 5000, 59_999, 60_000)),
    port: fc.integer({ min: 40000, max: 40004 }),
    flags: fc.constantFrom('S', 'A', 'A', 'A', 'PA', 'FA', 'R'),
  });
  const anyMiss = fc.constantFrom('onMiss: forward', 'onMiss: reset');
  let resets = 0;
  const property = fc.property(anyMiss, fc.array(step, { minLength: 1, maxLength: 30 }), (onMiss, steps) => {
    const lines = `${onMiss}\n    onExpiry: reset\n    conntrack: { idleTimeout: 60s, capacity: 256 }`;
    const rig = createRig({
      service: lines,
      hopOf: (address) => ({ mac: Uint8Array.of(2, 0, ...bytesOfIp(address)), source: Uint8Array.of(192, 0, 2, 1) }),
    });
    const expected: string[] = [];
    const note = (ms: number, frame: Uint8Array) => expected.push(`${ms} ${Buffer.from(frame).toString('hex')}`);
    let now = 0;
    const packets = steps.map(({ ms, port, flags }, i) => {
      const next = i === 0 ? 0 : now + ms;
      for (let at = (Math.floor(now / 1000) + 1) * 1000; at <= next; at += 1000) {
        rig.sweep(at, 1000);
        for (const frame of rig.resets()) note(at, frame);
      }
      now = next;
      const frame = tcpFrame({ sourcePort: port, flags, sequence: 1000 + i, acknowledgement: 500 + i });
      const sent = rig.walk(frame, now).frame;
      if (sent !== undefined) note(now, sent);
      for (const each of rig.resets()) note(now, each);
      return packetAt(now, frame);
    });
    // The end of the capture is looked at as well.
    rig.sweep(now, 1000);
    for (const frame of rig.resets()) note(now, frame);
    const { told } = replay(packets, configOf(lines));
    const sent = told.filter(({ verdict }) => verdict === 'forward' || verdict === 'reset');
    resets += sent.filter(({ comment }) => comment.includes('idle for')).length;
    // Whose RST is first of those at the same moment is nobody's business.
    const found = sent.map(({ ms, frame }) => `${ms} ${Buffer.from(frame).toString('hex')}`).sort();
    assert.deepEqual(found, expected.sort());
  });
  fc.assert(property, { numRuns: 200 });
  // Some 270; how many is chance.
  assert.ok(resets > 50, `${resets} RSTs`);
});
