/**
 * Scenarios in which answers come in pieces, over many seconds: a balancer dies meanwhile, or the servers alone speak.
 */
import { allKept, balancerResets, complete, count, firstAnswers, misses, noStrays, resetsForEach } from './claims.ts';
import type { Findings } from './findings.ts';
import { SCALED } from './idle-scenarios.ts';
import type { Claim, Scenario } from './scenario.ts';

const COMMON = {
  timeouts: SCALED,
  scaled: true,
  webServer: 'node',
  patienceMs: 12_000,
} as const satisfies Partial<Scenario>;

/** Five seconds of transfer: long enough for a balancer to start again within, and for TCP to send again what was lost. */
const DOWNLOAD = { kind: 'transfer', everyMs: () => 300, pieces: 16 } as const;

const STATELESS = { mode: 'stateless', scheduler: 'maglev' } as const;
const STATEFUL = { mode: 'stateful', scheduler: 'maglev' } as const;

const RESTART = {
  ...COMMON,
  name: 'lb-restart',
  plot: { ...DOWNLOAD, disaster: 'restart' },
  adjustable: ['backends', 'connections'],
} as const satisfies Partial<Scenario>;

const FAILOVER = {
  ...COMMON,
  name: 'lb-failover',
  plot: { ...DOWNLOAD, disaster: 'failover' },
  adjustable: ['backends', 'connections'],
} as const satisfies Partial<Scenario>;

const PUSH = {
  ...COMMON,
  name: 'server-push',
  adjustable: ['lb-idle', 'backends', 'connections'],
} as const satisfies Partial<Scenario>;

export const TRANSFER_SCENARIOS: readonly Scenario[] = [
  {
    ...RESTART,
    variant: null,
    summary: 'the balancer is killed and starts again with an empty table: stateless, all transfers go on',
    story:
      'In the middle of transfers the balancer is killed with SIGKILL, and started again with an empty table. Each ' +
      "connection's next packet is hashed to the backend that it always went to: the transfers stall for a moment and " +
      'go on.',
    balancer: STATELESS,
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      allKept(findings),
      noStrays(findings),
      misses(findings, findings.connectionsAsked),
      onlyNonSyn(findings),
      balancerResets(findings, 0),
    ],
  },
  {
    ...RESTART,
    variant: 'stateful',
    summary: 'the same, stateful: every connection is lost',
    story:
      'The same death, but the table was the truth: the new balancer knows none of the connections, and answers the first ' +
      'packet of each with RST, in the middle of its transfer.',
    balancer: STATEFUL,
    shows: 'reset-by-balancer',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      count(findings, 'reset-by-balancer', findings.connectionsAsked),
      resetsForEach(findings, findings.connectionsAsked),
    ],
  },
  {
    ...FAILOVER,
    variant: null,
    summary: 'one of two balancers dies, its connections arrive at the other: stateless, all transfers go on',
    story:
      'A router spreads connections over two balancers by their ports. One is killed in the middle of transfers and its ' +
      'route withdrawn; its connections arrive at the other one, which never saw them and yet picks the same backends.',
    balancer: STATELESS,
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      bothUsed(findings),
      allKept(findings),
      noStrays(findings),
      misses(findings, findings.openedByTheDead),
      balancerResets(findings, 0),
    ],
  },
  {
    ...FAILOVER,
    variant: 'stateful',
    summary: 'the same, stateful: the connections of the dead one are lost',
    story:
      'The same death, stateful: the balancer that is left keeps the connections that were its own, and answers those of ' +
      'the dead one with RST.',
    balancer: STATEFUL,
    shows: 'reset-by-balancer',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      bothUsed(findings),
      count(findings, 'reset-by-balancer', findings.openedByTheDead),
      count(findings, 'kept', findings.connectionsAsked - findings.openedByTheDead),
      resetsForEach(findings, findings.openedByTheDead),
    ],
  },
  {
    ...PUSH,
    variant: null,
    summary: 'only the servers send, often: the ACKs of their data refresh the table, even a SYN-only one',
    story:
      "For longer than the balancer's idle timeout only the servers send, and their data passes the balancer by. But the " +
      "client's ACKs don't: each refreshes its entry, and even a balancer that admits nothing but SYNs forgets no one.",
    balancer: STATEFUL,
    plot: { kind: 'transfer', everyMs: ({ balancer }) => Math.round(balancer / 4), pieces: 8, disaster: null },
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      allKept(findings),
      dataPassedBy(findings),
      noneForgotten(findings),
      balancerResets(findings, 0),
    ],
  },
  {
    ...PUSH,
    variant: 'seldom',
    summary: "they send less often than the table's idle timeout: the ACK of their data is answered with RST",
    story:
      "The servers send again, but after a silence longer than the balancer's idle timeout, of which the balancer sees " +
      "nothing: what comes is the client's ACK of data it never saw. The entry is gone, and the balancer resets a client " +
      'that has only listened.',
    balancer: STATEFUL,
    plot: { kind: 'transfer', everyMs: ({ balancer }) => Math.round(balancer * 1.5), pieces: 2, disaster: null },
    shows: 'reset-by-balancer',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      dataPassedBy(findings),
      count(findings, 'reset-by-balancer', findings.connectionsAsked),
      resetsForEach(findings, findings.connectionsAsked),
    ],
  },
  {
    ...PUSH,
    variant: 'seldom, stateless',
    summary: 'the same, stateless: the ACK opens the entry again, all are kept',
    story:
      'The same long silences, and the same entries gone; but here the ACK is hashed as any packet is, reaches the backend ' +
      'that waits for it, and opens the entry again.',
    balancer: STATELESS,
    plot: { kind: 'transfer', everyMs: ({ balancer }) => Math.round(balancer * 1.5), pieces: 2, disaster: null },
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      dataPassedBy(findings),
      allKept(findings),
      noStrays(findings),
      misses(findings, findings.connectionsAsked),
      balancerResets(findings, 0),
    ],
  },
];

function onlyNonSyn({ balancer }: Findings): Claim {
  const seen = balancer?.synMisses ?? 0;
  return { promised: 'no SYN at the balancer since it started again', seen: `${seen}`, held: seen === 0 };
}

/** Ports are spread by a hash: that all of 50 connections go one way happens once in 2^49 runs. */
function bothUsed({ openedByTheDead: dead, connectionsAsked: all }: Findings): Claim {
  return {
    promised: 'each of the two balancers had a part of the connections',
    seen: `the dead one ${dead} of ${all}`,
    held: dead > 0 && dead < all,
  };
}

function dataPassedBy({ answersAtBalancer: seen }: Findings): Claim {
  return { promised: 'no packet of a backend at the balancer (DSR)', seen: `${seen}`, held: seen === 0 };
}

function noneForgotten({ balancer }: Findings): Claim {
  const { expired = 0, nonSynMisses = 0 } = balancer ?? {};
  return {
    promised: 'no entry expired, no non-SYN miss',
    seen: `${expired} expired, ${nonSynMisses} non-SYN misses`,
    held: balancer !== null && expired === 0 && nonSynMisses === 0,
  };
}
