/** pcapng in both byte orders and all precisions, from memory and through the window of a file, and files that lie. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pcapngIn } from './pcapng-bytes.ts';
import { FILE, ORDERS, read, readFile } from './read-captures.ts';

const AT_NS = 1_694_498_816_500_000_000n;

for (const order of ORDERS) {
  const b = pcapngIn(order);
  const one = { bytes: [1, 2, 3], original: 60 };
  const whole = (...blocks: Uint8Array[]) => Buffer.concat([b.section(), ...blocks]);

  describe(order, () => {
    /** What if_tsresol says, the ticks that are AT_NS in it, and what is left of AT_NS. */
    const resolutions: [what: string, tsresol: number | undefined, ticks: bigint, ns?: bigint][] = [
      ['microseconds by default', undefined, 1_694_498_816_500_000n],
      ['microseconds', 6, 1_694_498_816_500_000n],
      ['nanoseconds', 9, 1_694_498_816_500_000_000n],
      ['milliseconds', 3, 1_694_498_816_500n],
      ['seconds', 0, 1_694_498_816n, 1_694_498_816_000_000_000n],
      ['picoseconds', 12, 1_000_000_000_123n, 1_000_000_000n],
      ['halves', 0x81, 3_388_997_633n],
      ['1/1024 s', 0x8a, 1_735_166_788_096n],
    ];
    for (const [what, tsresol, ticks, ns = AT_NS] of resolutions) {
      test(`times in ${what}`, () => {
        const options = tsresol === undefined ? [] : [b.option(9, Uint8Array.of(tsresol))];
        const packets = read(whole(b.interface(options), b.packet({ ticks, ...one })));
        assert.deepEqual(packets, [
          { bytes: Uint8Array.of(1, 2, 3), timestampNs: ns, originalLength: 60, direction: undefined },
        ]);
      });
    }

    test('an interface may start its times anywhere', () => {
      const east = b.interface([b.option(14, b.u64(3600n))]);
      const west = b.interface([b.option(14, b.u64((1n << 64n) - 3600n))]);
      const ticks = 1_694_498_816_500_000n;
      const bytes = whole(east, west, b.packet({ ticks, ...one }), b.packet({ ticks, ...one, interface: 1 }));
      const hour = 3_600_000_000_000n;
      assert.deepEqual(
        read(bytes).map(({ timestampNs }) => timestampNs),
        [AT_NS + hour, AT_NS - hour],
      );
    });

    test('directions, and options that nobody asked for', () => {
      const flags = (word: number) => [
        b.option(1, 'a comment'),
        b.option(2, b.u32(word)),
        b.option(4, Buffer.alloc(8)),
      ];
      const packets = [0, 1, 2, 3, 0x1e2].map((word) => b.packet({ ticks: 0n, ...one, options: flags(word) }));
      assert.deepEqual(
        read(whole(b.interface(), ...packets)).map(({ direction }) => direction),
        [undefined, 'in', 'out', undefined, 'out'],
      );
    });

    test('simple packets end where the interface cuts, and have the time of the last one', () => {
      const simple = (original: number, bytes: number[]) => b.block(3, b.u32(original), Uint8Array.from(bytes));
      const packets = read(
        whole(
          b.interface([], 1, 6),
          simple(4, [1, 2, 3, 4]),
          b.packet({ ticks: 7n, ...one }),
          simple(60, [1, 2, 3, 4, 5, 6, 0, 0]),
        ),
      );
      assert.deepEqual(
        packets.map(({ bytes, timestampNs, originalLength }) => [[...bytes], timestampNs, originalLength]),
        [
          [[1, 2, 3, 4], 0n, 4],
          [[1, 2, 3], 7000n, 60],
          [[1, 2, 3, 4, 5, 6], 7000n, 60],
        ],
      );
    });

    test('obsolete packets', () => {
      const body = [b.u16(1, 0xffff), b.u32(0, 9, 2, 44), Uint8Array.of(8, 9, 0, 0)];
      const packets = read(whole(b.interface(), b.interface([b.option(9, Uint8Array.of(9))]), b.block(2, ...body)));
      assert.deepEqual(packets, [
        { bytes: Uint8Array.of(8, 9), timestampNs: 9n, originalLength: 44, direction: undefined },
      ]);
    });

    test('a file may go on in the other order, with other interfaces; unknown blocks are passed over', () => {
      const other = pcapngIn(order === 'big-endian' ? 'little-endian' : 'big-endian');
      const nano = other.interface([other.option(9, Uint8Array.of(9))]);
      const bytes = whole(
        b.interface(),
        b.block(5, Buffer.alloc(16)),
        b.packet({ ticks: 1n, ...one }),
        b.block(0x0bad, Buffer.alloc(100_000)),
        other.section(),
        nano,
        other.packet({ ticks: 5n, ...one }),
      );
      const expected = [1000n, 5n];
      assert.deepEqual(
        read(bytes).map(({ timestampNs }) => timestampNs),
        expected,
      );
      assert.deepEqual(
        readFile(bytes).map(({ timestampNs }) => timestampNs),
        expected,
      );
    });

    test('one interface of several, by its name; others may have any link type', () => {
      const bytes = whole(
        b.interface([b.option(2, 'any')], 276),
        b.interface([b.option(2, 'eth0')]),
        b.packet({ ticks: 1n, ...one }),
        b.packet({ ticks: 2n, ...one, interface: 1 }),
      );
      assert.deepEqual(
        read(bytes, 'eth0').map(({ timestampNs }) => timestampNs),
        [2000n],
      );
      const refused = 'link type 276 (Linux cooked, of the device "any") is not read, only Ethernet (1)';
      assert.throws(() => read(bytes), {
        code: 'PCAP_INVALID',
        message: new RegExp(literally(`some.pcapng: ${refused}`)),
      });
      const unknown = `some.pcapng: no interface is named "eth1": it has "any", "eth0" (at byte ${bytes.length})`;
      assert.throws(() => read(bytes, 'eth1'), { code: 'PCAP_INVALID', message: unknown });
    });

    const good = (): Buffer => whole(b.interface(), b.packet({ ticks: 1n, ...one }));
    // The section takes 28 bytes, the interface 20: the packet is at 48, its data at 76.
    const lies: [what: string, bytes: () => Uint8Array, message: string][] = [
      ['a cut block head', () => good().subarray(0, 58), 'the file ends inside a block (at byte 48)'],
      [
        'a cut block',
        () => good().subarray(0, 80),
        'the file ends inside a block: 36 bytes expected, 32 left (at byte 48)',
      ],
      [
        'a cut unknown block',
        () => Buffer.concat([good(), b.block(77, Buffer.alloc(400)).subarray(0, 100)]),
        'the file ends inside a block: 412 bytes expected, 100 left (at byte 84)',
      ],
      [
        'a gigantic block',
        () => patched(good(), 52, b.u32(0x7fff_fffc)),
        'damaged block: type 6, 2147483644 bytes (at byte 48)',
      ],
      ['a length of no words', () => patched(good(), 52, b.u32(37)), 'damaged block: type 6, 37 bytes (at byte 48)'],
      ['a tiny block', () => patched(good(), 52, b.u32(12)), 'damaged block: type 6, 12 bytes (at byte 48)'],
      [
        'lengths that differ',
        () => patched(good(), 80, b.u32(40)),
        'damaged block: 36 bytes at its start, 40 at its end (at byte 48)',
      ],
      [
        'another byte-order magic',
        () => patched(good(), 8, Buffer.from('aabbccdd', 'hex')),
        'damaged section header: byte-order magic 0xaabbccdd (at byte 8)',
      ],
      ['another version', () => patched(good(), 12, b.u16(2)), 'pcapng version 2 is not read, only 1 (at byte 12)'],
      ['an unknown interface', () => patched(good(), 56, b.u32(1)), 'damaged packet: interface 1 of 1 (at byte 48)'],
      [
        'more data than block',
        () => patched(good(), 68, b.u32(5)),
        'damaged packet: 5 bytes in a block of 36 (at byte 48)',
      ],
      [
        'a time beyond all',
        () => patched(good(), 60, b.u32(0xffff_ffff)),
        'damaged packet: its time is not between 1970 and 2554 (at byte 60)',
      ],
      [
        'units of time beyond all',
        () => whole(b.interface([b.option(9, Uint8Array.of(20))])),
        'time in units of 10^-20 s is not read (at byte 28)',
      ],
      [
        'an option longer than its block',
        () => patched(whole(b.interface([b.option(2, 'eth0')])), 46, b.u16(5000)),
        'damaged option: 5000 bytes (at byte 44)',
      ],
    ];
    for (const [what, bytes, message] of lies) {
      test(`${what} is refused with the place`, () => {
        const expected = { name: 'PcapError', code: 'PCAP_INVALID', message: `some.pcapng: ${message}` };
        assert.throws(() => read(bytes()), expected);
        assert.throws(() => readFile(bytes()), { ...expected, message: `${FILE}: ${message}` });
      });
    }
  });
}

function patched(bytes: Buffer, at: number, value: Uint8Array): Buffer {
  bytes.set(value, at);
  return bytes;
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
