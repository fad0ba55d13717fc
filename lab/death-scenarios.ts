/**
 * Scenarios in which a backend's server dies under live connections: with health checks no new connection meets it from the
 * verdict on, without them its share of the slots goes on meeting it. What its own connections had is lost either way.
 */
import { binomialBounds } from './binomial.ts';
import { percentText } from './change.ts';
import { balancerResets, complete, firstAnswers } from './claims.ts';
import type { Findings } from './findings.ts';
import { SCALED } from './idle-scenarios.ts';
import type { Claim, Scenario } from './scenario.ts';

const COMMON = {
  name: 'backend-down',
  plot: { kind: 'change', change: 'died' },
  // Nobody's idle timeout matters here.
  timeouts: { ...SCALED, balancer: SCALED.client },
  scaled: true,
  webServer: null,
  adjustable: ['backends', 'connections'],
  patienceMs: 3000,
  shows: 'closed-by-server',
} as const satisfies Partial<Scenario>;

export const DEATH_SCENARIOS: readonly Scenario[] = [
  {
    ...COMMON,
    variant: null,
    summary: "a backend's server dies: health checks find out, no new connection meets it",
    story:
      "A backend's server dies while connections are open. Its own end with it. The balancer's health checks are refused, " +
      'it takes the backend out of the lookup table, and every new connection meets one that lives.',
    balancer: { mode: 'stateless', scheduler: 'maglev', healthChecks: true },
    promise: (findings) => [...whatBothPromise(findings), unanswered(findings, 0)],
  },
  {
    ...COMMON,
    variant: 'unchecked',
    summary: 'the same without health checks: its share of new connections is refused',
    story:
      'The same death, and nobody looks. The dead backend keeps its slots of the lookup table, and so its share of new ' +
      'connections, which its kernel refuses.',
    balancer: { mode: 'stateless', scheduler: 'maglev' },
    promise: (findings) => [...whatBothPromise(findings), unanswered(findings, shareOfTheDead(findings))],
  },
];

function whatBothPromise(findings: Findings): Claim[] {
  return [
    firstAnswers(findings),
    complete(findings),
    othersKept(findings),
    itsOwnClosed(findings),
    balancerResets(findings, 0),
  ];
}

function othersKept({ connections, change }: Findings): Claim {
  const others = connections.filter(({ backendBefore }) => backendBefore !== change?.backend);
  const kept = others.filter(({ outcome }) => outcome === 'kept').length;
  return {
    promised: `all ${others.length} connections of the backends that live kept`,
    seen: `${kept}`,
    held: kept === others.length,
  };
}

function itsOwnClosed({ connections, change }: Findings): Claim {
  const own = connections.filter(({ backendBefore }) => backendBefore === change?.backend);
  const closed = own.filter(({ outcome }) => outcome === 'closed-by-server').length;
  return {
    promised: `all ${own.length} connections of the dead server closed by its kernel, at least one`,
    seen: `${closed}`,
    held: closed === own.length && closed > 0,
  };
}

/** Of the slots, after the death as before it. */
function shareOfTheDead({ change }: Findings): number {
  const slots = Object.values(change?.slots ?? {});
  const total = slots.reduce((sum, { after }) => sum + after, 0);
  return change === undefined || total === 0 ? 0 : change.slots[change.backend].after / total;
}

function unanswered({ change, connectionsAsked }: Findings, share: number): Claim {
  const fresh = change?.newConnections ?? [];
  const refused = fresh.filter(({ backend, error }) => backend === null && error !== null).length;
  const answered = fresh.filter(({ backend, error }) => backend !== null && error === null).length;
  const [low, high] = binomialBounds(connectionsAsked, share);
  const bounds = share === 0 ? 'none of them refused' : `about ${percentText(share)} refused (${low} to ${high})`;
  return {
    promised: `${connectionsAsked} new connections after the death, ${bounds}`,
    seen: `${answered} answered, ${refused} refused`,
    held: answered + refused === connectionsAsked && refused >= low && refused <= high,
  };
}
