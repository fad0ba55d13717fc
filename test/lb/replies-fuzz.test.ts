/**
 * No packet makes the forwarder's rarer parts throw, read behind the frame, or write where they must not: every frame ends
 * where its memory does. Runs print their seed when they fail.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createMemoryDevice } from '../../io/memory-device.ts';
import { answerEcho } from '../../lb/echo.ts';
import { cut } from '../../lb/fragmenting.ts';
import { createQuote, findQuote, QUOTE_OF_FLOW, QUOTED_IP, QUOTED_L4 } from '../../lb/icmp-errors.ts';
import { clampMss } from '../../lb/mss-clamp.ts';
import { createQuicRoutes, findServer } from '../../lb/quic-lb.ts';
import { TOO_BIG_GROWTH, V6_TOO_BIG_GROWTH, writeTooBig } from '../../lb/too-big.ts';
import { createFragmentFacts, FIRST_FRAGMENT, FRAGMENT_L4, LATER_FRAGMENT, readFragment } from '../../wire/fragment.ts';
import {
  bytesOf,
  CLIENT_4,
  CLIENT_6,
  error4,
  error6,
  frameOf,
  icmpMessage,
  icmpV6Message,
  VIP_4,
  VIP_6,
  viewAtEnd,
} from '../icmp-packets.ts';
import { internetChecksum, ipv4Packet, tcpPacket, tcpSegment } from '../packets.ts';
import { ipv6Packet, tcp6Packet, udpDatagram } from '../packets6.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 20_000);
const HEADROOM = 64;
const PAYLOAD = 'x'.repeat(1400);
const SYN = { flags: 'S', options: [2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 0, 0] };
const QUOTED_4 = ipv4Packet(VIP_4, CLIENT_4, tcpSegment(VIP_4, CLIENT_4, {}), {});
const QUOTED_6 = ipv6Packet(VIP_6, CLIENT_6, udpDatagram(VIP_6, CLIENT_6), {
  protocol: 17,
  extensions: [[60, [0, 1, 4, 0, 0, 0, 0]]],
});
const FRAGMENT = [44, [0, 0, 1, 0, 0, 0, 1]] as const;
const QUIC = String.fromCharCode(0xc3, 0, 0, 0, 1, 8, 0x27, 1, 2, 3, 4, 5, 6, 7, 0, 0);

const SEEDS = [
  error4(3, 4, QUOTED_4),
  error4(11, 0, ipv4Packet(VIP_4, CLIENT_4, tcpSegment(VIP_4, CLIENT_4, {}), { options: [1, 1, 1, 0] })),
  error6(2, 0, QUOTED_6),
  error6(1, 0, QUOTED_6, { extensions: [[0, [0, 1, 4, 0, 0, 0, 0]]] }),
  ipv4Packet(CLIENT_4, VIP_4, icmpMessage(8, 0, [0, 1, 0, 2], [1, 2, 3]), { protocol: 1 }),
  ipv6Packet(CLIENT_6, VIP_6, icmpV6Message(CLIENT_6, VIP_6, 128, 0, [0, 1, 0, 2], [1, 2, 3]), { protocol: 58 }),
  tcpPacket(SYN),
  tcp6Packet(SYN),
  tcpPacket({ payload: PAYLOAD, ip: { fragment: 0, options: [7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0] } }),
  tcpPacket({ payload: PAYLOAD, ip: { fragment: 0x2000 } }),
  ipv6Packet(CLIENT_6, VIP_6, udpDatagram(CLIENT_6, VIP_6, { payload: QUIC }), { protocol: 17 }),
  ipv6Packet(CLIENT_6, VIP_6, udpDatagram(CLIENT_6, VIP_6, { payload: PAYLOAD }), {
    protocol: 17,
    extensions: [[0, [0, 1, 4, 0, 0, 0, 0]], FRAGMENT, [60, [0, 1, 4, 0, 0, 0, 0]]],
  }),
];

/** A seed with some bytes changed, most of them in its headers, and cut off somewhere; Ethernet may have padded it. */
const mutated = fc
  .record({
    seed: fc.nat(SEEDS.length - 1),
    changes: fc.array(fc.tuple(fc.oneof(fc.nat(100), fc.nat(1500)), fc.nat(255)), { maxLength: 5 }),
    cutTo: fc.option(fc.nat(1500)),
  })
  .map(({ seed, changes, cutTo }) => {
    const packet = SEEDS[seed].slice(0, cutTo ?? undefined);
    for (const [i, value] of changes) if (i < packet.length) packet[i] = value;
    // Else nearly every cut ends at the door.
    if (cutTo !== null && packet.length >= 40) setLength(packet);
    return packet;
  })
  .filter((packet) => lengthAtTheDoor(packet) > 0);

function setLength(packet: number[]): void {
  const at = packet[0] >> 4 === 6 ? 4 : 2;
  const length = packet[0] >> 4 === 6 ? packet.length - 40 : packet.length;
  [packet[at], packet[at + 1]] = [length >> 8, length & 255];
}

/** The IP packet's length as wire/flow.ts lets it in, or 0. */
function lengthAtTheDoor(packet: readonly number[]): number {
  const version = packet[0] >> 4;
  const headerLength = version === 6 ? 40 : (packet[0] & 15) * 4;
  if (packet.length < headerLength || headerLength < 20 || (version !== 4 && version !== 6)) return 0;
  const length = version === 6 ? 40 + packet[4] * 256 + packet[5] : packet[2] * 256 + packet[3];
  return length >= headerLength && length <= packet.length ? length : 0;
}

