/** What the fuzzers do to bytes that were good: flips, cuts, splices, lies about lengths, headers said twice. */
import type { Random } from './random.ts';

type Mutation = (bytes: Uint8Array, random: Random, others: readonly Uint8Array[]) => Uint8Array;

/** Bytes at which programs think again. */
const EDGES = [0, 1, 4, 5, 6, 15, 16, 17, 41, 43, 44, 58, 60, 0x40, 0x45, 0x60, 0x7f, 0x80, 0x86, 0x88, 0xfe, 0xff];
const WORDS = [
  0, 1, 7, 8, 19, 20, 21, 39, 40, 41, 0x0800, 0x0806, 0x1fff, 0x2000, 0x4000, 0x8100, 0x86dd, 0x88a8, 0xffff,
];

const copyOf = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes);

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

function flipBits(bytes: Uint8Array, random: Random): Uint8Array {
  const out = copyOf(bytes);
  for (let count = 1 + random.below(4); count > 0; count--) out[random.below(out.length)] ^= 1 << random.below(8);
  return out;
}

function setByte(bytes: Uint8Array, random: Random): Uint8Array {
  const out = copyOf(bytes);
  out[random.below(Math.min(out.length, 120))] = random.oneIn(2) ? random.pick(EDGES) : random.below(256);
  return out;
}

/** Sixteen bits at an even place, which is where lengths, offsets and types stand. */
function lie(bytes: Uint8Array, random: Random): Uint8Array {
  const out = copyOf(bytes);
  if (out.length < 2) return out;
  const at = 2 * random.below(Math.min(out.length >> 1, 60));
  const before = (out[at] << 8) | out[at + 1];
  const value = random.oneIn(2) ? random.pick(WORDS) : before + random.pick([-8, -4, -1, 1, 4, 8]);
  [out[at], out[at + 1]] = [(value >> 8) & 255, value & 255];
  return out;
}

function cut(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.slice(0, random.below(bytes.length + 1));
}

function lengthen(bytes: Uint8Array, random: Random): Uint8Array {
  return join(
    bytes,
    Uint8Array.from({ length: 1 + random.below(64) }, () => random.below(256)),
  );
}

/** The beginning of one and the end of another. */
function splice(bytes: Uint8Array, random: Random, others: readonly Uint8Array[]): Uint8Array {
  const other = random.pick(others);
  return join(bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1)));
}

/** As a header that follows itself: some bytes come several times. */
function repeat(bytes: Uint8Array, random: Random): Uint8Array {
  const start = random.below(Math.min(bytes.length, 100));
  const length = random.pick([1, 2, 4, 8, 8, 20, 40, 60]);
  const part = bytes.subarray(start, start + length);
  return join(
    bytes.subarray(0, start),
    ...Array<Uint8Array>(2 + random.below(12)).fill(part),
    bytes.subarray(start + length),
  );
}

function leaveOut(bytes: Uint8Array, random: Random): Uint8Array {
  const start = random.below(bytes.length);
  return join(bytes.subarray(0, start), bytes.subarray(start + random.pick([1, 2, 4, 8, 20, 40])));
}

const MUTATIONS: readonly Mutation[] = [
  flipBits,
  flipBits,
  setByte,
  setByte,
  lie,
  lie,
  cut,
  lengthen,
  splice,
  repeat,
  leaveOut,
];

/** One to four mutations on top of each other; at most `longest` bytes. `others` are what splices take from. */
export function mutate(bytes: Uint8Array, random: Random, others: readonly Uint8Array[], longest: number): Uint8Array {
  let out = copyOf(bytes);
  for (let count = 1 + random.below(4); count > 0; count--) {
    if (out.length === 0) return out;
    out = random.pick(MUTATIONS)(out, random, others).slice(0, longest);
  }
  return out;
}
