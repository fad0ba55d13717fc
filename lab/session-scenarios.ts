/**
 * Scenarios without hushlb: the race between a request and the FIN of a server that has waited long enough. Clients of
 * Python's requests meet it directly, and behind balancers of layer 7, which are themselves clients of the servers.
 */
import { allKept, complete, tally } from './claims.ts';
import type { Findings } from './findings.ts';
import type { Claim, Scenario, Timeouts } from './scenario.ts';

const SERVER_TIMEOUT: Timeouts['server'] = 1000;

const COMMON = {
  balancer: null,
  mostConnections: 200,
  scaled: false,
  webServer: 'nginx',
  adjustable: ['connections'],
  patienceMs: 5000,
} as const satisfies Partial<Scenario>;

/**
 * At their real times, which a scale of 1 is: the wait is 0.9 to 1.0 s, the server waits for 1 s, a packet travels for 5 ms: a request is under way when the server
 * closes if it is sent in the last 10 of these 100 ms, one in ten. 60 sessions send 5 times after their first:
 * that none of them meets it happens once in 10^13 runs.
 */
const DIRECT = {
  ...COMMON,
  name: 'direct-race',
  backends: 1,
  plot: {
    kind: 'sessions',
    method: 'GET',
    together: false,
    pace: { requests: 6, aroundMs: ({ server }) => server, least: 0, most: 100, delayMs: 5 },
  },
} as const satisfies Partial<Scenario>;

/**
 * Requests come together, or a few connections to the servers would serve all clients and none be idle. A packet travels
 * for 25 ms between the balancer and everyone else: the race is lost by a client that waits for 0.9 to 0.95 s, because its
 * waiting begins 50 ms after the server's and 50 ms pass until its request is there. The middle is aimed at, less some
 * milliseconds that the client itself takes. The wait is a fifth of the balancer's timeout: the servers' timeout where
 * things are badly ordered.
 */
const LAYER_7 = {
  ...COMMON,
  name: 'l7-idle',
  adjustable: ['connections', 'backends'],
  plot: {
    kind: 'sessions',
    method: 'POST',
    together: true,
    pace: { requests: 6, aroundMs: ({ balancer }) => balancer / 5, least: 80, most: 99, delayMs: 25 },
  },
} as const satisfies Partial<Scenario>;

const BADLY_ORDERED: Timeouts = { client: 60_000, balancer: 5000, server: SERVER_TIMEOUT };
const WELL_ORDERED: Timeouts = { client: 2000, balancer: 5000, server: 12_000 };

export const SESSION_SCENARIOS: readonly Scenario[] = [
  {
    ...DIRECT,
    variant: null,
    summary: 'no balancer: a request meets the FIN of a server that has waited long enough, RemoteDisconnected',
    story:
      "nginx closes a connection that was idle for too long, and sessions of Python's requests send again in the last 0.1 s " +
      'before it does. Now and then a request and the FIN pass each other on the way: the client is told RemoteDisconnected.',
    timeouts: { client: 60_000, balancer: 0, server: SERVER_TIMEOUT },
    shows: 'closed-by-server',
    promise: (findings) => [complete(findings), someFailed(findings), failedByRace(findings), noneElse(findings)],
  },
  {
    ...DIRECT,
    variant: 'cured',
    summary: 'the same with a client that closes first: no errors',
    story:
      "The same server and the same sessions, but the client's idle timeout is the shorter one: it never uses a connection " +
      'again that the server may be about to close.',
    timeouts: { client: 500, balancer: 0, server: SERVER_TIMEOUT },
    shows: 'kept',
    promise: (findings) => [complete(findings), allKept(findings), nothingTooLate(findings)],
  },
  ...(['haproxy', 'nginx'] as const).flatMap((proxy): Scenario[] => {
    const name = proxy === 'haproxy' ? 'HAProxy' : 'nginx';
    return [
      {
        ...LAYER_7,
        proxy,
        variant: name,
        summary: `${name} keeps idle connections for longer than its servers do: requests fail`,
        story:
          `${name} keeps connections to the servers for longer than the servers do: it is a client like any other, and ` +
          'loses the same race. Whoever stands before it gets a 502, or a connection closed without an answer.',
        timeouts: BADLY_ORDERED,
        shows: proxy === 'haproxy' ? 'closed-by-balancer' : 'bad-gateway',
        promise: (findings) => [complete(findings), someFailed(findings), failedByRace(findings), noneElse(findings)],
      },
      {
        ...LAYER_7,
        proxy,
        variant: `${name}, well ordered`,
        summary: 'client < balancer < server: no errors',
        story:
          'The same requests; but each idle timeout is longer than that of the one before it: client, balancer, servers. ' +
          'Whoever sends is always the first to give a connection up.',
        timeouts: WELL_ORDERED,
        shows: 'kept',
        promise: (findings) => [complete(findings), allKept(findings), nothingTooLate(findings)],
      },
    ];
  }),
];

const FAILURES = [
  'closed-by-server',
  'closed-by-balancer',
  'bad-gateway',
  'reset-by-backend',
  'reset-by-balancer',
] as const;

function failed(findings: Findings): number {
  return FAILURES.reduce((sum, outcome) => sum + tally(findings, outcome), 0);
}

function someFailed(findings: Findings): Claim {
  const seen = failed(findings);
  const promised = 'sessions end in a closed connection, an RST or a 502, as captures show';
  return { promised, seen: `${seen} of ${findings.connectionsAsked}`, held: seen > 0 };
}

/** A server that has closed, or closes with a request unread, says RST: each failure has one of these. */
function failedByRace(findings: Findings): Claim {
  return {
    promised: 'each failed request came to a server that had closed the connection just before',
    seen: `${failed(findings)} failed, ${findings.sentTooLate} came too late`,
    held: findings.sentTooLate >= failed(findings),
  };
}

function noneElse(findings: Findings): Claim {
  const others = findings.connectionsAsked - failed(findings) - tally(findings, 'kept');
  return { promised: 'no session ends otherwise', seen: `${others} did`, held: others === 0 };
}

function nothingTooLate({ sentTooLate }: Findings): Claim {
  return {
    promised: 'no request came to a connection that its server had closed',
    seen: `${sentTooLate}`,
    held: sentTooLate === 0,
  };
}
