/** Numbers by chance that one seed repeats, for the fuzzers. Fast, and good for nothing that must not be guessed. */
export interface Random {
  /** 0 to `count` - 1. */
  below(count: number): number;
  pick<T>(list: readonly T[]): T;
  /** True once in `count` times. */
  oneIn(count: number): boolean;
}

/** SplitMix (Steele, Lea, Flood, OOPSLA 2014), in 32 bits. `seed` is any whole number up to 2^32 - 1. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  function next(): number {
    state = (state + 0x9e37_79b9) | 0;
    let word = state;
    word = Math.imul(word ^ (word >>> 16), 0x85eb_ca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2_ae35);
    return (word ^ (word >>> 16)) >>> 0;
  }
  const below = (count: number): number => Math.floor((next() / 2 ** 32) * count);
  return { below, pick: (list) => list[below(list.length)], oneIn: (count) => below(count) === 0 };
}
