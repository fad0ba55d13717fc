/**
 * The exits of the packet's walk: each way to leave it has a number, a verdict and a reason, and a counter for every
 * service. docs/packet-walk.md draws them; metrics and tests read their names from here.
 */
import { PASS, RELEASE, TRANSMIT } from '../io/device.ts';

export type Verdict = 'forward' | 'reset' | 'pass' | 'drop';

export interface Exit {
  readonly verdict: Verdict;
  readonly reason: string;
}

/** In the order of their numbers. The first nine are what wire/flow.ts returns. */
export const EXITS: readonly Exit[] = [
  { verdict: 'forward', reason: 'forwarded' },
  { verdict: 'pass', reason: 'not-ipv4' },
  { verdict: 'drop', reason: 'truncated' },
  { verdict: 'drop', reason: 'bad-ip-header' },
  { verdict: 'pass', reason: 'other-protocol' },
  { verdict: 'drop', reason: 'ip-options' },
  { verdict: 'drop', reason: 'ttl-expired' },
  { verdict: 'drop', reason: 'fragment' },
  { verdict: 'drop', reason: 'bad-tcp-header' },
  { verdict: 'pass', reason: 'not-vip' },
  { verdict: 'pass', reason: 'other-port' },
  { verdict: 'drop', reason: 'no-backend' },
  { verdict: 'drop', reason: 'no-neighbour' },
  { verdict: 'drop', reason: 'too-big' },
  { verdict: 'reset', reason: 'unknown-connection' },
  { verdict: 'drop', reason: 'unknown-reset' },
];

export const FORWARDED = 0;
export const NOT_VIP = 9;
export const OTHER_PORT = 10;
export const NO_BACKEND_LEFT = 11;
export const NO_NEIGHBOUR = 12;
export const TOO_BIG = 13;
export const RESET_UNKNOWN = 14;
export const UNKNOWN_RESET = 15;

const ACTIONS: Record<Verdict, number> = { forward: TRANSMIT, reset: TRANSMIT, pass: PASS, drop: RELEASE };

/** What the device does with a frame that left by an exit (io/device.ts), by the exit's number. */
export const EXIT_ACTION: Uint8Array = Uint8Array.from(EXITS, (exit) => ACTIONS[exit.verdict]);