const l4Of = (packet: readonly number[]): number => (packet[0] >> 4 === 6 ? 40 : (packet[0] & 15) * 4);

function fuzz(what: string, check: (packet: number[], ipLength: number, view: DataView) => void): void {
  test(what, () => {
    fc.assert(
      fc.property(mutated, (packet) => {
        check(packet, lengthAtTheDoor(packet), viewAtEnd(frameOf(packet), HEADROOM));
      }),
      { numRuns: RUNS },
    );
  });
}

const isSummed = (bytes: readonly number[]): boolean => internetChecksum(bytes) === 0;

describe('packets that nobody should send', () => {
  const quote = createQuote();
  fuzz('to findQuote', (packet, ipLength, view) => {
    if (findQuote(view, HEADROOM, ipLength, HEADROOM + 14 + l4Of(packet), quote) !== QUOTE_OF_FLOW) return;
    const end = HEADROOM + 14 + ipLength;
    assert.ok(quote[QUOTED_IP] + 20 <= quote[QUOTED_L4] && quote[QUOTED_L4] + 8 <= end);
    const isV6 = packet[0] >> 4 === 6;
    const vip = isV6 ? packet.slice(24, 40) : packet.slice(16, 20);
    const source = quote[QUOTED_IP] + (isV6 ? 8 : 12);
    assert.deepEqual(bytesOf(view, source, source + vip.length), vip);
  });

  fuzz('to answerEcho', (packet, ipLength, view) => {
    const answered = answerEcho(view, HEADROOM, ipLength);
    const after = bytesOf(view, HEADROOM + 14);
    if (!answered) return assert.deepEqual(bytesOf(view, HEADROOM), [...frameOf(packet)]);
    assert.deepEqual(bytesOf(view, 0, HEADROOM), Array(HEADROOM).fill(0xa5));
    const isV6 = packet[0] >> 4 === 6;
    assert.equal(after[isV6 ? 40 : 20], isV6 ? 129 : 0);
    if (!isV6) assert.ok(isSummed(after.slice(20, ipLength)));
  });

  fuzz('to writeTooBig', (packet, ipLength, view) => {
    const length = writeTooBig(view, HEADROOM, ipLength, 1400, 0x02, 0x0200);
    const isV6 = packet[0] >> 4 === 6;
    const growth = length === 0 ? 0 : isV6 ? V6_TOO_BIG_GROWTH : TOO_BIG_GROWTH;
    assert.deepEqual(bytesOf(view, HEADROOM + 14), packet);
    if (length === 0) return;
    assert.ok(length <= 14 + (isV6 ? 1280 : 576) && length <= 14 + growth + ipLength);
    const written = bytesOf(view, HEADROOM - growth + 14, HEADROOM - growth + length);
    if (!isV6) assert.ok(isSummed(written.slice(0, 20)) && isSummed(written.slice(20)));
  });

  fuzz('to readFragment', (_packet, ipLength, view) => {
    const facts = createFragmentFacts();
    const found = readFragment(view, HEADROOM, ipLength, facts);
    if (found !== FIRST_FRAGMENT && found !== LATER_FRAGMENT) return;
    assert.ok(facts[FRAGMENT_L4] < HEADROOM + 14 + ipLength);
  });

  fuzz('to cut', (packet, ipLength) => {
    const device = createMemoryDevice({ frameCount: 64 });
    device.inject(frameOf(packet));
    device.receive(0);
    device.batch.action[0] = 1;
    const added = cut(device, 0, ipLength, 700);
    device.send();
    if (added === 0) return assert.deepEqual(device.sent[0], frameOf(packet));
    assert.equal(device.sent.length, added + 1);
    for (const frame of device.sent) {
      const headerLength = (frame[14] & 15) * 4;
      assert.ok(frame.length <= 14 + 700);
      assert.ok(isSummed([...frame.subarray(14, 14 + headerLength)]));
    }
  });

  fuzz('to clampMss', (packet, ipLength, view) => {
    const l4 = l4Of(packet);
    const headerLength = l4 + 20 <= ipLength ? (packet[l4 + 12] >> 4) * 4 : 0;
    if (headerLength < 20 || l4 + headerLength > ipLength) return;
    const changed = clampMss(view, HEADROOM + 14 + l4, headerLength, 1400);
    const after = bytesOf(view, HEADROOM + 14);
    const sumOf = (bytes: number[]): number => internetChecksum(bytes.slice(l4, ipLength));
    assert.equal(sumOf(after) % 0xffff, sumOf(packet) % 0xffff);
    assert.equal(changed, !after.every((byte, i) => byte === packet[i]));
  });

  const serverId = Uint8Array.of(1, 2, 3);
  const routes = createQuicRoutes(
    [{ rotation: 1, serverIdLength: 3, nonceLength: 4, encodesLength: true, servers: [{ serverId, backend: 5 }] }],
    7,
  );
  fuzz('to findServer', (packet, ipLength, view) => {
    const data = Math.min(l4Of(packet) + 8, ipLength);
    const found = findServer(routes, view, HEADROOM + 14 + data, ipLength - data);
    assert.ok(found === -1 || found === 5);
  });
});
