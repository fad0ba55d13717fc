/** Captures of both kinds through the window of a file, and any bytes at all. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { openFileSource } from '../../io/byte-source.ts';
import { readCapture } from '../../io/capture-reader.ts';
import { createPcapWriter, PcapError } from '../../io/pcap.ts';
import { createPcapngWriter } from '../../io/pcapng.ts';
import { pcapngIn } from './pcapng-bytes.ts';
import { ORDERS, read, readFile } from './read-captures.ts';
import { openDescriptors } from './two-hosts.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(directory, { recursive: true }));

test('a pcap file names no interface', () => {
  assert.throws(() => read(Buffer.from('d4c3b2a1', 'hex'), 'eth0'), {
    message: 'some.pcapng: only pcapng files name their interfaces, and this is none (at byte 0)',
  });
});

test('what our writers write comes back from a file, in windows of any fill', () => {
  const anyPackets = fc.array(
    fc.record({
      timestampNs: fc.bigInt({ min: 0n, max: (1n << 32n) * 1_000_000_000n - 1n }),
      bytes: fc.oneof(
        fc.uint8Array({ maxLength: 100 }),
        fc.integer({ min: 60_000, max: 140_000 }).map((length) => new Uint8Array(length).fill(length)),
      ),
      cut: fc.nat(2000),
      direction: fc.constantFrom('in' as const, 'out' as const),
      comment: fc.string({ maxLength: 300 }),
    }),
    { maxLength: 8 },
  );
  const property = fc.property(anyPackets, (rows) => {
    const packets = rows.map(({ cut, ...row }) => ({ ...row, interface: 0, originalLength: row.bytes.length + cut }));
    const pcapng = join(directory, 'out.pcapng');
    const pcap = join(directory, 'out.pcap');
    const head = { application: 'test', comment: '', interfaces: [{ name: 'lb' }], snapLength: 0 };
    const writers = [createPcapngWriter(pcapng, head), createPcapWriter(pcap)];
    for (const packet of packets) for (const writer of writers) writer.write(packet);
    for (const writer of writers) writer.close();
    for (const path of [pcapng, pcap]) {
      const expected = packets.map(({ bytes, timestampNs, originalLength, direction }) => ({
        bytes,
        timestampNs,
        originalLength,
        direction: path === pcapng ? direction : undefined,
      }));
      const source = openFileSource(path);
      const back = Array.from(readCapture(source), (packet) => ({ ...packet, bytes: packet.bytes.slice() }));
      source.close();
      // assert would compare the bytes one by one
      assert.ok(isDeepStrictEqual(back, expected));
    }
  });
  fc.assert(property, { numRuns: 40 });
});

test('no bytes make it throw anything but a one-line PcapError', () => {
  const files = ORDERS.map((order) => {
    const b = pcapngIn(order);
    return Buffer.concat([
      b.section(),
      b.interface([b.option(2, 'eth0'), b.option(9, Uint8Array.of(9)), b.option(14, b.u64(1n))]),
      b.packet({ ticks: 1n, bytes: [1, 2, 3, 4, 5], options: [b.option(1, 'why'), b.option(2, b.u32(1))] }),
      b.block(3, b.u32(4), Uint8Array.of(1, 2, 3, 4)),
      b.block(2, b.u16(0, 0), b.u32(0, 9, 2, 44), Uint8Array.of(8, 9, 0, 0)),
      b.block(99, Buffer.alloc(8)),
    ]);
  });
  const longest = Math.max(...files.map(({ length }) => length));
  const mutated = fc
    .tuple(
      fc.constantFrom(...files),
      fc.array(fc.tuple(fc.nat(longest), fc.constantFrom(0, 1, 2, 4, 6, 127, 128, 255)), { maxLength: 6 }),
      fc.nat(longest),
      fc.boolean(),
    )
    .map(([file, changes, end, isCut]) => {
      const bytes = Buffer.from(file);
      for (const [offset, value] of changes) if (offset < bytes.length) bytes[offset] = value;
      return isCut ? bytes.subarray(0, end) : bytes;
    });
  let whole = 0;
  const property = fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
    try {
      for (const packet of read(bytes)) {
        assert.ok(packet.bytes.byteOffset >= bytes.byteOffset);
        assert.ok(packet.bytes.byteOffset + packet.bytes.length <= bytes.byteOffset + bytes.length);
        assert.ok(packet.timestampNs >= 0n && packet.timestampNs < 1n << 64n);
      }
      whole++;
    } catch (error) {
      assert.ok(error instanceof PcapError, `${error}`);
      assert.match(error.message, /^some\.pcapng: [^\n]+ \(at byte \d+\)$/);
      assert.ok(error.offset <= bytes.length);
    }
  });
  fc.assert(property, { numRuns: 10_000 });
  assert.ok(whole > 100, `${whole} were good all the same`);
});

test('a lie about a length takes no memory', () => {
  const b = pcapngIn('little-endian');
  const liar = Buffer.concat([b.section(), b.interface(), b.u32(6, 16 * 1024 * 1024, 0, 0)]);
  const before = process.memoryUsage().arrayBuffers;
  assert.throws(() => readFile(liar), PcapError);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
});

test('a missing file or a directory is an error of node:fs, and no descriptor stays', () => {
  const count = openDescriptors();
  assert.throws(() => openFileSource(join(directory, 'missing')), { code: 'ENOENT' });
  const source = openFileSource(directory);
  assert.throws(() => source.want(1), { code: 'EISDIR' });
  source.close();
  assert.equal(openDescriptors(), count);
});
