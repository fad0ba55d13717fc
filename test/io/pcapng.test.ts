/**
 * pcapng files: byte by byte from the draft, by a reader made of the draft, and by Wireshark's own.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { createPcapngWriter, type PcapngFile, type PcapngPacket } from '../../io/pcapng.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
const path = join(directory, 'out.pcapng');
after(() => rmSync(directory, { recursive: true }));

function write(file: PcapngFile, packets: readonly PcapngPacket[]): Buffer {
  const writer = createPcapngWriter(path, file);
  for (const packet of packets) writer.write(packet);
  writer.close();
  return readFileSync(path);
}

const FILE: PcapngFile = {
  application: 'hushlb',
  comment: '',
  interfaces: [{ name: 'lb', description: 'd' }],
  snapLength: 256,
};
const PACKET: PcapngPacket = {
  interface: 0,
  direction: 'out',
  bytes: Uint8Array.of(0xaa, 0xbb, 0xcc),
  timestampNs: 1694498816_500000001n,
  originalLength: 60,
  comment: 'why',
};

/** By hand from draft-ietf-opsawg-pcapng, sections 4.1 to 4.3. 1694498816500000001 is 0x178411b2_1dcd6501. */
const BYTES = `
  0a0d0d0a 2c000000 4d3c2b1a 0100 0000 ffffffffffffffff
    0400 0600 68757368 6c620000 00000000 2c000000
  01000000 30000000 0100 0000 00010000
    0200 0200 6c620000  0300 0100 64000000  0900 0100 09000000 00000000 30000000
  06000000 38000000 00000000 b2118417 0165cd1d 03000000 3c000000 aabbcc00
    0100 0300 77687900  0200 0400 02000000 00000000 38000000`;

describe('writing', () => {
  test('byte for byte what the draft says', () => {
    const expected = BYTES.replace(/\s/g, '').match(/../g);
    assert.deepEqual(write(FILE, [PACKET]).toString('hex').match(/../g), expected);
  });

  test('an inbound packet without a comment has its flags alone', () => {
    const { comment: _, ...plain } = PACKET;
    const [, , packet] = readBlocks(write(FILE, [{ ...plain, direction: 'in' }]));
    assert.deepEqual(packet.options, [[2, Buffer.of(1, 0, 0, 0)]]);
  });

  test('an interface that is not there is refused, and what was written stays good', () => {
    const writer = createPcapngWriter(path, FILE);
    writer.write(PACKET);
    assert.throws(() => writer.write({ ...PACKET, interface: 1 }), RangeError);
    writer.close();
    assert.equal(readBlocks(readFileSync(path)).length, 3);
  });

  test('a comment that no block can hold is refused, before there is a file where it is the file’s own', () => {
    const long = 'é'.repeat(32768);
    rmSync(path, { force: true });
    const tooLong = { name: 'RangeError', message: 'too long for a capture file: 65536 bytes' };
    assert.throws(() => createPcapngWriter(path, { ...FILE, comment: long }), tooLong);
    assert.equal(existsSync(path), false);
    const writer = createPcapngWriter(path, FILE);
    assert.throws(() => writer.write({ ...PACKET, comment: long }), tooLong);
    writer.write({ ...PACKET, comment: long.slice(1) });
    writer.close();
    assert.equal(readBlocks(readFileSync(path)).length, 3);
  });
});

interface Block {
  readonly type: number;
  readonly body: Buffer;
  readonly options: readonly (readonly [code: number, value: Buffer])[];
}

/** Strictly: every length is a multiple of four and stands at both ends, options end where the block ends. */
function readBlocks(bytes: Buffer): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at < bytes.length; ) {
    const type = bytes.readUInt32LE(at);
    const length = bytes.readUInt32LE(at + 4);
    assert.equal(length % 4, 0);
    assert.equal(bytes.readUInt32LE(at + length - 4), length);
    const content = bytes.subarray(at + 8, at + length - 4);
    const captured = type === 6 ? content.readUInt32LE(12) : 0;
    const bodyLength = { 168627466: 16, 1: 8, 6: 20 + captured + (-captured & 3) }[type];
    assert.ok(bodyLength !== undefined, `block type ${type}`);
    blocks.push({ type, body: content.subarray(0, bodyLength), options: readOptions(content.subarray(bodyLength)) });
    at += length;
  }
  return blocks;
}

