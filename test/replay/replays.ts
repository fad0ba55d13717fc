/** Replays for tests: a service `web` with the three backends of test/lb/rig.ts, packets at any time. Not a test. */

import { buildLookupTable } from '../../hashing/lookup-table.ts';
import type { ReadPacket } from '../../io/pcapng-reader.ts';
import type { Config } from '../../lb/config.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { DEFAULT_HOPS } from '../../replay/made-up-hops.ts';
import { createReplay } from '../../replay/replay.ts';
import type { Facts } from '../../replay/summary.ts';
import { chained } from '../chained-hash.ts';
import { BACKENDS } from '../lb/rig.ts';
import { bytesOfIp, bytesOfMac, OWN_MAC } from '../packets.ts';

const START_NS = 1_700_000_000_000_000_000n;

export const configOf = (service = '', top = ''): Config =>
  parseConfig(
    `
interface: eth0
${top}
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    ${service}
    backends: [${Object.entries(BACKENDS).map(([name, { address }]) => `{ name: ${name}, address: ${address} }`)}]
`,
    'test',
  ).config;

/** A packet of a capture, `ms` after its start. */
export function packetAt(ms: number, bytes: Uint8Array, more: Partial<ReadPacket> = {}): ReadPacket {
  const timestampNs = START_NS + BigInt(Math.round(ms * 1000)) * 1000n;
  return { bytes, timestampNs, originalLength: bytes.length, direction: undefined, ...more };
}

export interface Told {
  verdict: string;
  ms: number;
  frame: Uint8Array;
  comment: string;
}

export function replay(
  packets: readonly ReadPacket[],
  config = configOf(),
  outbound = false,
): { told: Told[]; facts: Facts } {
  const told: Told[] = [];
  const { take, finish } = createReplay({
    config,
    outbound,
    hops: { ...DEFAULT_HOPS, ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)) },
    onPacket: ({ verdict, bytes, timestampNs, comment }) =>
      told.push({ verdict, frame: bytes.slice(), comment, ms: Number(timestampNs - START_NS) / 1e6 }),
  });
  for (const packet of packets) take(packet);
  return { facts: finish(), told };
}

/** By the documents: source address, source port and two zeros, hashed and taken modulo M. */
export function slotOf(port: number, tableSize = 65537): number {
  return chained(Uint8Array.from([...bytesOfIp('192.0.2.7'), port >> 8, port & 255, 0, 0]), 0) % tableSize;
}

const TABLE = buildLookupTable(
  Object.keys(BACKENDS).map((name) => ({ name, weight: 1 })),
  65537,
);
export const backendAt = (slot: number): string => TABLE.backends[TABLE.entries[slot]];
