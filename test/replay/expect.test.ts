/** The comparison with an expected capture: the first difference in words, and none where there is none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReadPacket } from '../../io/pcapng-reader.ts';
import { createExpectation } from '../../replay/expect.ts';

const packet = (bytes: number[], more: Partial<ReadPacket> = {}): ReadPacket => ({
  bytes: Uint8Array.from(bytes),
  timestampNs: 0n,
  originalLength: bytes.length,
  direction: undefined,
  ...more,
});
const frame = (fill: number, length = 40): number[] => new Array(length).fill(fill);
const changed = (at: number): number[] => frame(1).with(at, 0xab);

function compare(expected: ReadPacket[], sent: number[][]) {
  const expectation = createExpectation(expected.values());
  for (const bytes of sent) expectation.compare(Uint8Array.from(bytes));
  const { packets, difference } = expectation.finish();
  return { packets, text: difference?.text };
}

test('the same packets at other times are no difference', () => {
  const expected = [packet(frame(1), { timestampNs: 5n }), packet(frame(2))];
  assert.deepEqual(compare(expected, [frame(1), frame(2)]), { packets: 2, text: undefined });
  assert.deepEqual(compare([], []), { packets: 0, text: undefined });
});

test('the first difference is told, with its place and the option that may be behind it', () => {
  const cases: [at: number, place: string][] = [
    [0, ' (destination MAC: --next-hop)'],
    [5, ' (destination MAC: --next-hop)'],
    [6, ' (source MAC: --mac)'],
    [12, ' (EtherType)'],
    [14, ' (IPv4 header)'],
    [26, ' (source address; of a tunnel: --source)'],
    [33, ' (destination address)'],
    [34, ''],
  ];
  for (const [at, place] of cases) {
    const { packets, text } = compare(
      [packet(frame(1)), packet(frame(1)), packet(frame(1))],
      [frame(1), changed(at), []],
    );
    assert.deepEqual([packets, text], [3, `sent packet 2: expected 0x01 at byte ${at}${place}, found 0xab`]);
  }
});

test('lengths, and numbers of packets', () => {
  const [long] = [frame(1, 50)];
  assert.equal(
    compare([packet(long)], [frame(1)]).text,
    'sent packet 1: expected 50 bytes, found 40, alike in the first 40',
  );
  assert.equal(
    compare([packet(frame(1))], [long]).text,
    'sent packet 1: expected 40 bytes, found 50, alike in the first 40',
  );
  assert.equal(compare([], [long]).text, 'sent packet 1: none expected, found one of 50 bytes');
  assert.deepEqual(compare([packet(frame(1)), packet(long), packet(long)], [frame(1)]), {
    packets: 3,
    text: 'sent packet 2: expected one of 50 bytes, found none',
  });
});

test('of an expected packet that was cut, what is there must be the same, and its length', () => {
  const cut = packet(frame(1, 30), { originalLength: 40 });
  assert.equal(compare([cut], [frame(1)]).text, undefined);
  assert.equal(compare([cut], [changed(35)]).text, undefined);
  assert.match(compare([cut], [changed(29)]).text ?? '', /at byte 29/);
  assert.match(compare([cut], [frame(1, 41)]).text ?? '', /expected 40 bytes, found 41/);
});

test('packets that the file marks as received are not expected', () => {
  const expected = [packet(frame(9), { direction: 'in' }), packet(frame(1), { direction: 'out' }), packet(frame(2))];
  assert.deepEqual(compare(expected, [frame(1), frame(2)]), { packets: 2, text: undefined });
});
