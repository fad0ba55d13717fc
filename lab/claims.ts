/**
 * The sentences that promises are made of: each looks at a run's findings and says whether it holds, and what was seen.
 */
import type { Outcome } from './connections.ts';
import type { Findings } from './findings.ts';
import type { Claim } from './scenario.ts';

export function tally(findings: Pick<Findings, 'connections'>, outcome: Outcome): number {
  return findings.connections.filter((connection) => connection.outcome === outcome).length;
}

const OUTCOME_WORDS: Record<Outcome, string> = {
  kept: 'kept',
  'reset-by-backend': 'reset by a backend, as a capture shows',
  'reset-by-balancer': 'reset by the balancer, as a capture shows',
  'reset-by-unknown': 'reset by someone unknown',
  'closed-by-server': 'closed by the server without an answer, as a capture shows',
  'closed-by-balancer': 'closed by the balancer without an answer, as a capture shows',
  'bad-gateway': 'answered with 502, as a capture shows',
  hung: 'hung',
  error: 'ended in another error',
};

export function count(findings: Findings, outcome: Outcome, expected: number): Claim {
  const seen = tally(findings, outcome);
  return { promised: `${expected} connections ${OUTCOME_WORDS[outcome]}`, seen: `${seen}`, held: seen === expected };
}

export function allKept(findings: Findings): Claim {
  return count(findings, 'kept', findings.connectionsAsked);
}

/** What every scenario needs, or its own claims mean nothing. */
export function complete({ framesLost }: Findings): Claim {
  return { promised: 'the captures are complete', seen: `${framesLost} frames lost`, held: framesLost === 0 };
}

export function firstAnswers({ connections, connectionsAsked }: Findings): Claim {
  const opened = connections.filter(({ backendBefore }) => backendBefore !== null).length;
  return { promised: 'every first request at a backend', seen: `${opened}`, held: opened === connectionsAsked };
}

export function forgotten({ balancer, connectionsAsked }: Findings): Claim {
  const { entriesAtPeak = 0, entriesBeforeSecond = 0 } = balancer ?? {};
  return {
    promised: 'the table holds every connection, and none when the second requests come',
    seen: `${entriesAtPeak} at its fullest, ${entriesBeforeSecond} before the second requests`,
    held: balancer !== null && entriesAtPeak >= connectionsAsked && entriesBeforeSecond === 0,
  };
}

export function sameBackend({ connections }: Findings): Claim {
  const moved = connections.filter(({ backendBefore, backendAfter }) => backendBefore !== backendAfter).length;
  return { promised: 'every second request at the same backend', seen: `${moved} elsewhere`, held: moved === 0 };
}

/** Of all packets, also those without data. */
export function noStrays({ strays }: Findings): Claim {
  return {
    promised: 'every packet of a connection at one and the same backend',
    seen: `${strays} connections at several`,
    held: strays === 0,
  };
}

export function balancerResets({ balancer }: Findings, expected: number): Claim {
  return {
    promised: `${expected} RSTs from the balancer, by the captures and by its own count`,
    seen: `${balancer?.resetsCaptured} captured, ${balancer?.resetsCounted} counted`,
    held: balancer?.resetsCaptured === expected && balancer.resetsCounted === expected,
  };
}

/** A connection may draw several RSTs: for each packet that was on its way. */
export function resetsForEach({ balancer }: Findings, connections: number): Claim {
  const { resetsCaptured = 0, resetsCounted = 0 } = balancer ?? {};
  return {
    promised: `at least ${connections} RSTs from the balancer, as many captured as it counts itself`,
    seen: `${resetsCaptured} captured, ${resetsCounted} counted`,
    held: resetsCaptured >= connections && resetsCaptured === resetsCounted,
  };
}

/** Packets of connections that the table did not know. */
export function misses({ balancer }: Findings, atLeast: number): Claim {
  const seen = balancer?.nonSynMisses ?? 0;
  return { promised: `at least ${atLeast} non-SYN misses`, seen: `${seen}`, held: seen >= atLeast };
}

/**
 * With N backends and the second requests in random order, each connection is lost with probability (N-1)/N. The bounds
 * are 4.5 standard deviations wide on either side: a run in 100,000 would miss them by chance.
 */
export function lostToOtherBackends(findings: Findings): Claim {
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
