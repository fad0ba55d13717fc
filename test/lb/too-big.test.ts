/** Fragmentation-needed and packet-too-big, byte for byte as an independent builder makes them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TOO_BIG_GROWTH, V6_TOO_BIG_GROWTH, writeTooBig } from '../../lb/too-big.ts';
import { macHigh, macLow } from '../../wire/ethernet.ts';
import {
  bytesOf,
  CLIENT_4,
  CLIENT_6,
  error4,
  error6,
  frameOf,
  icmpMessage,
  icmpV6Message,
  u16,
  u32,
  VIP_4,
  VIP_6,
  viewAtEnd,
} from '../icmp-packets.ts';
import { bytesOfMac, CLIENT_MAC, ethernetFrame, type Ipv4Fields, ipv4Packet, OWN_MAC, tcpSegment } from '../packets.ts';
import { type Ipv6Fields, ipv6Packet, udpDatagram } from '../packets6.ts';

const HEADROOM = 64;
const MAC = Uint8Array.from(bytesOfMac(OWN_MAC));

const tooBig4 = (length: number, fields: Ipv4Fields = {}, from = CLIENT_4): number[] =>
  ipv4Packet(from, VIP_4, tcpSegment(from, VIP_4, { payload: 'x'.repeat(length) }), fields);

const tooBig6 = (length: number, fields: Ipv6Fields = {}, from = CLIENT_6): number[] =>
  ipv6Packet(from, VIP_6, udpDatagram(from, VIP_6, { payload: 'x'.repeat(length) }), { protocol: 17, ...fields });

/** The frame written; undefined where there is none, and then nothing was touched. */
function answer(frame: Uint8Array, mtu: number, growth: number, ipLength = frame.length - 14): number[] | undefined {
  const view = viewAtEnd(frame, HEADROOM);
  const before = bytesOf(view);
  const length = writeTooBig(view, HEADROOM, ipLength, mtu, macLow(MAC), macHigh(MAC));
  if (length === 0) {
    assert.deepEqual(bytesOf(view), before);
    return undefined;
  }
  const start = HEADROOM - growth;
  assert.deepEqual(bytesOf(view, 0, start), before.slice(0, start));
  assert.deepEqual(bytesOf(view, start + length), before.slice(start + length));
  return bytesOf(view, start, start + length);
}

const answer4 = (packet: readonly number[], mtu = 1480) => answer(frameOf(packet), mtu, TOO_BIG_GROWTH);
const answer6 = (packet: readonly number[], mtu = 1460) => answer(frameOf(packet), mtu, V6_TOO_BIG_GROWTH);

describe('a packet that does not fit', () => {
  test('over IPv4 is quoted in at most 576 bytes to its sender', () => {
    fc.assert(
      fc.property(fc.nat(1500), fc.integer({ min: 68, max: 9000 }), (length, mtu) => {
        const packet = tooBig4(length);
        const message = icmpMessage(3, 4, [0, 0, ...u16(mtu)], packet.slice(0, 576 - 28));
        const fields = { protocol: 1, ttl: 64, tos: 0xc0, id: 0, fragment: 0x4000 };
        const expected = ipv4Packet(VIP_4, CLIENT_4, message, fields);
        assert.deepEqual(answer4(packet, mtu), [...ethernetFrame(CLIENT_MAC, OWN_MAC, 0x0800, expected)]);
      }),
    );
  });

  test('over IPv6 is quoted in at most 1280 bytes to its sender', () => {
    fc.assert(
      fc.property(fc.nat(1500), fc.integer({ min: 1280, max: 9000 }), (length, mtu) => {
        const packet = tooBig6(length);
        const message = icmpV6Message(VIP_6, CLIENT_6, 2, 0, u32(mtu), packet.slice(0, 1280 - 48));
        const expected = ipv6Packet(VIP_6, CLIENT_6, message, { protocol: 58, hopLimit: 64 });
        assert.deepEqual(answer6(packet, mtu), [...ethernetFrame(CLIENT_MAC, OWN_MAC, 0x86dd, expected)]);
      }),
    );
  });

  test('is quoted without the padding of its frame', () => {
    const packet = tooBig4(0);
    const padded = answer(frameOf([...packet, 0, 0, 0, 0, 0, 0]), 1480, TOO_BIG_GROWTH, packet.length);
    assert.deepEqual(padded, answer4(packet));
  });

  test('is answered where it is an echo request, or the first fragment', () => {
    const echo = ipv4Packet(CLIENT_4, VIP_4, icmpMessage(8, 0, [0, 1, 0, 1], [1]), { protocol: 1 });
    assert.notEqual(answer4(echo), undefined);
    assert.notEqual(answer4(tooBig4(99, { fragment: 0x2000 })), undefined);
    const echo6 = icmpV6Message(CLIENT_6, VIP_6, 128, 0, [0, 1, 0, 1], [1]);
    assert.notEqual(answer6(ipv6Packet(CLIENT_6, VIP_6, echo6, { protocol: 58 })), undefined);
  });
});

describe('nobody is told', () => {
  const quoted = tooBig4(9);
  const extensions = [[60, [0, 1, 4, 0, 0, 0, 0]]] as const;
  const later = [[44, [0, 5, 8, 0, 0, 0, 1]]] as const;
  for (const [what, answered] of [
    ['about an ICMP error', answer4(error4(3, 4, quoted))],
    ['about ICMP that ends before its type', answer4(ipv4Packet(CLIENT_4, VIP_4, [], { protocol: 1 }))],
    ['about a later fragment', answer4(tooBig4(99, { fragment: 0x00b9 }))],
    ['for multicast', answer4(tooBig4(99, {}, '239.1.1.1'))],
    ['for broadcast', answer4(tooBig4(99, {}, '255.255.255.255'))],
    ['of an MTU that no link of IPv4 has', answer4(tooBig4(99), 67)],
    ['about an ICMPv6 error', answer6(error6(2, 0, tooBig6(9)))],
    ['about an ICMPv6 error behind an extension header', answer6(error6(1, 0, tooBig6(9), { extensions }))],
    ['about ICMPv6 that ends before its type', answer6(ipv6Packet(CLIENT_6, VIP_6, [], { protocol: 58 }))],
    ['about a later fragment of IPv6', answer6(tooBig6(99, { extensions: later }))],
    ['about IPv6 with damaged headers', answer6(tooBig6(0, { extensions: [[60, [99, 0, 0, 0, 0, 0, 0]]] }))],
    ['for multicast of IPv6', answer6(tooBig6(99, {}, 'ff02::1'))],
    ['for the unspecified address', answer6(tooBig6(99, {}, '::'))],
    ['of an MTU that no link of IPv6 has', answer6(tooBig6(99), 1279)],
    [
      'what a group of hosts was sent',
      answer(ethernetFrame('33:33:00:00:00:01', CLIENT_MAC, 0x86dd, tooBig6(99)), 1460, V6_TOO_BIG_GROWTH),
    ],
  ] as const) {
    test(what, () => assert.equal(answered, undefined));
  }
});
