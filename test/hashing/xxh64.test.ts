/** XXH64 against its author's published vectors and against the WebAssembly build of the reference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import xxhash from 'xxhash-wasm';
import { xxh64, xxh64Into } from '../../hashing/xxh64.ts';

const { h64Raw } = await xxhash();
const PRIME32 = 2654435761n;

/** The first bytes of the buffer that xxHash's own sanity check hashes (xxHash, cli/xsum_sanity_check.c). */
function sanityBuffer(length: number): Uint8Array {
  const state = new BigUint64Array([PRIME32]);
  return Uint8Array.from({ length }, () => {
    const byte = Number(state[0] >> 56n);
    state[0] *= 11400714785074694797n;
    return byte;
  });
}

test('gives the published hashes of the sanity buffer', () => {
  const vectors: [length: number, seed: bigint, hash: bigint][] = [
    [0, 0n, 0xef46db3751d8e999n],
    [0, PRIME32, 0xac75fda2929b17efn],
    [1, 0n, 0xe934a84adb052768n],
    [1, PRIME32, 0x5014607643a9b4c3n],
    [4, 0n, 0x9136a0dca57457een],
    [14, 0n, 0x8282dcc4994e35c8n],
    [14, PRIME32, 0xc3bd6bf63deb6df0n],
    [222, 0n, 0xb641ae8cb691c174n],
    [222, PRIME32, 0x20cb8ab7ae10c14an],
  ];
  for (const [length, seed, hash] of vectors) {
    assert.equal(xxh64(sanityBuffer(length), seed), hash, `${length} bytes, seed ${seed}`);
  }
});

test('gives the published hashes of well-known strings', () => {
  const ascii = (text: string) => Buffer.from(text, 'latin1');
  assert.equal(xxh64(ascii('a'), 0), 0xd24ec4f1a98c6e5bn);
  assert.equal(xxh64(ascii('abc'), 0), 0x44bc2cf5ad770999n);
  assert.equal(xxh64(ascii('Nobody inspects the spammish repetition'), 0), 0xfbcea83c8a378bf1n);
});

test('agrees with the reference on any bytes and seed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (bytes, seed) => {
      assert.equal(xxh64(bytes, seed), h64Raw(bytes, seed));
    }),
    { numRuns: 1000 },
  );
});

test('agrees with the reference at every length around its stripes', () => {
  const bytes = sanityBuffer(130);
  for (let length = 0; length <= bytes.length; length++) {
    assert.equal(xxh64(bytes.subarray(0, length), 7), h64Raw(bytes.subarray(0, length), 7n), `${length} bytes`);
  }
});

test('hashes the bytes of a view into a larger buffer, and those alone', () => {
  const bytes = sanityBuffer(100);
  assert.equal(xxh64(bytes.subarray(3, 50), 0), h64Raw(bytes.slice(3, 50), 0n));
});

test('takes the seed as a number, or modulo 2^64', () => {
  const bytes = sanityBuffer(20);
  assert.equal(xxh64(bytes, 2 ** 40 + 1), h64Raw(bytes, 2n ** 40n + 1n));
  assert.equal(xxh64(bytes, -1n), h64Raw(bytes, 2n ** 64n - 1n));
});

test('writes the low word first', () => {
  const out = new Uint32Array(2);
  xxh64Into(out, new Uint8Array(0), 0, 0);
  assert.deepEqual([...out], [0x51d8e999, 0xef46db37]);
});
