/**
 * The exits of the packet's walk: each way to leave it has a number, a verdict and a reason, and a counter for every
 * service. docs/packet-walk.md draws them; metrics and tests read their names from here.
 */
import { PASS, RELEASE, TRANSMIT } from '../io/device.ts';

/**
 * `answer`: an ICMP message goes back to the sender. `hold`: a copy waits, for the first fragment of its datagram or for room in
 * the batch; it is counted again where it leaves.
 */
export type Verdict = 'forward' | 'reset' | 'answer' | 'pass' | 'hold' | 'drop';

export interface Exit {
  readonly verdict: Verdict;
  readonly reason: string;
  /** Packets that leave here belong to a service: its counter counts them. The others are nobody's. */
  readonly ofService: boolean;
}

/** In the order of their numbers. The first ten are what wire/flow.ts returns. */
export const EXITS: readonly Exit[] = [
  { verdict: 'forward', reason: 'forwarded', ofService: true },
  { verdict: 'pass', reason: 'not-ip', ofService: false },
  { verdict: 'drop', reason: 'truncated', ofService: false },
  { verdict: 'drop', reason: 'bad-ip-header', ofService: false },
  { verdict: 'pass', reason: 'other-protocol', ofService: false },
  { verdict: 'drop', reason: 'ip-options', ofService: false },
  { verdict: 'drop', reason: 'ttl-expired', ofService: false },
  { verdict: 'drop', reason: 'fragment', ofService: false },
  { verdict: 'drop', reason: 'bad-tcp-header', ofService: false },
  { verdict: 'drop', reason: 'bad-udp-header', ofService: false },
  { verdict: 'pass', reason: 'not-vip', ofService: false },
  { verdict: 'pass', reason: 'other-port', ofService: false },
  { verdict: 'drop', reason: 'no-backend', ofService: true },
  { verdict: 'drop', reason: 'no-neighbour', ofService: true },
  { verdict: 'drop', reason: 'too-big', ofService: true },
  { verdict: 'reset', reason: 'unknown-connection', ofService: true },
  { verdict: 'drop', reason: 'unknown-reset', ofService: true },
  { verdict: 'drop', reason: 'unknown-connection', ofService: true },
  { verdict: 'reset', reason: 'expired-connection', ofService: true },
  { verdict: 'answer', reason: 'too-big', ofService: true },
  { verdict: 'answer', reason: 'echo', ofService: false },
  { verdict: 'drop', reason: 'bad-icmp', ofService: false },
  { verdict: 'drop', reason: 'icmp-of-no-flow', ofService: false },
  { verdict: 'drop', reason: 'bad-fragment', ofService: false },
  { verdict: 'hold', reason: 'early-fragment', ofService: false },
  { verdict: 'drop', reason: 'late-fragment', ofService: false },
  { verdict: 'hold', reason: 'too-big', ofService: true },
];

export const FORWARDED = 0;
export const FRAGMENT = 7;
export const NOT_VIP = 10;
export const OTHER_PORT = 11;
export const NO_BACKEND_LEFT = 12;
export const NO_NEIGHBOUR = 13;
export const TOO_BIG = 14;
export const RESET_UNKNOWN = 15;
export const UNKNOWN_RESET = 16;
export const UNKNOWN_DROPPED = 17;
export const RESET_EXPIRED = 18;
export const TOO_BIG_ANSWERED = 19;
export const ECHO_ANSWERED = 20;
export const BAD_ICMP = 21;
export const ICMP_OF_NO_FLOW = 22;
export const BAD_FRAGMENT = 23;
export const EARLY_FRAGMENT = 24;
export const LATE_FRAGMENT = 25;
export const TOO_BIG_HELD = 26;

const ACTIONS: Record<Verdict, number> = {
  forward: TRANSMIT,
  reset: TRANSMIT,
  answer: TRANSMIT,
  pass: PASS,
  hold: RELEASE,
  drop: RELEASE,
};

/** What the device does with a frame that left by an exit (io/device.ts), by the exit's number. */
export const EXIT_ACTION: Int32Array = Int32Array.from(EXITS, (exit) => ACTIONS[exit.verdict]);
