/** What the benchmark cases share: one configuration and one kind of packet. */

import type { Config } from '../lb/config.ts';
import { parseConfig } from '../lb/config-file.ts';
import { addressBytes } from '../wire/address.ts';

export const VIP = '198.18.10.1';
export const VIP_IPV6 = '2001:db8:10::1';
export const PORT = 80;

export interface BenchService {
  readonly backends: number;
  /** Lines of YAML for the top level and the service. */
  readonly top?: string;
  readonly service?: string;
  /** Of VIP and backends; 4 by default. */
  readonly family?: 4 | 6;
}

/** A service with as many backends on 198.18.2.0/24, or 2001:db8:2::/64, as asked for. */
export function benchConfig(options: BenchService): Config {
  return parseConfig(benchYaml(options), 'benchmark').config;
}

export function benchYaml(options: BenchService): string {
  const isIpv6 = options.family === 6;
  const network = isIpv6 ? '2001:db8:2::' : '198.18.2.';
  const backends = Array.from(
    { length: options.backends },
    (_, i) => `{ name: b${i + 1}, address: "${network}${i + 1}" }`,
  );
  return `
interface: eth0
${options.top ?? ''}
services:
  - name: web
    vip: "${isIpv6 ? VIP_IPV6 : VIP}"
    port: ${PORT}
    ${options.service ?? ''}
    backends: [${backends.join(', ')}]
`;
}

/** Ethernet's smallest frame, without FCS. */
const SMALLEST = 60;

/**
 * An Ethernet frame of `length` bytes (60 to 1514, without FCS) with IPv4 and TCP with ACK, to the VIP; the source is the
 * case's to write.
 */
export function ackFrame(destinationMac: Uint8Array, length = SMALLEST): Uint8Array {
  const frame = new Uint8Array(length);
  const view = new DataView(frame.buffer);
  frame.set(destinationMac, 0);
  frame.set([2, 0, 0, 0, 0, 1], 6);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, length === SMALLEST ? 40 : length - 14);
  view.setUint16(20, 0x4000);
  view.setUint16(22, (64 << 8) | 6);
  frame.set([198, 18, 0, 0, ...VIP.split('.').map(Number)], 26);
  view.setUint16(34, 1024);
  view.setUint16(36, PORT);
  view.setUint16(46, (5 << 12) | 0x10);
  return frame;
}

/** The same of IPv6, from 2001:db8:: on. */
export function ackFrameIpv6(destinationMac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(14 + 40 + 20);
  const view = new DataView(frame.buffer);
  frame.set(destinationMac, 0);
  frame.set([2, 0, 0, 0, 0, 1], 6);
  view.setUint16(12, 0x86dd);
  view.setUint8(14, 0x60);
  view.setUint16(18, 20);
  view.setUint16(20, (6 << 8) | 64);
  frame.set(addressBytes('2001:db8::'), 22);
  frame.set(addressBytes(VIP_IPV6), 38);
  view.setUint16(54, 1024);
  view.setUint16(56, PORT);
  view.setUint16(66, (5 << 12) | 0x10);
  return frame;
}
