/** Netlink messages: well-formed ones, and bytes that only look like them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { SystemCallError } from '../../io/ffi.ts';
import { inNamespace } from '../../io/namespace.ts';
import {
  attribute,
  dump,
  readAddress,
  readAttributes,
  readMessages,
  readText,
  readU32,
  request,
} from '../../io/netlink.ts';
import { makeTwoHosts, needsRoot, openDescriptors, type TwoHosts } from './two-hosts.ts';

describe('attributes', () => {
  test('known bytes: IFLA_MTU and IFLA_IFNAME as the kernel writes them', () => {
    const bytes = Buffer.from('08000400dc050000' + '0700030065746800' + '0500110001000000', 'hex');
    const attributes = readAttributes(bytes);
    assert.deepEqual([...attributes.keys()], [4, 3, 17]);
    assert.equal(readU32(attributes, 4), 1500);
    assert.equal(readText(attributes, 3), 'eth');
    assert.equal(readU32(attributes, 17), undefined, 'one byte is no u32');
    assert.equal(readU32(attributes, 5), undefined);
    assert.equal(attribute(4, Uint8Array.of(0xdc, 5, 0, 0)).toString('hex'), '08000400dc050000');
    assert.equal(attribute(17, Uint8Array.of(1)).toString('hex'), '0500110001000000');
  });

  test('flag bits of the type (NLA_F_NESTED, NLA_F_NET_BYTEORDER) are not part of it', () => {
    assert.deepEqual([...readAttributes(Buffer.from('04001280' + '04001340', 'hex')).keys()], [0x12, 0x13]);
  });

  test('an address is 4 or 16 bytes and outlives the buffer', () => {
    const bytes = Buffer.concat([attribute(1, Uint8Array.of(198, 18, 0, 1)), attribute(2, Uint8Array.of(1, 2, 3))]);
    const attributes = readAttributes(bytes);
    const address = readAddress(attributes, 1);
    bytes.fill(0);
    assert.deepEqual(address, Uint8Array.of(198, 18, 0, 1));
    assert.equal(readAddress(attributes, 2), undefined);
  });

  const written = fc.uniqueArray(fc.tuple(fc.nat(0x3fff), fc.uint8Array({ maxLength: 40 })), {
    maxLength: 12,
    selector: ([type]) => type,
  });

  test('what was written is read, and of a cut buffer those that are whole', () => {
    const property = fc.property(written, fc.nat(600), (list, cut) => {
      const pieces = list.map(([type, payload]) => {
        // Built the naive way, not by attribute().
        const length = payload.length + 4;
        return [length & 255, length >> 8, type & 255, type >> 8, ...payload, ...Array((4 - (length % 4)) % 4).fill(0)];
      });
      const bytes = Buffer.from(pieces.flat());
      const end = Math.min(cut, bytes.length);
      let offset = 0;
      const whole = list.filter(([, payload], i) => {
        const fits = offset + 4 + payload.length <= end;
        offset += pieces[i].length;
        return fits;
      });
      const read = [...readAttributes(bytes.subarray(0, end))].map(([type, payload]) => [
        type,
        Uint8Array.from(payload),
      ]);
      assert.deepEqual(read, whole);
      assert.deepEqual(Buffer.concat(list.map(([type, payload]) => attribute(type, payload))), bytes);
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('a length shorter than its own header stops the walk', () => {
    for (const length of [0, 1, 2, 3]) {
      const bytes = Buffer.from([4, 0, 9, 0, length, 0, 8, 0, 4, 0, 7, 0]);
      assert.deepEqual([...readAttributes(bytes).keys()], [9]);
    }
    for (const length of [0, 15]) assert.deepEqual(readMessages(Buffer.alloc(32, Buffer.of(length, 0, 0, 0))), []);
  });

  test('no bytes make the walks throw or leave the buffer', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      // Small numbers are likelier to be lengths that fit.
      fc
        .array(fc.constantFrom(0, 0, 0, 1, 4, 5, 8, 16, 20, 32), { maxLength: 100, size: 'max' })
        .map((list) => Uint8Array.from(list)),
    );
    const property = fc.property(bytes, fc.nat(8), (input, offset) => {
      const around = Buffer.alloc(input.length + 64, 0xff);
      around.set(input, 32);
      const buffer = around.subarray(32, 32 + input.length);
      const inside = (part: Buffer) =>
        part.byteOffset >= buffer.byteOffset && part.byteOffset + part.length <= buffer.byteOffset + buffer.length;
      const attributes = readAttributes(buffer, offset);
      for (const [type, payload] of attributes) {
        assert.ok(inside(payload));
        readU32(attributes, type);
        readText(attributes, type);
        readAddress(attributes, type);
      }
      for (const { body } of readMessages(buffer)) assert.ok(inside(body));
    });
    fc.assert(property, { numRuns: 2000 });
  });
});

test('messages: two whole ones and the beginning of a third', () => {
  const header = (length: number, type: number) => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(length, 0);
    bytes.writeUInt16LE(type, 4);
    bytes.writeUInt16LE(0x12, 6);
    bytes.writeUInt32LE(7, 8);
    return bytes;
  };
  const bytes = Buffer.concat([header(18, 20), Buffer.from('abcd'), header(16, 3), header(20, 4)]);
  assert.deepEqual(
    readMessages(bytes).map(({ type, flags, sequence, body }) => ({ type, flags, sequence, body: body.toString() })),
    [
      { type: 20, flags: 0x12, sequence: 7, body: 'ab' },
      { type: 3, flags: 0x12, sequence: 7, body: '' },
    ],
  );
});

describe('requests', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  before(() => {
    hosts = makeTwoHosts();
  });
  after(() => hosts.remove());

  test("the kernel's refusal is a SystemCallError with its words, and no descriptor is left", () => {
    const RTM_NEWNEIGH = 28;
    const count = openDescriptors();
    inNamespace(hosts.left, () => {
      assert.throws(
        () => request('RTM_NEWNEIGH', RTM_NEWNEIGH, 0, Buffer.alloc(12)),
        (error) =>
          error instanceof SystemCallError &&
          error.code === 'EINVAL' &&
          error.message === 'RTM_NEWNEIGH: EINVAL (Network address not specified)',
      );
      assert.throws(() => dump('type 9999', 9999, Buffer.alloc(16)), { message: 'type 9999: ENOTSUP' });
    });
    assert.equal(openDescriptors(), count);
  });
});
