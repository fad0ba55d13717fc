/**
 * Scenarios in which the balancer forgets idle connections, and what becomes of these depends on how it is set. The
 * promise goes by the settings, so that `--mode` and `--scheduler` turn one story into another.
 */
import {
  allKept,
  balancerResets,
  complete,
  count,
  firstAnswers,
  forgotten,
  lostToOtherBackends,
  sameBackend,
  tally,
} from './claims.ts';
import type { Findings } from './findings.ts';
import type { Adjustable, Claim, Scenario, Timeouts } from './scenario.ts';

/** Client 60 s, balancer 10 s, server 60 s, at the default scale. */
export const SCALED: Timeouts = { client: 12_000, balancer: 2000, server: 12_000 };

const TIMEOUT_OPTIONS: readonly Adjustable[] = ['client-idle', 'lb-idle', 'server-idle'];

const IDLE = {
  variant: null,
  timeouts: SCALED,
  scaled: true,
  plot: { kind: 'idle' },
  webServer: null,
  adjustable: [...TIMEOUT_OPTIONS, 'mode', 'scheduler', 'backends', 'connections'],
  patienceMs: 3000,
  promise: (findings) => [
    firstAnswers(findings),
    forgotten(findings),
    complete(findings),
    ...promiseBySettings(findings),
  ],
} as const satisfies Partial<Scenario>;

export const IDLE_SCENARIOS: readonly Scenario[] = [
  {
    ...IDLE,
    name: 'stateless',
    summary: 'a forgotten connection is hashed again, to the same backend: all are kept',
    story:
      'Keep-alive connections stay idle for longer than the balancer remembers them, and it forgets each without a word ' +
      'to anyone. The next request is hashed again, reaches the backend that has known the connection all along, and ' +
      'the client notices nothing.',
    balancer: { mode: 'stateless', scheduler: 'maglev' },
    shows: 'kept',
  },
  {
    ...IDLE,
    name: 'round-robin',
    summary: 'a forgotten connection goes to the next backend in turn, whose kernel answers RST',
    story:
      'Keep-alive connections stay idle until the balancer has forgotten them, and the next packet of each goes to ' +
      'whichever backend is next in turn. Most land on one that never saw their handshake, and its kernel answers RST.',
    balancer: { mode: 'stateless', scheduler: 'round-robin' },
    shows: 'reset-by-backend',
  },
  {
    ...IDLE,
    name: 'syn-only',
    summary: 'only a SYN may open a table entry, the balancer answers the rest with RST: all are lost',
    story:
      'Keep-alive connections stay idle until the balancer has forgotten them, and only a SYN may open a new entry in ' +
      'its table. Their next request is no SYN, so the balancer answers RST itself, though the backend would have known them.',
    balancer: { mode: 'stateful', scheduler: 'maglev' },
    shows: 'reset-by-balancer',
  },
  {
    ...IDLE,
    name: 'syn-only',
    variant: 'cured',
    summary: 'the same with one toggle turned: any segment may open an entry, all are kept',
    story:
      'The same connections, the same silence, the same timeouts; but any segment may open an entry, not only a SYN. It is ' +
      'one toggle on the boxes that need it: loose initiation in a FastL4 profile of F5, connfailover stateless on a Citrix ' +
      'virtual server.',
    balancer: { mode: 'stateless', scheduler: 'maglev' },
    adjustable: [...TIMEOUT_OPTIONS, 'backends', 'connections'],
    shows: 'kept',
  },
  {
    ...IDLE,
    name: 'drop-mode',
    summary: 'what belongs to no entry is dropped without a word: the client sends again and again, and hangs',
    story:
      'Keep-alive connections stay idle until the balancer has forgotten them, and it drops what it does not know. Nobody ' +
      'tells the client: it sends its request again after ever longer waits, for a quarter of an hour by the default of ' +
      'Linux (tcp_retries2). This one is given up after 7 seconds.',
    balancer: { mode: 'stateful', scheduler: 'maglev', onMiss: 'drop' },
    adjustable: [...TIMEOUT_OPTIONS, 'backends', 'connections'],
    patienceMs: 7000,
    shows: 'hung',
  },
];

function promiseBySettings(findings: Findings): Claim[] {
  const { balancer, connectionsAsked } = findings;
  if (balancer?.onMiss === 'drop') {
    return [
      count(findings, 'hung', connectionsAsked),
      sentAgain(findings),
      everLonger(findings),
      balancerResets(findings, 0),
    ];
  }
  if (balancer?.mode === 'stateful') {
    return [count(findings, 'reset-by-balancer', connectionsAsked), balancerResets(findings, connectionsAsked)];
  }
  if (balancer?.scheduler === 'round-robin') {
    return [
      lostToOtherBackends(findings),
      count(findings, 'reset-by-backend', connectionsAsked - tally(findings, 'kept')),
      balancerResets(findings, 0),
    ];
  }
  return [allKept(findings), sameBackend(findings), balancerResets(findings, 0)];
}

/** Linux waits for 0.2 s at the least (RFC 6298 says 1 s) and doubles: in 7 s it sends some six times. */
function sentAgain({ leastAttempts }: Findings): Claim {
  return {
    promised: 'every second request sent at least four times',
    seen: `one only ${leastAttempts} times`,
    held: leastAttempts >= 4,
  };
}

/**
 * The first wait is a tail loss probe's (RFC 8985), then they double (RFC 6298, section 5.5). They are the kernel's timers,
 * at the client itself; a quarter is left to a machine that stalls.
 */
function everLonger({ attemptGapsMs }: Findings): Claim {
  const waits = attemptGapsMs.slice(1);
  return {
    promised: 'from the second on, each wait about twice the one before',
    seen: attemptGapsMs.map((wait) => `${wait} ms`).join(', '),
    held: waits.length >= 2 && waits.every((wait, i) => i === 0 || Math.abs(wait / waits[i - 1] - 2) <= 0.5),
  };
}
