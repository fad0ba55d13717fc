/** A found case as a file that can be added to the packet rows, once somebody has said what should have come of it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PacketRow } from '../lb/rows/row.ts';
import type { FoundCapture } from './captures.ts';
import { benchOf, type FoundPacket, walkOne } from './packets.ts';

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const firstLine = (error: unknown): string => String(error).split('\n')[0] ?? '';

/** Writes the case below `directory`, and says where. */
export function writeFoundPacket({ row, frames, error }: FoundPacket, seed: number, directory: string): string {
  const shown = shortest(row, frames);
  const [last = new Uint8Array(0), ...before] = shown.toReversed();
  const { top, service, vip, backends, others } = row;
  const settings = Object.entries({ top, service, vip, backends, others })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `    ${key}: ${JSON.stringify(value)},\n`)
    .join('');
  const list = before
    .toReversed()
    .map((frame) => `      frame('${hexOf(frame)}'),\n`)
    .join('');
  const text = `/**
 * Packet rows: found by \`npm run fuzz -- --seed ${seed}\`: ${firstLine(error)}
 * To add it: the exit that the packet should have, and the file's name in test/lb/packet-rows.ts.
 */
import type { PacketRow } from './row.ts';

const frame = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

export const FOUND_ROWS: readonly PacketRow[] = [
  {
    name: 'found by seed ${seed}',
${settings}${list === '' ? '' : `    before: [\n${list}    ],\n`}    in: frame('${hexOf(last)}'),
    exit: 'drop: bad-ip-header',
  },
];
`;
  return write(directory, `found-${seed}.ts`, text);
}

export function writeFoundCapture({ bytes }: FoundCapture, seed: number, directory: string): string {
  return write(directory, `found-${seed}.pcap`, bytes);
}

function write(directory: string, name: string, content: string | Uint8Array): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

/** The last frame alone, and as little of it as shows it still; or all of them, where it takes a history. */
function shortest(row: PacketRow, frames: readonly Uint8Array[]): readonly Uint8Array[] {
  const alone = frames.find((frame) => fails(row, frame));
  if (alone === undefined) return frames;
  let found = alone;
  for (let step = found.length >> 1; step > 0; step >>= 1) {
    while (found.length > step && fails(row, found.subarray(0, found.length - step))) {
      found = found.subarray(0, found.length - step);
    }
  }
  return [found];
}

function fails(row: PacketRow, frame: Uint8Array): boolean {
  try {
    walkOne(benchOf(row), frame, 0);
    return false;
  } catch {
    return true;
  }
}
