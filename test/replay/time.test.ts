/** A replay's clock is the capture's: idle timeouts, RSTs at expiry, and times that leap or go back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReadPacket } from '../../io/pcapng-reader.ts';
import { BACKENDS } from '../lb/rig.ts';
import { CLIENT_MAC, ethernetFrame, OWN_MAC, tcpFrame, tcpPacket } from '../packets.ts';
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

  test('what comes late is reset, and its backend told', () => {
    const packets = [packetAt(0, tcpFrame({ flags: 'A' })), packetAt(60_100, tcpFrame({ flags: 'PA', payload: 'x' }))];
    const { told } = replay(packets, configOf(service));
    const { address } = BACKENDS[backendAt(slotOf(40000))];
    assert.deepEqual(
      told.slice(1).map(({ ms, comment }) => [ms, comment]),
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
