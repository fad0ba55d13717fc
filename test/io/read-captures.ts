/** Captures as bytes, read in both ways: from memory, and through the window of a file. For the tests of the readers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { memorySource, openFileSource } from '../../io/byte-source.ts';
import { readCapture } from '../../io/capture-reader.ts';
import type { Order } from './pcapng-bytes.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(directory, { recursive: true }));

/** Where `readFile` has its bytes lie: errors name it. */
export const FILE = join(directory, 'in');

export const ORDERS: readonly Order[] = ['little-endian', 'big-endian'];

export const read = (bytes: Uint8Array, only?: string) => [
  ...readCapture(memorySource('some.pcapng', bytes), { interface: only }),
];

/** The same, through the window of a file. */
export function readFile(bytes: Uint8Array) {
  writeFileSync(FILE, bytes);
  const source = openFileSource(FILE);
  try {
    return Array.from(readCapture(source), (packet) => ({ ...packet, bytes: packet.bytes.slice() }));
  } finally {
    source.close();
  }
}
