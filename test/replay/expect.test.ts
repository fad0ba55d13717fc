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
const IPV4 = frame(1).with(12, 0x08).with(13, 0x00);
const IPV6 = frame(1, 60).with(12, 0x86).with(13, 0xdd);

function compare(expected: ReadPacket[], sent: number[][]) {
  const expectation = createExpectation(expected.values());
  for (const bytes of sent) expectation.compare(Uint8Array.from(bytes), `decision ${bytes.length}`);
  const { packets, difference } = expectation.finish();
  return { packets, text: difference?.text, decision: difference?.decision };
}

test('the same packets at other times are no difference', () => {
  const expected = [packet(frame(1), { timestampNs: 5n }), packet(frame(2))];
  assert.deepEqual(compare(expected, [frame(1), frame(2)]), { packets: 2, text: undefined, decision: undefined });
  assert.deepEqual(compare([], []), { packets: 0, text: undefined, decision: undefined });
});

test('the first difference is told, with its place and the option that may be behind it', () => {
  const cases: [of: number[], at: number, place: string][] = [
    [IPV4, 0, ' (destination MAC: --next-hop)'],
    [IPV4, 5, ' (destination MAC: --next-hop)'],
    [IPV4, 6, ' (source MAC: --mac)'],
    [IPV4, 12, ' (EtherType)'],
    [IPV4, 14, ' (IPv4 header)'],
    [IPV4, 26, ' (source address; of a tunnel: --source)'],
    [IPV4, 33, ' (destination address)'],
    [IPV4, 34, ''],
    [IPV6, 13, ' (EtherType)'],
    [IPV6, 21, ' (IPv6 header)'],
    [IPV6, 22, ' (source address; of a tunnel: --source-ipv6)'],
    [IPV6, 38, ' (destination address)'],
    [IPV6, 54, ''],
    [frame(1), 11, ' (source MAC: --mac)'],
    [frame(1), 20, ''],
  ];
  for (const [of, at, place] of cases) {
    const { packets, text, decision } = compare([packet(of), packet(of), packet(of)], [of, of.with(at, 0xab), []]);
    const expected = of[at].toString(16).padStart(2, '0');
    assert.deepEqual(
      [packets, text, decision],
      [3, `sent packet 2: expected 0x${expected} at byte ${at}${place}, found 0xab`, `decision ${of.length}`],
    );
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
    decision: null,
  });
});

test('of an expected packet that was cut, what is there must be the same, and its length', () => {
  const cut = packet(frame(1, 30), { originalLength: 40 });
  assert.equal(compare([cut], [frame(1)]).text, undefined);
  assert.equal(compare([cut], [frame(1).with(35, 0xab)]).text, undefined);
  assert.match(compare([cut], [frame(1).with(29, 0xab)]).text ?? '', /at byte 29/);
  assert.match(compare([cut], [frame(1, 41)]).text ?? '', /expected 40 bytes, found 41/);
});

test('packets that the file marks as received are not expected', () => {
  const expected = [packet(frame(9), { direction: 'in' }), packet(frame(1), { direction: 'out' }), packet(frame(2))];
  assert.deepEqual(compare(expected, [frame(1), frame(2)]), { packets: 2, text: undefined, decision: undefined });
});
