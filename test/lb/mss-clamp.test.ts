/** MSS options lowered, and the checksum with them, against segments that were built with the lower MSS. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { clampMss, mssThatFits } from '../../lb/mss-clamp.ts';
import { bytesOf, CLIENT_4, u16, VIP_4, viewAtEnd } from '../icmp-packets.ts';
import { tcpSegment } from '../packets.ts';

const segment = (options: readonly number[], flags = 'S', payload = ''): number[] =>
  tcpSegment(CLIENT_4, VIP_4, { flags, payload, options: padded(options) });

/** Options are whole words; END fills the last. */
function padded(options: readonly number[]): number[] {
  return [...options, ...Array((4 - (options.length % 4)) % 4).fill(0)];
}

/** The bytes afterwards; undefined where nothing changed. */
function clamp(bytes: readonly number[], maxMss: number): number[] | undefined {
  const view = viewAtEnd(bytes, 3);
  const changed = clampMss(view, 3, (bytes[12] >> 4) * 4, maxMss);
  assert.equal(changed, !bytesOf(view, 3).every((byte, i) => byte === bytes[i]));
  return changed ? bytesOf(view, 3) : undefined;
}

const mss = (value: number): number[] => [2, 4, ...u16(value)];

test('what fits a packet, less both headers', () => {
  assert.deepEqual([mssThatFits(1480, false), mssThatFits(1460, true)], [1440, 1400]);
  assert.deepEqual([mssThatFits(0, false), mssThatFits(-1, true)], [0, 0]);
});

describe('the MSS of a SYN', () => {
  const before = fc.constantFrom([], [1], [1, 1], [1, 1, 1], [4, 2], [3, 3, 7], [8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
  test('is lowered wherever it stands, at odd places too', () => {
    fc.assert(
      fc.property(before, before, fc.nat(65535), fc.integer({ min: 1, max: 65535 }), (left, right, value, max) => {
        const expected = value > max ? segment([...left, ...mss(max), ...right], 'S', 'early') : undefined;
        assert.deepEqual(clamp(segment([...left, ...mss(value), ...right], 'S', 'early'), max), expected);
      }),
    );
  });

  test('is lowered in each of several options, and in a SYN with other flags', () => {
    assert.deepEqual(clamp(segment([...mss(1460), 1, ...mss(9000)]), 1400), segment([...mss(1400), 1, ...mss(1400)]));
    assert.deepEqual(clamp(segment(mss(1460), 'SA'), 1400), segment(mss(1400), 'SA'));
  });

  for (const [what, bytes] of [
    ['with none', segment([])],
    ['without SYN', segment(mss(1460), 'A')],
    ['behind the end of the options', segment([0, 1, 1, 1, ...mss(1460)])],
    ['whose length is wrong', segment([2, 3, 5, 1, 1, 1, 1, 1])],
    ['whose length is longer', segment([2, 6, 5, 180, 0, 0])],
    ['before an option of length 0', segment([...mss(1460), 3, 0, 0, 0])],
    ['before an option of length 1', segment([...mss(1460), 3, 1, 0, 0])],
    ['before one that reaches too far', segment([...mss(1460), 1, 1, 8, 10])],
    ['before one without a length', segment([...mss(1460), 1, 1, 1, 8])],
    ['that is cut off', segment([1, 1, 1, 1, 1, 1, 2, 4])],
  ] as const) {
    test(`${what} is left alone`, () => assert.equal(clamp(bytes, 1400), undefined));
  }

  test('is left alone where nothing fits', () => assert.equal(clamp(segment(mss(1460)), 0), undefined));
});
