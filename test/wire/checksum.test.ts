/** The Internet checksum against the examples of RFC 1071 and RFC 1624, and both ways of computing it against each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checksum, fold, sumWords, updateChecksum } from '../../wire/checksum.ts';
import { internetChecksum } from '../packets.ts';

const viewOf = (bytes: ArrayLike<number>): DataView => new DataView(Uint8Array.from(bytes).buffer);

test('RFC 1071, section 3: the words 0001 f203 f4f5 f6f7 sum up to ddf2', () => {
  const view = viewOf([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
  assert.equal(sumWords(view, 0, 8, 0), 0x2ddf0);
  assert.equal(fold(sumWords(view, 0, 8, 0)), 0xddf2);
  assert.equal(checksum(view, 0, 8), 0x220d);
});

test('RFC 1624, section 4: dd2f becomes 0000 when 5555 becomes 3285', () => {
  assert.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
});

test('any bytes, odd numbers of them too', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 1500 }), (bytes) => {
      assert.equal(checksum(viewOf(bytes), 0, bytes.length), internetChecksum([...bytes]));
    }),
  );
});

test('an update is the same as computing anew', () => {
  const word = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(fc.array(word, { minLength: 2, maxLength: 20 }), word, (words, changed) => {
      const bytesOf = (list: number[]) => list.flatMap((value) => [value >> 8, value & 255]);
      const before = internetChecksum(bytesOf([1, ...words]));
      const after = internetChecksum(bytesOf([1, changed, ...words.slice(1)]));
      assert.equal(updateChecksum(before, words[0], changed), after);
    }),
  );
});
