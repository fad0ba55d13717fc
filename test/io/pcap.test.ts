/** Capture files in all four magics, round trips, and files that lie. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { memorySource } from '../../io/byte-source.ts';
import { createPcapWriter, PcapError, type PcapPacket, readPcap } from '../../io/pcap.ts';

/** By hand from draft-ietf-opsawg-pcap: 3 of 60 bytes at 0x65000000.5 s, 1 of 1 byte 1.000001 s after 0x65000000. */
const FILES = {
  'little-endian, microseconds': `d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000
    00000065 20a10700 03000000 3c000000 aabbcc
    01000065 01000000 01000000 01000000 dd`,
  'big-endian, microseconds': `a1b2c3d4 0002 0004 00000000 00000000 00040000 00000001
    65000000 0007a120 00000003 0000003c aabbcc
    65000001 00000001 00000001 00000001 dd`,
  'little-endian, nanoseconds': `4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000
    00000065 0065cd1d 03000000 3c000000 aabbcc
    01000065 e8030000 01000000 01000000 dd`,
  'big-endian, nanoseconds': `a1b23c4d 0002 0004 00000000 00000000 00040000 00000001
    65000000 1dcd6500 00000003 0000003c aabbcc
    65000001 000003e8 00000001 00000001 dd`,
};
type FileName = keyof typeof FILES;
const fileOf = (name: FileName) => new Uint8Array(Buffer.from(FILES[name].replace(/\s/g, ''), 'hex'));
const PACKETS: PcapPacket[] = [
  { bytes: Uint8Array.of(0xaa, 0xbb, 0xcc), timestampNs: 1694498816_500000000n, originalLength: 60 },
  { bytes: Uint8Array.of(0xdd), timestampNs: 1694498817_000001000n, originalLength: 1 },
];

const read = (bytes: Uint8Array) => [...readPcap(memorySource('some.pcap', bytes))];

describe('reading', () => {
  for (const name of Object.keys(FILES) as FileName[]) {
    test(name, () => assert.deepEqual(read(fileOf(name)), PACKETS));
  }

  test('a file without packets', () => {
    assert.deepEqual(read(fileOf('big-endian, microseconds').subarray(0, 24)), []);
  });

  test('a link type with FCS bits is still Ethernet', () => {
    const bytes = fileOf('little-endian, microseconds');
    bytes[23] = 0x44; // FCS length 4, P bit
    assert.equal(read(bytes).length, 2);
  });

  const wrong: [what: string, change: (bytes: Uint8Array) => Uint8Array | undefined, message: string][] = [
    ['nothing', () => new Uint8Array(), 'some.pcap: too short for a capture: 0 bytes (at byte 0)'],
    ['a cut file header', (b) => b.subarray(0, 23), 'some.pcap: too short for a capture: 23 bytes (at byte 0)'],
    [
      'text',
      () => Buffer.from('interface: eth0\nio: af-xdp\n'),
      'some.pcap: neither a pcap nor a pcapng file: it starts with 0x696e7465 (at byte 0)',
    ],
    [
      'a compressed file',
      (b) => void b.set([0x1f, 0x8b, 0x08, 0x00]),
      'some.pcap: compressed with gzip: decompress it first (at byte 0)',
    ],
    ['another version', (b) => void b.set([3], 4), 'some.pcap: pcap version 3 is not read, only 2 (at byte 4)'],
    [
      'capture on any',
      (b) => void b.set([113], 20),
      'some.pcap: link type 113 (Linux cooked, of the device "any") is not read, only Ethernet (1): capture on one Ethernet interface (at byte 20)',
    ],
    [
      'a cut packet header',
      (b) => b.subarray(0, 43 + 15),
      'some.pcap: the file ends inside a packet header (at byte 43)',
    ],
    [
      'a cut packet',
      (b) => b.subarray(0, 24 + 16 + 2),
      'some.pcap: the file ends inside a packet: 3 bytes expected, 2 left (at byte 24)',
    ],
    [
      'a huge packet',
      (b) => void b.set([1, 0, 4, 0], 24 + 8),
      'some.pcap: damaged packet header: 262145 bytes, 500000000 ns past the second (at byte 24)',
    ],
    [
      'a huge fraction',
      (b) => void b.set([0x40, 0x42, 0x0f, 0], 43 + 4),
      'some.pcap: damaged packet header: 1 bytes, 1000000000 ns past the second (at byte 43)',
    ],
  ];
  for (const [what, change, message] of wrong) {
    test(`${what} is refused with the place`, () => {
      const bytes = fileOf('little-endian, microseconds');
      assert.throws(() => read(change(bytes) ?? bytes), { name: 'PcapError', code: 'PCAP_INVALID', message });
    });
  }

  test('packets in front of the damage are read', () => {
    const packets = readPcap(memorySource('some.pcap', fileOf('big-endian, nanoseconds').subarray(0, 50)));
    assert.deepEqual(packets.next().value, PACKETS[0]);
    assert.throws(() => packets.next(), PcapError);
  });

  test('no bytes make it throw anything but a one-line PcapError, or leave the file', () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(...(Object.keys(FILES) as FileName[])),
        fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 }),
        fc.nat(70),
      )
      .map(([name, changes, end]) => {
        const bytes = fileOf(name);
        for (const [offset, value] of changes) if (offset < bytes.length) bytes[offset] = value;
        return bytes.subarray(0, end);
      });
    const property = fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      try {
        for (const packet of readPcap(memorySource('some.pcap', bytes))) {
          assert.ok(packet.bytes.byteOffset >= bytes.byteOffset + 40);
          assert.ok(packet.bytes.byteOffset + packet.bytes.length <= bytes.byteOffset + bytes.length);
        }
      } catch (error) {
        assert.ok(error instanceof PcapError, `${error}`);
        assert.match(error.message, /^some\.pcap: [^\n]+ \(at byte \d+\)$/);
        assert.ok(error.offset <= bytes.length);
      }
    });
    fc.assert(property, { numRuns: 3000 });
  });
});

describe('writing', () => {
  let directory: string;
  let path: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    path = join(directory, 'out.pcap');
  });
  after(() => rmSync(directory, { recursive: true }));

  function write(packets: readonly PcapPacket[]): Uint8Array {
    const writer = createPcapWriter(path);
    for (const packet of packets) writer.write(packet);
    writer.close();
    return new Uint8Array(readFileSync(path));
  }

  test('byte for byte the little-endian nanosecond file', () => {
    assert.deepEqual(write(PACKETS), fileOf('little-endian, nanoseconds'));
  });

  test('round trips, over the write buffer too', () => {
    const length = fc.oneof(fc.nat(100), fc.constantFrom(65536, 200_000)); // bytes would make unreadable counterexamples
    const row = fc.tuple(length, fc.bigInt({ min: 0n, max: 0xffff_ffffn * 1_000_000_000n }), fc.nat());
    const property = fc.property(fc.array(row, { maxLength: 8 }), (rows) => {
      const packets = rows.map(([size, timestampNs, originalLength], i) => ({
        bytes: Uint8Array.from({ length: size }, (_, at) => (at * 31 + i) & 255),
        timestampNs,
        originalLength,
      }));
      assert.ok(isDeepStrictEqual(read(write(packets)), packets));
    });
    fc.assert(property, { numRuns: 100 });
  });

  test('a path that cannot be written is an error of node:fs', () => {
    assert.throws(() => createPcapWriter(join(directory, 'missing', 'out.pcap')), { code: 'ENOENT' });
  });
});
