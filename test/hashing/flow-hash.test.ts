/** The flow hash against published XXH32 vectors and, word by word over the documented key bytes, against the reference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  chainWords2,
  chainWords4,
  connectionHash,
  FIVE_TUPLE,
  flowHash,
  flowSlot,
  SOURCE_IP,
  SOURCE_IP_PORT,
  xxh32Word,
} from '../../hashing/flow-hash.ts';
import { chained } from '../chained-hash.ts';

const TCP = 6;

const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const address = fc.uint8Array({ minLength: 4, maxLength: 4 });
const port = fc.integer({ min: 0, max: 0xffff });

function word(bytes: Uint8Array, at = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

/** The port bytes as they lie in the packet: source, then destination, each with its high byte first. */
function portBytes(source: number, destination: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16BE(source, 0);
  bytes.writeUInt16BE(destination, 2);
  return bytes;
}

test('a link is XXH32: vectors published with the pure Go port (pierrec/lz4) and with .NET (SourceCode.Clay)', () => {
  assert.equal(xxh32Word(word(Buffer.from('abcd')), 0) >>> 0, 0xa3643705);
  assert.equal(xxh32Word(word(Buffer.from('abcd')), 42) >>> 0, 0xe37d5ac5);
});

test('the chain agrees with one of the reference on any words and seed', () => {
  fc.assert(
    fc.property(uint32, uint32, uint32, uint32, uint32, (a, b, c, d, seed) => {
      const bytes = new Uint8Array(new Uint32Array([a, b, c, d]).buffer);
      assert.equal(xxh32Word(a, seed), chained(bytes.subarray(0, 4), seed) | 0);
      assert.equal(chainWords2(a, b, seed), chained(bytes.subarray(0, 8), seed) | 0);
      assert.equal(chainWords4(a, b, c, d, seed), chained(bytes, seed) | 0);
    }),
    { numRuns: 1000 },
  );
});

test('hashes the documented bytes for each kind', () => {
  fc.assert(
    fc.property(address, address, port, port, uint32, (source, destination, sourcePort, destinationPort, seed) => {
      const ports = portBytes(sourcePort, destinationPort);
      const hashOf = (kind: number) => flowHash(kind, word(source), word(destination), word(ports), TCP, seed);
      assert.equal(hashOf(SOURCE_IP), chained(source, seed));
      assert.equal(
        hashOf(SOURCE_IP_PORT),
        chained(Buffer.concat([source, ports.subarray(0, 2), Buffer.alloc(2)]), seed),
      );
      assert.equal(
        hashOf(FIVE_TUPLE),
        chained(Buffer.concat([source, destination, ports, Buffer.from([TCP, 0, 0, 0])]), seed),
      );
      assert.equal(connectionHash(word(source), word(ports), seed), chained(Buffer.concat([source, ports]), seed) | 0);
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
