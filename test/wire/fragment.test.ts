/** Pieces of datagrams told from whole packets and from what no sender cuts, against packets built byte by byte. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fragment from '../../wire/fragment.ts';
import { CLIENT_4, CLIENT_6, frameOf, u16, u32, VIP_4, VIP_6, viewAtEnd } from '../icmp-packets.ts';
import { type Ipv4Fields, ipv4Packet } from '../packets.ts';
import { type Ipv6Fields, ipv6Packet } from '../packets6.ts';

const MORE = 0x2000;

/** The answer; for fragments with the identification, the key's protocol, and where layer 4 starts in the packet. */
function read(packet: readonly number[]): number | number[] {
  const facts = fragment.createFragmentFacts();
  const answer = fragment.readFragment(viewAtEnd(frameOf(packet), 5), 5, packet.length, facts);
  if (answer !== fragment.FIRST_FRAGMENT && answer !== fragment.LATER_FRAGMENT) return answer;
  const { FRAGMENT_ID, FRAGMENT_KEY, FRAGMENT_L4 } = fragment;
  return [answer, facts[FRAGMENT_ID] >>> 0, facts[FRAGMENT_KEY], facts[FRAGMENT_L4] - 19];
}

const read4 = (place: number, length: number, fields: Ipv4Fields = {}) =>
  read(ipv4Packet(CLIENT_4, VIP_4, Array(length).fill(0xa5), { fragment: place, protocol: 17, id: 0xfedc, ...fields }));

type Extension = readonly [number: number, rest: readonly number[]];
const OPTIONS: Extension = [60, [0, 1, 4, 0, 0, 0, 0]];
const AUTHENTICATION: Extension = [51, [4, 0, 0, ...Array(20).fill(1)]];
const fragmentHeader = (place: number): Extension => [44, [0, ...u16(place), ...u32(0xfedc_ba98)]];

const read6 = (extensions: readonly Extension[], length: number, fields: Ipv6Fields = {}) =>
  read(ipv6Packet(CLIENT_6, VIP_6, Array(length).fill(0xa5), { protocol: 17, extensions, ...fields }));

describe('a piece of an IPv4 datagram', () => {
  test('whole, with DF or without, it is none', () => {
    assert.deepEqual([read4(0x4000, 8), read4(0, 8), read4(0x8000, 8)], [0, 0, 0]);
  });

  test('first, with ports behind the options', () => {
    assert.deepEqual(read4(MORE, 16), [fragment.FIRST_FRAGMENT, 0xfedc, 17, 20]);
    assert.deepEqual(read4(MORE, 16, { options: [1, 1, 1, 0] }), [fragment.FIRST_FRAGMENT, 0xfedc, 17, 24]);
  });

  test('later, in the middle and last', () => {
    assert.deepEqual(read4(MORE | 185, 16), [fragment.LATER_FRAGMENT, 0xfedc, 17, 20]);
    assert.deepEqual(read4(185, 3, { protocol: 6 }), [fragment.LATER_FRAGMENT, 0xfedc, 6, 20]);
  });

  for (const [what, answer] of [
    ['not the last, and no multiple of eight', read4(MORE, 15)],
    ['first and empty', read4(MORE, 0)],
    ['last and empty', read4(185, 0)],
    ['first, with half a TCP header', read4(MORE, 16, { protocol: 6 })],
    ['later, over the flags of a TCP header', read4(2, 16, { protocol: 6 })],
    ['beyond 65,535 bytes', read4(0x1fff, 8)],
  ] as const) {
    test(`bad: ${what}`, () => assert.equal(answer, fragment.BAD_FRAGMENT));
  }

  test('the last byte that a datagram can have is good, the next is not', () => {
    // 20 of header, 8189 times eight in front, and 3.
    assert.notEqual(read4(8189, 3), fragment.BAD_FRAGMENT);
    assert.equal(read4(8189, 4), fragment.BAD_FRAGMENT);
  });
});

describe('a piece of an IPv6 packet', () => {
  test('whole, and the atomic fragment that is none', () => {
    assert.deepEqual([read6([], 8), read6([OPTIONS], 8), read6([fragmentHeader(0)], 8)], [0, 0, 0]);
  });

  test('first, with other headers before and behind', () => {
    assert.deepEqual(read6([fragmentHeader(1)], 8), [fragment.FIRST_FRAGMENT, 0xfedc_ba98, 44, 48]);
    assert.deepEqual(read6([OPTIONS, AUTHENTICATION, fragmentHeader(1), OPTIONS], 8), [
      fragment.FIRST_FRAGMENT,
      0xfedc_ba98,
      44,
      40 + 8 + 24 + 8 + 8,
    ]);
  });

  test('later: the same key', () => {
    assert.deepEqual(read6([OPTIONS, fragmentHeader(0x0509)], 16), [fragment.LATER_FRAGMENT, 0xfedc_ba98, 44, 56]);
    assert.deepEqual(read6([fragmentHeader(0x0508)], 3), [fragment.LATER_FRAGMENT, 0xfedc_ba98, 44, 48]);
  });

  for (const [what, answer] of [
    ['not the last, and no multiple of eight', read6([fragmentHeader(1)], 15)],
    ['last and empty', read6([fragmentHeader(0x0508)], 0)],
    ['first, with half a TCP header', read6([fragmentHeader(1)], 16, { protocol: 6 })],
    ['later, over the flags of a TCP header', read6([fragmentHeader(0x10)], 8, { protocol: 6 })],
    ['beyond 65,535 bytes', read6([fragmentHeader(0xfff8)], 8)],
    ['of a piece', read6([fragmentHeader(1), fragmentHeader(1)], 8)],
  ] as const) {
    test(`bad: ${what}`, () => assert.equal(answer, fragment.BAD_FRAGMENT));
  }
});
