/** Echo requests to a VIP, and the replies that an independent builder would have made of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { answerEcho } from '../../lb/echo.ts';
import {
  bytesOf,
  CLIENT_4,
  CLIENT_6,
  frameOf,
  icmpMessage,
  icmpV6Message,
  VIP_4,
  VIP_6,
  viewAtEnd,
} from '../icmp-packets.ts';
import { CLIENT_MAC, ethernetFrame, type Ipv4Fields, ipv4Packet, OWN_MAC } from '../packets.ts';
import { type Ipv6Fields, ipv6Packet } from '../packets6.ts';

const REST = [0x12, 0x34, 0, 7];

const request4 = (data: readonly number[], fields: Ipv4Fields = {}, from = CLIENT_4): number[] =>
  ipv4Packet(from, VIP_4, icmpMessage(8, 0, REST, data), { protocol: 1, ...fields });

const request6 = (data: readonly number[], fields: Ipv6Fields = {}, from = CLIENT_6): number[] =>
  ipv6Packet(from, VIP_6, icmpV6Message(from, VIP_6, 128, 0, REST, data), { protocol: 58, ...fields });

/** The frame afterwards; undefined where it was not answered, and then untouched. */
function answer(frame: Uint8Array, ipLength = frame.length - 14): number[] | undefined {
  const view = viewAtEnd(frame, 6);
  if (answerEcho(view, 6, ipLength)) return bytesOf(view, 6);
  assert.deepEqual(bytesOf(view, 6), [...frame]);
  return undefined;
}

const backTo = (type: number, packet: readonly number[]): number[] => [
  ...ethernetFrame(CLIENT_MAC, OWN_MAC, type, packet),
];

const data = fc.array(fc.nat(255), { maxLength: 1472 });

describe('an echo request over IPv4', () => {
  test('is answered, whatever it carries', () => {
    fc.assert(
      fc.property(data, fc.integer({ min: 1, max: 255 }), (bytes, ttl) => {
        const reply = ipv4Packet(VIP_4, CLIENT_4, icmpMessage(0, 0, REST, bytes), { protocol: 1, ttl: 64 });
        assert.deepEqual(answer(frameOf(request4(bytes, { ttl }))), backTo(0x0800, reply));
      }),
    );
  });

  test('is answered where Ethernet has padded the frame', () => {
    const request = request4([1]);
    const reply = ipv4Packet(VIP_4, CLIENT_4, icmpMessage(0, 0, REST, [1]), { protocol: 1, ttl: 64 });
    const padding = [9, 9, 9];
    assert.deepEqual(answer(frameOf([...request, ...padding]), request.length), [...backTo(0x0800, reply), ...padding]);
  });

  for (const [what, packet] of [
    ['with a wrong checksum', request4([1, 2]).with(-1, 99)],
    ['that is a fragment', request4([1, 2], { fragment: 0x2000 })],
    ['with IP options', request4([1, 2], { options: [7, 4, 4, 0] })],
    ['that ends within its header', request4([]).slice(0, 27).with(3, 27)],
    ['from a multicast address', request4([1, 2], {}, '224.0.0.1')],
    ['from broadcast', request4([1, 2], {}, '255.255.255.255')],
    ['from nowhere', request4([1, 2], {}, '0.0.0.0')],
    ['from loopback', request4([1, 2], {}, '127.0.0.1')],
    ['which is a reply', ipv4Packet(CLIENT_4, VIP_4, icmpMessage(0, 0, REST, []), { protocol: 1 })],
    ['of another code', ipv4Packet(CLIENT_4, VIP_4, icmpMessage(8, 1, REST, []), { protocol: 1 })],
    ['that is UDP', request4([1, 2], { protocol: 17 })],
  ] as const) {
    test(`${what} is left alone`, () => assert.equal(answer(frameOf(packet)), undefined));
  }

  test('to or from a group of hosts is left alone', () => {
    assert.equal(answer(ethernetFrame('ff:ff:ff:ff:ff:ff', CLIENT_MAC, 0x0800, request4([1]))), undefined);
    assert.equal(answer(ethernetFrame(OWN_MAC, '01:00:5e:00:00:01', 0x0800, request4([1]))), undefined);
  });
});

describe('an echo request over IPv6', () => {
  test('is answered, whatever it carries', () => {
    fc.assert(
      fc.property(data, fc.integer({ min: 1, max: 255 }), (bytes, hopLimit) => {
        const message = icmpV6Message(VIP_6, CLIENT_6, 129, 0, REST, bytes);
        const reply = ipv6Packet(VIP_6, CLIENT_6, message, { protocol: 58, hopLimit: 64 });
        assert.deepEqual(
          withOneZero(answer(frameOf(request6(bytes, { hopLimit })))),
          withOneZero(backTo(0x86dd, reply)),
        );
      }),
    );
  });

  for (const [what, packet] of [
    ['with a wrong checksum', request6([1, 2]).with(-1, 99)],
    ['behind an extension header', request6([1, 2], { extensions: [[60, [0, 1, 4, 0, 0, 0, 0]]] })],
    ['in a fragment', request6([1, 2], { extensions: [[44, [0, 0, 1, 0, 0, 0, 1]]] })],
    ['that ends within its header', request6([]).slice(0, 47).with(5, 7)],
    ['from a multicast address', request6([1, 2], {}, 'ff02::1')],
    ['from nowhere', request6([1, 2], {}, '::')],
    [
      'which is a reply',
      ipv6Packet(CLIENT_6, VIP_6, icmpV6Message(CLIENT_6, VIP_6, 129, 0, REST, []), { protocol: 58 }),
    ],
  ] as const) {
    test(`${what} is left alone`, () => assert.equal(answer(frameOf(packet)), undefined));
  }
});

/** 0 and 0xffff are the same checksum (RFC 1624, section 3), and an update cannot tell which a sum from the start gives. */
function withOneZero(frame: readonly number[] | undefined): readonly number[] | undefined {
  if (frame === undefined || frame[56] !== 0xff || frame[57] !== 0xff) return frame;
  return frame.with(56, 0).with(57, 0);
}
