/**
 * A replay against the same forwarder driven by hand (test/lb/rig.ts), against a model of who is in the table, and against
 * frames, slots and backends that others work out.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import xxhash from 'xxhash-wasm';
import { buildLookupTable } from '../../hashing/lookup-table.ts';
import type { ReadPacket } from '../../io/pcapng-reader.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { SERVICE_HITS } from '../../metrics/counters.ts';
import { DEFAULT_HOPS } from '../../replay/made-up-hops.ts';
import { createReplay } from '../../replay/replay.ts';
import type { Facts } from '../../replay/summary.ts';
import { BACKENDS, createRig } from '../lb/rig.ts';
import {
  bytesOfIp,
  bytesOfMac,
  CLIENT_MAC,
  ethernetFrame,
  ipv4Packet,
  OWN_MAC,
  tcpFrame,
  tcpPacket,
} from '../packets.ts';

const { h32Raw } = await xxhash();
const START_NS = 1_700_000_000_000_000_000n;
const DAY_MS = 86_400_000;

const configOf = (service = '', top = '') =>
  parseConfig(
    `
interface: eth0
${top}
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    ${service}
    backends: [${Object.entries(BACKENDS).map(([name, { address }]) => `{ name: ${name}, address: ${address} }`)}]
`,
    'test',
  ).config;

/** A packet of a capture, `ms` after its start. */
function packetAt(ms: number, bytes: Uint8Array, more: Partial<ReadPacket> = {}): ReadPacket {
  const timestampNs = START_NS + BigInt(Math.round(ms * 1000)) * 1000n;
  return { bytes, timestampNs, originalLength: bytes.length, direction: undefined, ...more };
}

interface Told {
  verdict: string;
  ms: number;
  frame: Uint8Array;
  comment: string;
}

function replay(packets: readonly ReadPacket[], config = configOf(), outbound = false): { told: Told[]; facts: Facts } {
  const told: Told[] = [];
  const { take, finish } = createReplay({
    config,
    outbound,
    hops: { ...DEFAULT_HOPS, ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)) },
    onPacket: ({ verdict, bytes, timestampNs, comment }) =>
      told.push({ verdict, frame: bytes.slice(), comment, ms: Number(timestampNs - START_NS) / 1e6 }),
  });
  for (const packet of packets) take(packet);
  return { facts: finish(), told };
}

/** By the documents: source address, source port and two zeros, hashed and taken modulo M. */
function slotOf(port: number, tableSize = 65537): number {
  return h32Raw(Uint8Array.from([...bytesOfIp('192.0.2.7'), port >> 8, port & 255, 0, 0]), 0) % tableSize;
}

const TABLE = buildLookupTable(
  Object.keys(BACKENDS).map((name) => ({ name, weight: 1 })),
  65537,
);
const backendAt = (slot: number): string => TABLE.backends[TABLE.entries[slot]];

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
    assert.deepEqual(verdicts, { forward: 4, reset: 0, pass: 0, drop: 0 });
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
    const long = tcpFrame({ payload: 'x'.repeat(1441) }); // 1481 and 20 are more than 1500
    const packets = [
      packetAt(0, tcpFrame({ destinationPort: 22 })),
      packetAt(0, tcpFrame({ destination: '203.0.113.1' })),
      packetAt(0, tcpFrame({ ip: { fragment: 0x2000 } })),
      packetAt(0, long),
    ];
    assert.deepEqual(comments(packets, ''), [
      ['pass', 'pass: other-port'],
      ['pass', 'pass: not-vip'],
      ['drop', 'drop: fragment'],
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
      assert.equal(facts.sent, facts.verdicts.forward + facts.verdicts.reset);
      assert.equal(facts.services[0].hits, rig.count(SERVICE_HITS));
    });
    fc.assert(property, { numRuns: 150 });
  });
});
