/**
 * Captures for the tests of `hushlb replay`, in every format that it reads: made byte by byte, not with io/. Not a test.
 */
import { pcapngIn } from '../io/pcapng-bytes.ts';

export interface Captured {
  readonly us: number;
  readonly bytes: Uint8Array;
  readonly original?: number;
}

/** Midnight of 2023-11-15, UTC, in seconds. */
export const START = 1_700_006_400;

function pcap(magic: string, unit: number, order: 'LE' | 'BE'): (packets: readonly Captured[]) => Buffer {
  const word = (value: number) => {
    const bytes = Buffer.alloc(4);
    if (order === 'LE') bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return bytes;
  };
  const version = order === 'LE' ? '02000400' : '00020004';
  const head = Buffer.concat([Buffer.from(magic + version, 'hex'), ...[0, 0, 262144, 1].map(word)]);
  return (packets) =>
    Buffer.concat([
      head,
      ...packets.flatMap(({ us, bytes, original = bytes.length }) => [
        ...[START + Math.floor(us / 1e6), (us % 1e6) * unit, bytes.length, original].map(word),
        bytes,
      ]),
    ]);
}

function pcapng(order: 'little-endian' | 'big-endian', nano: boolean): (packets: readonly Captured[]) => Buffer {
  const b = pcapngIn(order);
  const name = b.option(2, 'lb');
  return (packets) =>
    Buffer.concat([
      b.section(),
      b.interface(nano ? [name, b.option(9, Uint8Array.of(9))] : [name]),
      ...packets.map(({ us, bytes, original = bytes.length }) =>
        b.packet({
          ticks: (BigInt(START) * 1_000_000n + BigInt(us)) * (nano ? 1000n : 1n),
          bytes: [...bytes],
          original,
        }),
      ),
    ]);
}

export const FORMATS: Readonly<Record<string, (packets: readonly Captured[]) => Buffer>> = {
  'pcap, little-endian, microseconds': pcap('d4c3b2a1', 1, 'LE'),
  'pcap, big-endian, microseconds': pcap('a1b2c3d4', 1, 'BE'),
  'pcap, little-endian, nanoseconds': pcap('4d3cb2a1', 1000, 'LE'),
  'pcap, big-endian, nanoseconds': pcap('a1b23c4d', 1000, 'BE'),
  'pcapng, little-endian, microseconds': pcapng('little-endian', false),
  'pcapng, big-endian, microseconds': pcapng('big-endian', false),
  'pcapng, little-endian, nanoseconds': pcapng('little-endian', true),
  'pcapng, big-endian, nanoseconds': pcapng('big-endian', true),
};
