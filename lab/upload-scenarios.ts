/**
 * Scenarios in which the client sends much: a tunnel's header makes packets longer than the path takes, and somebody must
 * know before they are sent, or be told.
 */
import { allKept, balancerResets, complete, count, firstAnswers, noStrays } from './claims.ts';
import type { Findings } from './findings.ts';
import { SCALED } from './idle-scenarios.ts';
import type { Claim, Scenario } from './scenario.ts';
import { fittingPacket, LINK_MTU, mssFor, type Telling } from './too-big.ts';

const UPLOAD = {
  name: 'upload',
  timeouts: SCALED,
  scaled: true,
  webServer: 'node',
  connections: 4,
  adjustable: ['backends', 'scheduler'],
} as const satisfies Partial<Scenario>;

const PLOT = { kind: 'upload', bytes: 2 ** 20, announcedBy: null, losesIcmp: false } as const;
const STATELESS = { mode: 'stateless', scheduler: 'maglev' } as const;

const UPLOAD_THAT_FITS = {
  ...UPLOAD,
  balancer: { ...STATELESS, mssClamp: 'auto' },
  patienceMs: 20_000,
  shows: 'kept',
  promise: (findings) => [
    firstAnswers(findings),
    complete(findings),
    allKept(findings),
    noStrays(findings),
    mss(findings),
    answered(findings, true),
    tellings(findings, 'told', 'none'),
    fits(findings),
    balancerResets(findings, 0),
  ],
} as const satisfies Partial<Scenario>;

export const UPLOAD_SCENARIOS: readonly Scenario[] = [
  {
    ...UPLOAD_THAT_FITS,
    variant: null,
    summary: 'clients send 1 MiB through a tunnel, and every MSS leaves room for it: all fits at once',
    story:
      'The path takes packets of 1500 bytes, and the tunnel to the backends has its own header in each. An MSS limits what ' +
      "the other side sends. The balancer lowers that of the client's SYNs, for answers; theirs the backends announce past " +
      "it, as their route says (advmss), and the client's segments fit.",
    plot: { ...PLOT, announcedBy: 'route' },
  },
  {
    ...UPLOAD_THAT_FITS,
    variant: 'by hushlb decap',
    summary: 'the same, and hushlb decap on the backends lowers the MSS that they announce',
    story:
      "The backends' routes say nothing of an MSS. Beside taking the tunnel off, hushlb decap --mss-clamp auto lowers it in " +
      'their SYN-ACKs, as they leave.',
    plot: { ...PLOT, announcedBy: 'decap' },
  },
  {
    ...UPLOAD,
    variant: 'path MTU discovery alone',
    summary: 'the MSS stays as it is: the balancer tells the clients how much fits, and they send that',
    story:
      "Nobody lowers an MSS, so the client's first long segments do not fit into the tunnel. The balancer tells the client " +
      'how much does, by an ICMP error from the VIP, and the client sends it again in shorter ones.',
    balancer: STATELESS,
    plot: PLOT,
    patienceMs: 20_000,
    shows: 'kept',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      allKept(findings),
      noStrays(findings),
      answered(findings, false),
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
    balancer: STATELESS,
    plot: { ...PLOT, losesIcmp: true },
    patienceMs: 4000,
    shows: 'hung',
    promise: (findings) => [
      firstAnswers(findings),
      complete(findings),
      count(findings, 'hung', findings.connectionsAsked),
      answered(findings, false),
      tellings(findings, 'told', 'some'),
      tellings(findings, 'heard', 'none'),
      balancerResets(findings, 0),
    ],
  },
];

function fitting({ balancer, upload }: Findings): number {
  return fittingPacket(balancer?.encap ?? 'ipip', upload?.family ?? 4);
}

/** What limits the backends' segments. */
function mss(findings: Findings): Claim {
  const { mssSent = [], mssArrived = [], family = 4 } = findings.upload ?? {};
  const expected = mssFor(fitting(findings), family);
  return {
    promised: `every SYN reaches its backend with an MSS of ${expected}`,
    seen: `${mssSent.join()} sent, ${mssArrived.join()} arrived`,
    held: mssArrived.length === 1 && mssArrived[0] === expected,
  };
}

/** What limits the client's segments. */
function answered(findings: Findings, fitted: boolean): Claim {
  const { mssAnswered = [], family = 4 } = findings.upload ?? {};
  const expected = mssFor(fitted ? fitting(findings) : LINK_MTU, family);
  return {
    promised: `every SYN-ACK reaches the client with an MSS of ${expected}`,
    seen: mssAnswered.length === 0 ? 'none' : mssAnswered.join(),
    held: mssAnswered.length === 1 && mssAnswered[0] === expected,
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
  const seen = findings.upload?.largestSent ?? 0;
  return {
    promised: `the longest packets that leave the balancer are of ${LINK_MTU} bytes`,
    seen: `${seen}`,
    held: seen === LINK_MTU,
  };
}
