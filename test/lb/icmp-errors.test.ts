/** The flow that an ICMP error is about, found in quotes that were built byte by byte, whole and cut, honest and not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as errors from '../../lb/icmp-errors.ts';
import {
  CLIENT_4,
  CLIENT_6,
  error4,
  error6,
  frameOf,
  icmpMessage,
  ROUTER_4,
  ROUTER_6,
  VIP_4,
  VIP_6,
  viewAtEnd,
} from '../icmp-packets.ts';
import { type Ipv4Fields, ipv4Packet, tcpSegment } from '../packets.ts';
import { type Ipv6Fields, ipv6Packet, udpDatagram } from '../packets6.ts';

const SEGMENT = tcpSegment(VIP_4, CLIENT_4, { sourcePort: 80, destinationPort: 40000 });
const DATAGRAM = udpDatagram(VIP_6, CLIENT_6, { sourcePort: 53, destinationPort: 40000 });

const quoted4 = (fields: Ipv4Fields = {}, payload = SEGMENT): number[] => ipv4Packet(VIP_4, CLIENT_4, payload, fields);
const quoted6 = (fields: Ipv6Fields = {}, payload = DATAGRAM): number[] =>
  ipv6Packet(VIP_6, CLIENT_6, payload, { protocol: 17, ...fields });

/** The answer, or what was found: protocol, and the ports that stand at the place named. */
function find(packet: readonly number[], outerHeader: number): number | number[] {
  const view = viewAtEnd(frameOf(packet));
  const quote = errors.createQuote();
  const answer = errors.findQuote(view, 0, packet.length, 14 + outerHeader, quote);
  if (answer !== errors.QUOTE_OF_FLOW) return answer;
  assert.equal(quote[errors.QUOTED_IP], 14 + outerHeader + 8);
  const l4 = quote[errors.QUOTED_L4];
  return [quote[errors.QUOTED_PROTOCOL], view.getUint16(l4), view.getUint16(l4 + 2)];
}

const find4 = (quoted: readonly number[], type = 3, code = 4) => find(error4(type, code, quoted), 20);
const find6 = (quoted: readonly number[], type = 2, code = 0) => find(error6(type, code, quoted), 40);

describe('an ICMP error', () => {
  for (const [type, code] of [
    [3, 4],
    [3, 1],
    [11, 0],
    [12, 0],
  ]) {
    test(`of type ${type} code ${code} is about the quoted flow`, () => {
      assert.deepEqual(find4(quoted4(), type, code), [6, 80, 40000]);
    });
  }

  test('with eight bytes of layer 4 has enough, with seven it has not', () => {
    assert.deepEqual(find4(quoted4().slice(0, 28)), [6, 80, 40000]);
    assert.equal(find4(quoted4().slice(0, 27)), errors.QUOTE_TRUNCATED);
    assert.equal(find4(quoted4().slice(0, 19)), errors.QUOTE_TRUNCATED);
    assert.equal(find4([]), errors.QUOTE_TRUNCATED);
  });

  test('may quote IP options, and be in a packet that has some itself', () => {
    assert.deepEqual(find4(quoted4({ options: [1, 1, 1, 0] })), [6, 80, 40000]);
    const options = [1, 1, 1, 0];
    const error = ipv4Packet(ROUTER_4, VIP_4, icmpMessage(3, 4, [0, 0, 0, 0], quoted4()), { protocol: 1, options });
    assert.deepEqual(find(error, 24), [6, 80, 40000]);
  });

  test('about UDP, and about the first of several fragments', () => {
    assert.deepEqual(find4(quoted4({ protocol: 17, fragment: 0x2000 })), [17, 80, 40000]);
  });

  test('about a later fragment has no ports', () => {
    assert.equal(find4(quoted4({ fragment: 0x2001 })), errors.QUOTE_WITHOUT_PORTS);
    assert.equal(find4(quoted4({ fragment: 0x00b9 })), errors.QUOTE_WITHOUT_PORTS);
  });

  test('that quotes ICMP, or a protocol without ports', () => {
    assert.equal(find4(quoted4({ protocol: 1 })), errors.QUOTE_OF_ICMP);
    assert.equal(find4(quoted4({ protocol: 47 })), errors.QUOTE_NOT_ABOUT_FLOW);
  });

  test('that quotes what the VIP never sent', () => {
    assert.equal(find4(ipv4Packet(CLIENT_4, VIP_4, SEGMENT, {})), errors.QUOTE_DAMAGED);
    assert.equal(find4(quoted4({ version: 6 })), errors.QUOTE_DAMAGED);
    assert.equal(find4(quoted4({ ihl: 4 })), errors.QUOTE_DAMAGED);
    assert.equal(find4(quoted4({ totalLength: 19 })), errors.QUOTE_DAMAGED);
    assert.equal(find4(quoted4({ ihl: 15 })), errors.QUOTE_DAMAGED);
    assert.equal(find4(quoted6()), errors.QUOTE_DAMAGED);
  });

  test('of a type that no backend acts on', () => {
    for (const type of [0, 4, 5, 8, 13, 255]) assert.equal(find4(quoted4(), type), errors.QUOTE_NOT_ABOUT_FLOW);
  });
});

describe('an ICMPv6 error', () => {
  const fragment = (place: number): readonly (readonly [number, readonly number[]])[] => [
    [44, [0, place >> 8, place & 255, 1, 2, 3, 4]],
  ];

  for (const type of [1, 2, 3, 4]) {
    test(`of type ${type} is about the quoted flow`, () => {
      assert.deepEqual(find6(quoted6(), type), [17, 53, 40000]);
    });
  }

  test('with eight bytes of layer 4 has enough, with seven it has not', () => {
    assert.deepEqual(find6(quoted6().slice(0, 48)), [17, 53, 40000]);
    assert.equal(find6(quoted6().slice(0, 47)), errors.QUOTE_TRUNCATED);
    assert.equal(find6(quoted6().slice(0, 39)), errors.QUOTE_TRUNCATED);
  });

  test('may quote extension headers, and stand behind some itself', () => {
    const extensions = [
      [0, [0, 1, 4, 0, 0, 0, 0]],
      [60, [0, 1, 4, 0, 0, 0, 0]],
    ] as const;
    assert.deepEqual(find6(quoted6({ extensions })), [17, 53, 40000]);
    assert.deepEqual(find(error6(2, 0, quoted6(), { extensions }), 56), [17, 53, 40000]);
  });

  test('about fragments: the first has ports, a later one has none', () => {
    assert.deepEqual(find6(quoted6({ extensions: fragment(1) })), [17, 53, 40000]);
    assert.equal(find6(quoted6({ extensions: fragment(0x0508) })), errors.QUOTE_WITHOUT_PORTS);
  });

  test('that quotes ICMPv6, or what the VIP never sent', () => {
    assert.equal(find6(quoted6({ protocol: 58 })), errors.QUOTE_OF_ICMP);
    assert.equal(find6(ipv6Packet(ROUTER_6, CLIENT_6, DATAGRAM, { protocol: 17 })), errors.QUOTE_DAMAGED);
    assert.equal(find6(quoted4()), errors.QUOTE_DAMAGED);
    assert.equal(find6(quoted6({ extensions: Array(9).fill([60, [0, 1, 4, 0, 0, 0, 0]]) })), errors.QUOTE_DAMAGED);
  });

  test('of a type that no backend acts on', () => {
    for (const type of [0, 5, 100, 128, 135]) assert.equal(find6(quoted6(), type), errors.QUOTE_NOT_ABOUT_FLOW);
  });
});
