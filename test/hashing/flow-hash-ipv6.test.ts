/** The flow hash of IPv6 against the reference, word by word over the documented key bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FIVE_TUPLE, SOURCE_IP, SOURCE_IP_PORT, xxh32Word } from '../../hashing/flow-hash.ts';
import {
  addressDigest,
  addressWord,
  connectionHashIpv6,
  digestAndWord,
  flowHashIpv6,
  flowSlotIpv6,
} from '../../hashing/flow-hash-ipv6.ts';
import { chained } from '../chained-hash.ts';

const UDP = 17;
const address = fc.uint8Array({ minLength: 16, maxLength: 16 });
const portPair = fc.uint8Array({ minLength: 4, maxLength: 4 });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });

test('hashes the documented bytes for each kind, wherever the addresses lie', () => {
  fc.assert(
    fc.property(address, address, portPair, uint32, fc.nat(7), (source, destination, ports, seed, at) => {
      const packet = Buffer.concat([Buffer.alloc(at), source, destination]);
      const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
      const portsWord = Buffer.from(ports).readInt32LE();
      const rest = Buffer.from([...ports, UDP, 0, 0, 0]);
      const keys: [kind: number, key: Buffer][] = [
        [SOURCE_IP, Buffer.from(source)],
        [SOURCE_IP_PORT, Buffer.from([...source, ports[0], ports[1], 0, 0])],
        [FIVE_TUPLE, Buffer.concat([source, destination, rest])],
      ];
      for (const [kind, key] of keys) {
        const expected = chained(key, seed);
        assert.equal(flowHashIpv6(kind, view, at, at + 16, portsWord, UDP, seed), expected);
        assert.equal(flowSlotIpv6(65_537, kind, view, at, at + 16, portsWord, UDP, seed), expected % 65_537);
      }
      const digest = chained(source, seed) | 0;
      assert.equal(addressDigest(view, at, seed), digest);
      assert.equal(connectionHashIpv6(digest, portsWord), chained(Buffer.from([...source, ...ports]), seed) | 0);

      const states = [4, 8, 12].map((length) => chained(source.subarray(0, length), seed));
      const word = (states[0] + states[1] + 2 * states[2] + Buffer.from(source).readUInt32LE(12)) | 0;
      assert.equal(addressWord(view, at, seed), word);
      const words = new Int32Array(3);
      assert.equal(digestAndWord(words, 1, view, at, seed), digest);
      assert.deepEqual([...words], [0, word, 0]);
    }),
    { numRuns: 1000 },
  );
});

test('addresses that the digest confuses have words of their own', () => {
  // By the birthday problem there are some dozen such pairs among 300,000.
  const view = new DataView(new ArrayBuffer(32));
  const seen = new Map<number, number>();
  let confused = 0;
  for (let i = 0; i < 300_000; i++) {
    view.setInt32(0, xxh32Word(i, 1));
    view.setInt32(12, i);
    const digest = addressDigest(view, 0, 0);
    const other = seen.get(digest);
    if (other !== undefined) {
      confused++;
      view.setInt32(16, xxh32Word(other, 1));
      view.setInt32(28, other);
      assert.equal(addressDigest(view, 16, 0), digest);
      assert.notEqual(addressWord(view, 16, 0), addressWord(view, 0, 0));
    }
    seen.set(digest, i);
  }
  assert.ok(confused > 0);
});
