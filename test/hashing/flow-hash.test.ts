/** The flow hash against published XXH32 vectors and, over the documented key bytes, against the reference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import xxhash from 'xxhash-wasm';
import {
  connectionHash,
  FIVE_TUPLE,
  flowHash,
  flowSlot,
  SOURCE_IP,
  SOURCE_IP_PORT,
  xxh32Word,
  xxh32Words2,
  xxh32Words4,
} from '../../hashing/flow-hash.ts';

const { h32Raw } = await xxhash();
const TCP = 6;

const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const address = fc.uint8Array({ minLength: 4, maxLength: 4 });
const port = fc.integer({ min: 0, max: 0xffff });

function word(bytes: Uint8Array, at = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

function words(text: string): number[] {
  const bytes = Buffer.from(text, 'latin1');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readUInt32LE(4 * i));
}

function xxh32(text: string, seed: number): number {
  const [a, b, c, d] = words(text);
  if (text.length === 4) return xxh32Word(a, seed) >>> 0;
  return (text.length === 8 ? xxh32Words2(a, b, seed) : xxh32Words4(a, b, c, d, seed)) >>> 0;
}

/** The port bytes as they lie in the packet: source, then destination, each with its high byte first. */
function portBytes(source: number, destination: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16BE(source, 0);
  bytes.writeUInt16BE(destination, 2);
  return bytes;
}

test('is XXH32: vectors published with the pure Go port (pierrec/lz4) and with .NET (SourceCode.Clay)', () => {
  const vectors: [text: string, seed: number, hash: number][] = [
    ['abcd', 0, 0xa3643705],
    ['abcdefgh', 0, 0x0bb3c6bb],
    ['abcdefghijklmnop', 0, 0x9d2d8b62],
    ['abcd', 42, 0xe37d5ac5],
    ['abcd0123', 0, 0x4603e94c],
    ['abcd0123', 42, 0x0a1e5fd9],
    ['abcd0123efgh4567', 0, 0x4b62a7cf],
    ['abcd0123efgh4567', 42, 0xc60be75c],
  ];
  for (const [text, seed, hash] of vectors) assert.equal(xxh32(text, seed), hash, `${text}, seed ${seed}`);
});

test('agrees with the reference on any words and seed', () => {
  fc.assert(
    fc.property(uint32, uint32, uint32, uint32, uint32, (a, b, c, d, seed) => {
      const bytes = new Uint8Array(new Uint32Array([a, b, c, d]).buffer);
      assert.equal(xxh32Word(a, seed), h32Raw(bytes.subarray(0, 4), seed) | 0);
      assert.equal(xxh32Words2(a, b, seed), h32Raw(bytes.subarray(0, 8), seed) | 0);
      assert.equal(xxh32Words4(a, b, c, d, seed), h32Raw(bytes, seed) | 0);
    }),
    { numRuns: 1000 },
  );
});

test('hashes the documented bytes for each kind', () => {
  fc.assert(
    fc.property(address, address, port, port, uint32, (source, destination, sourcePort, destinationPort, seed) => {
      const ports = portBytes(sourcePort, destinationPort);
      const hashOf = (kind: number) => flowHash(kind, word(source), word(destination), word(ports), TCP, seed);
      assert.equal(hashOf(SOURCE_IP), h32Raw(source, seed));
      assert.equal(
        hashOf(SOURCE_IP_PORT),
        h32Raw(Buffer.concat([source, ports.subarray(0, 2), Buffer.alloc(2)]), seed),
      );
      assert.equal(
        hashOf(FIVE_TUPLE),
        h32Raw(Buffer.concat([source, destination, ports, Buffer.from([TCP, 0, 0, 0])]), seed),
      );
      assert.equal(connectionHash(word(source), word(ports), seed), h32Raw(Buffer.concat([source, ports]), seed) | 0);
    }),
  );
});

test('is the same for words and seeds that were loaded as signed numbers', () => {
  fc.assert(
    fc.property(uint32, uint32, uint32, uint32, uint32, (source, destination, ports, protocol, seed) => {
      for (const kind of [SOURCE_IP, SOURCE_IP_PORT, FIVE_TUPLE]) {
        const unsigned = flowHash(kind, source, destination, ports, protocol, seed);
        const signed = flowHash(kind, source | 0, destination | 0, ports | 0, protocol | 0, seed | 0);
        assert.equal(signed, unsigned);
        assert.ok(Number.isInteger(unsigned) && unsigned >= 0 && unsigned <= 0xffffffff);
        const slot = flowSlot(65537, kind, source, destination, ports, protocol, seed);
        assert.equal(slot, unsigned % 65537);
      }
    }),
  );
});
