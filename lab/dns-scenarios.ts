/**
 * Scenarios without connections: questions and answers over UDP, to real DNS servers.
 */
import { allKept, balancerResets, complete, firstAnswers, forgotten, noStrays, sameBackend } from './claims.ts';
import type { Findings } from './findings.ts';
import { SCALED } from './idle-scenarios.ts';
import type { Claim, Scenario } from './scenario.ts';

export const DNS_SCENARIOS: readonly Scenario[] = [
  {
    name: 'dns',
    variant: null,
    summary: 'DNS over UDP: a port that asks again after a long silence is answered by the same server',
    story:
      'Clients ask DNS servers over UDP, each from a port of its own, and are silent for longer than the balancer remembers ' +
      'them. Their next question is hashed again and reaches the same server, which answers from the VIP, past the balancer.',
    balancer: { mode: 'stateless', scheduler: 'maglev', protocol: 'udp' },
    timeouts: SCALED,
    scaled: true,
    plot: { kind: 'idle' },
    webServer: 'dnsmasq',
    adjustable: ['lb-idle', 'backends', 'connections'],
    patienceMs: 10_000,
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      forgotten(findings),
      complete(findings),
      allKept(findings),
      sameBackend(findings),
      noStrays(findings),
      passedBy(findings),
      balancerResets(findings, 0),
    ],
  },
];

function passedBy({ answersAtBalancer: seen }: Findings): Claim {
  return { promised: 'no answer at the balancer (DSR)', seen: `${seen}`, held: seen === 0 };
}
