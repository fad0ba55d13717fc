/**
 * Mutated capture files through the readers, from memory and through the window of a file: both see the same packets, and
 * what is wrong ends in the one error that names file and place.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteSource, memorySource, openFileSource } from '../../io/byte-source.ts';
import { readCapture } from '../../io/capture-reader.ts';
import { createPcapWriter, PcapError } from '../../io/pcap.ts';
import { createPcapngWriter } from '../../io/pcapng.ts';
import { pcapngIn } from '../io/pcapng-bytes.ts';
import { ROWS } from '../lb/packet-rows.ts';
import { mutate } from './mutations.ts';
import { createRandom } from './random.ts';

const LONGEST = 20_000;

export interface FoundCapture {
  readonly bytes: Uint8Array;
  readonly error: unknown;
}

export interface CaptureFuzzer {
  /** One file; undefined: the readers kept their promises. */
  step(): FoundCapture | undefined;
  readonly files: number;
  close(): void;
}

export function createCaptureFuzzer(seed: number): CaptureFuzzer {
  const random = createRandom(seed);
  const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  const path = join(directory, 'capture');
  const seeds = captures(directory);
  let files = 0;

  function step(): FoundCapture | undefined {
    const bytes = mutate(random.pick(seeds), random, seeds, LONGEST);
    files++;
    try {
      const inMemory = readAll(memorySource(path, bytes), bytes.length);
      // Slower, and the same.
      if (files % 8 === 0) {
        writeFileSync(path, bytes);
        const source = openFileSource(path);
        try {
          assert.equal(readAll(source, bytes.length), inMemory, 'a file is read as memory is');
        } finally {
          source.close();
        }
      }
    } catch (error) {
      return { bytes, error };
    }
    return undefined;
  }

  return {
    step,
    get files() {
      return files;
    },
    close: () => rmSync(directory, { recursive: true }),
  };
}

/** What a reader makes of it, as one text. Throws for what it must not do. */
export function readAll(source: ByteSource, fileLength: number): string {
  const read: string[] = [];
  let total = 0;
  try {
    for (const { bytes, timestampNs, originalLength, direction } of readCapture(source)) {
      total += bytes.length;
      assert.ok(total <= fileLength, 'more bytes of packets than of file');
      assert.ok(timestampNs >= 0n && timestampNs < 1n << 64n, `time ${timestampNs}`);
      read.push(`${timestampNs} ${originalLength} ${direction} ${Buffer.from(bytes).toString('hex')}`);
    }
  } catch (error) {
    assert.ok(error instanceof PcapError, `${error}`);
    assert.ok(error.offset <= fileLength && !error.message.includes('\n'), error.message);
    read.push(error.message);
  }
  return read.join('\n');
}

/** Of both kinds, both byte orders, and with blocks that nobody here writes. */
function captures(directory: string): Uint8Array[] {
  const frames = ROWS.slice(0, 12).map((row, i) => ({
    bytes: row.in,
    timestampNs: BigInt(i) * 1_000_003n,
    originalLength: row.in.length + (i % 3),
  }));
  const [pcap, pcapng] = [join(directory, 'a.pcap'), join(directory, 'a.pcapng')];
  const plain = createPcapWriter(pcap);
  const head = { application: 'test', comment: 'all of it', interfaces: [{ name: 'eth0' }], snapLength: 0 };
  const commented = createPcapngWriter(pcapng, head);
  for (const frame of frames) {
    plain.write(frame);
    commented.write({ ...frame, interface: 0, direction: 'in', comment: 'why' });
  }
  plain.close();
  commented.close();
  const strange = (['little-endian', 'big-endian'] as const).map((order) => {
    const b = pcapngIn(order);
    return Buffer.concat([
      b.section(),
      b.interface([b.option(2, 'eth0'), b.option(9, Uint8Array.of(9)), b.option(14, b.u64(1n))]),
      b.packet({ ticks: 1n, bytes: [1, 2, 3, 4, 5], options: [b.option(1, 'why'), b.option(2, b.u32(1))] }),
      b.block(3, b.u32(4), Uint8Array.of(1, 2, 3, 4)),
      b.block(99, Buffer.alloc(8)),
    ]);
  });
  const swapped = Buffer.from(
    'a1b2c3d4000200040000000000000000000400000000000100000001000000020000000400000004',
    'hex',
  );
  return [readFileSync(pcap), readFileSync(pcapng), ...strange, Buffer.concat([swapped, Buffer.from('abcd')])];
}
