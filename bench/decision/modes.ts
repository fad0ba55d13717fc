/**
 * The modes whose decision cost is measured, and the flows that are sent through them: the TypeScript subject (subject.ts)
 * and the C yardstick (yardstick/decision.c) get the same, packet by packet.
 */
import type { Config } from '../../lb/config.ts';
import { benchConfig } from '../balancer.ts';

export const BACKENDS = 10;
/** Packets a batch, as the worker's device has them. */
export const BATCH = 64;
/** The smallest table that is measured. */
export const SMALLEST_CAPACITY = 4096;
/** Few frames, so that they are as warm as frames that the kernel has just written. */
export const FRAMES = 256;
export const FRAME_SIZE = 2048;
export const HEADROOM = 256;

export interface DecisionMode {
  readonly name: string;
  readonly top?: string;
  /** Lines of the service, but for its connection table. */
  readonly service?: string;
  readonly table: boolean;
  /** 4 where it is left out. The C yardstick does IPv4 alone. */
  readonly family?: 6;
}

/** `stateless`, but for the family: IPv6 in IPv6. */
export const IPV6 = 'stateless, IPv6';

export const MODES: readonly DecisionMode[] = [
  { name: 'stateless', table: true },
  { name: 'no table', table: false },
  { name: 'round-robin', service: 'scheduler: round-robin', table: true },
  { name: 'stateful', top: 'mode: stateful', table: true },
  { name: 'onExpiry: reset', service: 'onExpiry: reset', table: true },
  { name: 'L2', service: 'encap: l2', table: true },
  { name: IPV6, family: 6, table: true },
];

export function modeNamed(name: string): DecisionMode {
  const mode = MODES.find((candidate) => candidate.name === name);
  if (mode === undefined) throw new RangeError(`no mode ${name}: one of ${MODES.map((each) => each.name).join(', ')}`);
  return mode;
}

/** A balancer in that mode; without an idle timeout of its own all connections stay for the run. */
export function decisionConfig(mode: DecisionMode, capacity: number, idleTimeout = '1h'): Config {
  const table = mode.table
    ? `conntrack: { capacity: ${capacity}, idleTimeout: ${idleTimeout} }`
    : 'conntrack: { enabled: false }';
  const lines = [mode.service, table].filter((line) => line !== undefined);
  const { top = '', family = 4 } = mode;
  return benchConfig({ backends: BACKENDS, top, service: lines.join('\n    '), family });
}

/**
 * `mode: stateful` answers the 0.4 % of flows that found no place in the table with an RST, made from the packet itself: its
 * frame has to be set right before its next use.
 */
export function rewritesFrames(mode: DecisionMode): boolean {
  return mode.name === 'stateful';
}

/** Source address of a flow, a packet word: 64 flows a host, hosts from 198.18.0.0/15. */
export function sourceWord(flow: number): number {
  const host = flow >>> 6;
  return 198 | ((18 + ((host >>> 16) & 1)) << 8) | (((host >>> 8) & 255) << 16) | (host << 24);
}

/** Both ports of a flow, a packet word: to port 80. */
export function portsWord(flow: number): number {
  const port = 1024 + (flow & 63);
  return 0x5000_0000 | ((port & 255) << 8) | (port >>> 8);
}

/** Odd and no multiple of 5: coprime to the powers of ten, it visits all flows in an order that no prefetcher guesses. */
export function strideOf(flows: number): number {
  return (7_368_787 % flows) | 1;
}
