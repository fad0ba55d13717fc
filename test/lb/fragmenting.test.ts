/** Packets cut and put together again by a naive receiver, and their pieces against packets built one by one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RELEASE, TRANSMIT } from '../../io/device.ts';
import { createMemoryDevice } from '../../io/memory-device.ts';
import { cut } from '../../lb/fragmenting.ts';
import { CLIENT_4, frameOf, VIP_4 } from '../icmp-packets.ts';
import { type Ipv4Fields, ipv4Packet } from '../packets.ts';
import { tcp6Packet } from '../packets6.ts';

const PAYLOAD = Array.from({ length: 3000 }, (_, i) => i % 251);

const packet = (length: number, fields: Ipv4Fields = {}): number[] =>
  ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(0, length), { fragment: 0, protocol: 17, id: 0xbeef, ...fields });

/** The IP packets that leave: one, and unchanged, where nothing was cut. */
function pieces(bytes: readonly number[], largest: number, frameCount = 100): number[][] {
  const device = createMemoryDevice({ frameCount, frameSize: 4096, batchSize: 100 });
  device.inject(frameOf([...bytes, 0xee, 0xee]));
  device.receive(0);
  device.batch.action[0] = TRANSMIT;
  const before = device.batch.count;
  const added = cut(device, 0, bytes.length, largest);
  for (let i = before; added === 0 && i < device.batch.count; i++) assert.equal(device.batch.action[i], RELEASE);
  if (added > 0) assert.equal(device.batch.count, before + added);
  device.send();
  const header = [...frameOf(bytes).subarray(0, 14)];
  for (const frame of device.sent) assert.deepEqual([...frame.subarray(0, 14)], header);
  if (added === 0) assert.deepEqual(device.sent, [frameOf([...bytes, 0xee, 0xee])]);
  return added === 0 ? [[...bytes]] : device.sent.map((frame) => [...frame.subarray(14)]);
}

describe('a packet that is too big and may be cut', () => {
  test('becomes what a sender would have cut', () => {
    assert.deepEqual(pieces(packet(3000), 1480), [
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(0, 1456), { fragment: 0x2000, protocol: 17, id: 0xbeef }),
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(1456, 2912), { fragment: 0x2000 | 182, protocol: 17, id: 0xbeef }),
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(2912), { fragment: 364, protocol: 17, id: 0xbeef }),
    ]);
  });

  test('may be a piece itself, in the middle or the last', () => {
    const common = { protocol: 17, id: 0xbeef };
    assert.deepEqual(pieces(packet(1480, { fragment: 0x2000 | 185 }), 1000), [
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(0, 976), { ...common, fragment: 0x2000 | 185 }),
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(976, 1480), { ...common, fragment: 0x2000 | (185 + 122) }),
    ]);
    assert.deepEqual(
      pieces(packet(1480, { fragment: 185 }), 1000).at(-1),
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(976, 1480), { ...common, fragment: 185 + 122 }),
    );
  });

  test('keeps in later pieces the options that belong into each', () => {
    // Router alert is copied (RFC 2113), record route is not (RFC 791); both in a header of 20 + 12.
    const options = [148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0];
    const later = [148, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0];
    const [first, second] = pieces(packet(1200, { options }), 1000);
    const common = { protocol: 17, id: 0xbeef };
    assert.deepEqual(
      first,
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(0, 968), { ...common, options, fragment: 0x2000 }),
    );
    assert.deepEqual(
      second,
      ipv4Packet(CLIENT_4, VIP_4, PAYLOAD.slice(968, 1200), { ...common, options: later, fragment: 121 }),
    );
  });

  test('is put together again, whatever its size', () => {
    const options = fc.constantFrom<number[]>(
      [],
      [1, 1, 1, 0],
      [148, 3, 0, 7],
      [7, 9, 0, 0],
      [7, 0, 0, 0],
      [1, 1, 1, 7],
    );
    fc.assert(
      fc.property(fc.nat(3000), fc.integer({ min: 68, max: 3100 }), options, (length, largest, list) => {
        const whole = packet(length, { options: list });
        const got = pieces(whole, largest);
        const headerLength = 20 + list.length;
        for (const piece of got) assert.ok(piece.length <= largest);
        const data = got.flatMap((piece) => piece.slice(headerLength));
        assert.deepEqual(data, whole.slice(headerLength));
        let expected = 0;
        for (const [i, piece] of got.entries()) {
          assert.equal(((piece[6] & 0x1f) * 256 + piece[7]) * 8, expected);
          assert.equal((piece[6] & 0x20) !== 0, i < got.length - 1);
          expected += piece.length - headerLength;
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('nothing is cut', () => {
  for (const [what, bytes, largest] of [
    ['where it fits', packet(980), 1000],
    ['with DF', packet(1480, { fragment: 0x4000 }), 1000],
    ['for a path that is none', packet(1480), 67],
    ['of IPv6', tcp6Packet({ payload: 'x'.repeat(1400) }), 1280],
  ] as const) {
    test(what, () => assert.deepEqual(pieces(bytes, largest), [[...bytes]]));
  }

  test('where the device has no frame left for the last piece', () => {
    assert.deepEqual(pieces(packet(3000), 1480, 2), [packet(3000)]);
    assert.equal(pieces(packet(3000), 1480, 3).length, 3);
  });
});
