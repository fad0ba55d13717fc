/** What the benchmark cases share: one configuration, one kind of packet, and how a figure's spread is told. */

import type { Config } from '../lb/config.ts';
import { parseConfig } from '../lb/config-file.ts';

export const VIP = '198.18.10.1';
export const PORT = 80;

/** A service with as many backends on 198.18.2.0/24 as asked for. */
export function benchConfig(options: { backends: number; top?: string; service?: string }): Config {
  const backends = Array.from(
    { length: options.backends },
    (_, i) => `{ name: b${i + 1}, address: 198.18.2.${i + 1} }`,
  );
  const text = `
interface: eth0
${options.top ?? ''}
services:
  - name: web
    vip: ${VIP}
    port: ${PORT}
    ${options.service ?? ''}
    backends: [${backends.join(', ')}]
`;
  return parseConfig(text, 'benchmark').config;
}

/** A 64-byte frame (60 without FCS): Ethernet, IPv4 and TCP with ACK, to the VIP; the source is the case's to write. */
export function ackFrame(destinationMac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(60);
  const view = new DataView(frame.buffer);
  frame.set(destinationMac, 0);
  frame.set([2, 0, 0, 0, 0, 1], 6);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, 40);
  view.setUint16(20, 0x4000);
  view.setUint16(22, (64 << 8) | 6);
  frame.set([198, 18, 0, 0, ...VIP.split('.').map(Number)], 26);
  view.setUint16(34, 1024);
  view.setUint16(36, PORT);
  view.setUint16(46, (5 << 12) | 0x10);
  return frame;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], rounds: sorted.length };
}
