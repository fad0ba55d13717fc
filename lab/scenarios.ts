/**
 * The scenarios as data: how the balancer is set, the story in two sentences, and the promise that a run is checked
 * against. A promise is a list of claims; each says what was seen instead where it does not hold.
 */
import type { BalancerSettings } from './balancer.ts';
import type { Outcome } from './connections.ts';
import type { Findings } from './findings.ts';

export interface Claim {
  /** What was promised, as a sentence without a full stop. */
  readonly promised: string;
  readonly seen: string;
  readonly held: boolean;
}

export interface Scenario {
  readonly name: string;
  /** One line, for `hushlb lab list`. */
  readonly summary: string;
  /** Two sentences, for people who see the run. */
  readonly story: string;
  readonly balancer: BalancerSettings;
  /** How long the client stays silent between its two requests. */
  readonly clientIdleMs: number;
  /** The ladder shows a connection that ended so, where there is one. */
  readonly shows: Outcome;
  promise(findings: Findings): Claim[];
}

const IDLE_TIMEOUT_MS = 2000;
/** Past the balancer's timeout, with room for its sweep and for the probe that looks at the table. */
const CLIENT_IDLE_MS = 3500;

/** In the order in which they are best told. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'stateless',
    summary: 'a forgotten connection is hashed again, to the same backend: all are kept',
    story:
      'Keep-alive connections stay idle for longer than the balancer remembers them, and it forgets each without a word ' +
      'to anyone. The next request is hashed again, reaches the backend that has known the connection all along, and ' +
      'the client notices nothing.',
    balancer: { mode: 'stateless', scheduler: 'maglev', idleTimeoutMs: IDLE_TIMEOUT_MS },
    clientIdleMs: CLIENT_IDLE_MS,
    shows: 'kept',
    promise: (findings) => [
      count(findings, 'kept', findings.connectionsAsked),
      sameBackend(findings),
      balancerResets(findings, 0),
    ],
  },
  {
    name: 'round-robin',
    summary: 'a forgotten connection goes to the next backend in turn, whose kernel answers RST',
    story:
      'Keep-alive connections stay idle until the balancer has forgotten them, and the next packet of each goes to ' +
      'whichever backend is next in turn. Most land on one that never saw their handshake, and its kernel answers RST.',
    balancer: { mode: 'stateless', scheduler: 'round-robin', idleTimeoutMs: IDLE_TIMEOUT_MS },
    clientIdleMs: CLIENT_IDLE_MS,
    shows: 'reset-by-backend',
    promise: (findings) => [
      lostToOtherBackends(findings),
      count(findings, 'reset-by-backend', findings.connectionsAsked - tally(findings, 'kept')),
      balancerResets(findings, 0),
    ],
  },
  {
    name: 'syn-only',
    summary: 'only a SYN may open a table entry, the balancer answers the rest with RST: all are lost',
    story:
      'Keep-alive connections stay idle until the balancer has forgotten them, and only a SYN may open a new entry in ' +
      'its table. Their next request is no SYN, so the balancer answers RST itself, though the backend would have known them.',
    balancer: { mode: 'stateful', scheduler: 'maglev', idleTimeoutMs: IDLE_TIMEOUT_MS },
    clientIdleMs: CLIENT_IDLE_MS,
    shows: 'reset-by-balancer',
    promise: (findings) => [
      count(findings, 'reset-by-balancer', findings.connectionsAsked),
      balancerResets(findings, findings.connectionsAsked),
    ],
  },
];

/** A run as `--json` writes it and lab/report.ts prints it. */
export interface RunResult extends Findings {
  readonly scenario: string;
  readonly promise: {
    readonly held: boolean;
    /** A line for each claim that did not hold: what was promised, what was seen. */
    readonly broken: readonly string[];
    readonly claims: readonly Claim[];
  };
}

export function checkPromise(scenario: Scenario, findings: Findings): RunResult {
  const claims = [...commonClaims(findings), ...scenario.promise(findings)];
  const broken = claims.filter(({ held }) => !held).map(({ promised, seen }) => `promised ${promised}; seen: ${seen}`);
  return { scenario: scenario.name, promise: { held: broken.length === 0, broken, claims }, ...findings };
}

/** What every scenario needs, or its own claims mean nothing. */
function commonClaims(findings: Findings): Claim[] {
  const { balancer, connections, connectionsAsked, framesLost } = findings;
  const opened = connections.filter(({ backendBefore }) => backendBefore !== null).length;
  return [
    { promised: 'every first request at a backend', seen: `${opened}`, held: opened === connectionsAsked },
    {
      promised: 'the table holds every connection, and none when the second requests come',
      seen: `${balancer.entriesAtPeak} at its fullest, ${balancer.entriesBeforeSecond} before the second requests`,
      held: balancer.entriesAtPeak >= connectionsAsked && balancer.entriesBeforeSecond === 0,
    },
    { promised: 'the captures are complete', seen: `${framesLost} frames lost`, held: framesLost === 0 },
  ];
}

export function tally(findings: Findings, outcome: Outcome): number {
  return findings.connections.filter((connection) => connection.outcome === outcome).length;
}

const OUTCOME_WORDS: Record<Outcome, string> = {
  kept: 'kept',
  'reset-by-backend': 'reset by a backend, as a capture shows',
  'reset-by-balancer': 'reset by the balancer, as a capture shows',
  'reset-by-unknown': 'reset by someone unknown',
  hung: 'hung',
  error: 'ended in another error',
};

function count(findings: Findings, outcome: Outcome, expected: number): Claim {
  const seen = tally(findings, outcome);
  return { promised: `${expected} connections ${OUTCOME_WORDS[outcome]}`, seen: `${seen}`, held: seen === expected };
}

function sameBackend({ connections }: Findings): Claim {
  const moved = connections.filter(({ backendBefore, backendAfter }) => backendBefore !== backendAfter).length;
  return { promised: 'every second request at the same backend', seen: `${moved} elsewhere`, held: moved === 0 };
}

function balancerResets({ balancer }: Findings, expected: number): Claim {
  return {
    promised: `${expected} RSTs from the balancer, by the captures and by its own count`,
    seen: `${balancer.resetsCaptured} captured, ${balancer.resetsCounted} counted`,
    held: balancer.resetsCaptured === expected && balancer.resetsCounted === expected,
  };
}

/**
 * With N backends and the second requests in random order, each connection is lost with probability (N-1)/N. The bounds
 * are 4.5 standard deviations wide on either side: a run in 100,000 would miss them by chance.
 */
function lostToOtherBackends(findings: Findings): Claim {
  const total = findings.connectionsAsked;
  const share = (findings.backends.length - 1) / findings.backends.length;
  const spread = 4.5 * Math.sqrt((share * (1 - share)) / total);
  const lost = (total - tally(findings, 'kept')) / total;
  const percent = (value: number): string => `${Math.round(value * 100)} %`;
  const low = Math.max(0, share - spread);
  const high = Math.min(1, share + spread);
  return {
    promised: `about ${percent(share)} of the connections lost (${percent(low)} to ${percent(high)})`,
    seen: percent(lost),
    held: lost >= low && lost <= high,
  };
}
