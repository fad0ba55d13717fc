/**
 * Named counters that an XDP program adds to and userspace reads: 64-bit numbers side by side in the one value of an
 * array map, whose address the program has as a constant, so that counting is three instructions without a look-up.
 */
import { createMap, lookupMapInto } from './bpf.ts';
import { alu, atomicAdd, type Code, loadMapValue } from './bpf-assembler.ts';
import { closeDescriptor } from './ffi.ts';

export interface BpfCounters<Name extends string> {
  /** Instructions that add one; they change r1 and r2 only. */
  increment(name: Name): Code;
  read(): Record<Name, number>;
  close(): void;
}

const COUNTER_SIZE = 8;
const ONLY_KEY = new Uint8Array(4);

/** `mapName` is what bpftool shows; at most 15 characters. */
export function createBpfCounters<Name extends string>(mapName: string, names: readonly Name[]): BpfCounters<Name> {
  const valueSize = names.length * COUNTER_SIZE;
  const mapFd = createMap({ name: mapName, type: 'array', keySize: 4, valueSize, entries: 1 });
  return {
    increment: (name) => [
      loadMapValue('r1', mapFd, names.indexOf(name) * COUNTER_SIZE),
      alu('r2', '=', 1),
      atomicAdd('u64', 'r1', 0, 'r2'),
    ],
    read() {
      const value = Buffer.alloc(valueSize);
      lookupMapInto(mapFd, ONLY_KEY, value);
      const counts = names.map((name, i) => [name, Number(value.readBigUInt64LE(i * COUNTER_SIZE))]);
      return Object.fromEntries(counts) as Record<Name, number>;
    },
    close: () => closeDescriptor(mapFd),
  };
}
