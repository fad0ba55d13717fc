/**
 * Scenarios in which the client sends much: a tunnel's header makes packets longer than the path takes, and somebody must
 * know before they are sent, or be told.
 */
import { allKept, balancerResets, complete, count, firstAnswers, noStrays } from './claims.ts';
import type { Findings } from './findings.ts';
import { SCALED } from './idle-scenarios.ts';
import type { Claim, Scenario } from './scenario.ts';
import { fittingPacket, mssFor, type Telling } from './too-big.ts';

const UPLOAD = {
  name: 'upload',
  timeouts: SCALED,
  scaled: true,
  webServer: 'node',
  connections: 4,
  adjustable: ['backends', 'scheduler'],
} as const satisfies Partial<Scenario>;

const PLOT = { kind: 'upload', bytes: 2 ** 20, losesIcmp: false } as const;
const STATELESS = { mode: 'stateless', scheduler: 'maglev' } as const;

export const UPLOAD_SCENARIOS: readonly Scenario[] = [
  {
    ...UPLOAD,
    variant: null,
    summary: 'clients send 1 MiB through a tunnel: the balancer lowers the MSS of SYNs, so that all of it fits',
    story:
      'The path takes packets of 1500 bytes, and the tunnel to the backends has its own header in each. The balancer writes ' +
      "into every SYN what fits behind that header, so the client's segments are no longer than they may be.",
    balancer: STATELESS,
    plot: PLOT,
    patienceMs: 20_000,
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      allKept(findings),
      noStrays(findings),
      mss(findings, true),
      tellings(findings, 'told', 'none'),
      fits(findings),
      balancerResets(findings, 0),
    ],
  },
  {
    ...UPLOAD,
    variant: 'path MTU discovery alone',
    summary: 'the MSS stays as it is: the balancer tells the clients how much fits, and they send that',
    story:
      "The MSS is left alone, so the client's first long segments do not fit into the tunnel. The balancer tells the client " +
      'how much does, by an ICMP error from the VIP, and the client sends it again in shorter ones.',
    balancer: { ...STATELESS, mssClamp: 'off' },
    plot: PLOT,
    patienceMs: 20_000,
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      allKept(findings),
      noStrays(findings),
      mss(findings, false),
      tellings(findings, 'heard', 'some'),
      fits(findings),
      balancerResets(findings, 0),
    ],
  },
  {
    ...UPLOAD,
    variant: 'neither',
    summary: 'the MSS stays as it is, and a firewall drops ICMP: short requests are answered, long ones hang',
    story:
      'As before, but a router drops ICMP, as firewalls do. The client sends its long segments again and again, and never ' +
      'hears why nobody answers: its short requests work, its uploads hang.',
    balancer: { ...STATELESS, mssClamp: 'off' },
    plot: { ...PLOT, losesIcmp: true },
    patienceMs: 4000,
    shows: 'hung',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      count(findings, 'hung', findings.connectionsAsked),
      mss(findings, false),
      tellings(findings, 'told', 'some'),
      tellings(findings, 'heard', 'none'),
      balancerResets(findings, 0),
    ],
  },
];

function fitting({ balancer, upload }: Findings): number {
  return fittingPacket(balancer?.encap ?? 'ipip', upload?.family ?? 4);
}

function mss(findings: Findings, clamped: boolean): Claim {
  const { mssSent = [], mssArrived = [], family = 4 } = findings.upload ?? {};
  const untouched = mssSent.join();
  const expected = clamped ? String(mssFor(fitting(findings), family)) : untouched;
  return {
    promised: clamped
      ? `every SYN reaches its backend with an MSS of ${expected}`
      : 'every SYN reaches its backend with the MSS that the client wrote',
    seen: `${untouched} sent, ${mssArrived.join()} arrived`,
    held: mssArrived.length > 0 && mssArrived.join() === expected,
  };
}

function tellings(findings: Findings, which: 'told' | 'heard', howMany: 'none' | 'some'): Claim {
  const seen = findings.upload?.[which] ?? [];
  const bytes = fitting(findings);
  const values = [...new Set(seen.map(({ mtu }: Telling) => mtu))];
  const who = which === 'told' ? 'the balancer tells' : 'the client hears';
  return {
    promised: howMany === 'none' ? `${who} of no packet that is too big` : `${who} that ${bytes} bytes fit`,
    seen: seen.length === 0 ? 'no such message' : `${seen.length} messages, of ${values.join(' and ')} bytes`,
    held: howMany === 'none' ? seen.length === 0 : values.length === 1 && values[0] === bytes,
  };
}

/** The path is used to the full: nobody made segments shorter than they had to be. */
function fits(findings: Findings): Claim {
  const full = 1500;
  const seen = findings.upload?.largestSent ?? 0;
  return {
    promised: `the longest packets that leave the balancer are of ${full} bytes`,
    seen: `${seen}`,
    held: seen === full,
  };
}