function readOptions(bytes: Buffer): [number, Buffer][] {
  const options: [number, Buffer][] = [];
  for (let at = 0; ; ) {
    const [code, length] = [bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2)];
    if (code === 0) {
      assert.equal(at + 4, bytes.length);
      return options;
    }
    options.push([code, bytes.subarray(at + 4, at + 4 + length)]);
    at += 4 + length + (-length & 3);
  }
}

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const name = fc.stringMatching(/^[a-z][a-z0-9]{0,14}$/);
const anyFile = fc
  .uniqueArray(name, { minLength: 1, maxLength: 5 })
  .chain((names) =>
    fc.tuple(
      fc.record({ application: name, comment: text, snapLength: fc.nat(4096) }),
      fc.tuple(...names.map(() => text)),
      fc.array(anyPacket(names.length), { maxLength: 12 }),
      fc.constant(names),
    ),
  )
  .map(([file, descriptions, packets, names]) => ({
    file: { ...file, interfaces: names.map((each, i) => ({ name: each, description: descriptions[i] })) },
    packets,
  }));

function anyPacket(interfaces: number): fc.Arbitrary<PcapngPacket> {
  return fc
    .record({
      interface: fc.nat(interfaces - 1),
      direction: fc.constantFrom('in' as const, 'out' as const),
      bytes: fc.uint8Array({ minLength: 14, maxLength: 300 }),
      // Until 2100.
      timestampNs: fc.bigInt({ min: 0n, max: 4_102_444_800_000_000_000n }),
      cut: fc.nat(2000),
      comment: fc.option(text, { nil: undefined }),
    })
    .map(({ cut, ...packet }) => ({ ...packet, originalLength: packet.bytes.length + cut }));
}

test('any file comes back from a strict reader', () => {
  const property = fc.property(anyFile, ({ file, packets }) => {
    const [section, ...others] = readBlocks(write(file, packets));
    assert.equal(section.type, 0x0a0d0d0a);
    const interfaces = others.filter(({ type }) => type === 1);
    assert.deepEqual(
      interfaces.map(({ options }) => options.find(([code]) => code === 2)?.[1].toString()),
      file.interfaces.map((each) => each.name),
    );
    const read = others.slice(interfaces.length).map(({ type, body, options }) => {
      assert.equal(type, 6);
      const comment = options.find(([code]) => code === 1)?.[1].toString();
      const captured = body.readUInt32LE(12);
      return {
        interface: body.readUInt32LE(0),
        direction: options.find(([code]) => code === 2)?.[1][0] === 1 ? 'in' : 'out',
        timestampNs: (BigInt(body.readUInt32LE(4)) << 32n) | BigInt(body.readUInt32LE(8)),
        bytes: new Uint8Array(body.subarray(20, 20 + captured)),
        originalLength: body.readUInt32LE(16),
        comment: comment ?? '',
      };
    });
    assert.deepEqual(
      read,
      packets.map((packet) => ({
        interface: packet.interface,
        direction: packet.direction,
        timestampNs: packet.timestampNs,
        bytes: packet.bytes,
        originalLength: packet.originalLength,
        comment: packet.comment ?? '',
      })),
    );
  });
  fc.assert(property, { numRuns: 300 });
});

const hasTshark = spawnSync('tshark', ['--version']).status === 0;

test('Wireshark reads any file the same', { skip: !hasTshark && 'needs tshark' }, () => {
  const FIELDS = [
    'interface_id',
    'interface_name',
    'time_epoch',
    'len',
    'cap_len',
    'comment',
    'packet_flags_direction',
  ];
  const property = fc.property(anyFile, ({ file, packets }) => {
    write(file, packets);
    const options = FIELDS.flatMap((field) => ['-e', `frame.${field}`]);
    const { stdout, stderr, status } = spawnSync('tshark', ['-n', '-r', path, '-T', 'json', ...options], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    assert.equal(status, 0, stderr);
    const read = (JSON.parse(stdout) as { _source: { layers: Record<string, string[]> } }[]).map(({ _source }) =>
      FIELDS.map((field) => _source.layers[`frame.${field}`]?.[0] ?? ''),
    );
    const expected = packets.map((packet) => [
      String(packet.interface),
      file.interfaces[packet.interface].name,
      seconds(packet.timestampNs),
      String(packet.originalLength),
      String(packet.bytes.length),
      packet.comment ?? '',
      packet.direction === 'in' ? '0x00000001' : '0x00000002',
    ]);
    assert.deepEqual(read, expected);
  });
  fc.assert(property, { numRuns: 6 });
});

function seconds(ns: bigint): string {
  return `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`;
}
