/**
 * Scenarios in which the balancer's configuration changes under live connections: why a stateless balancer keeps a table
 * at all. Each runs with the table and without, and breaks as many connections as the lookup tables predict.
 */
import { newcomersOf, type Prediction, percentText, predictionsOf } from './change.ts';
import { balancerResets, complete, count, firstAnswers, misses, noStrays, tally } from './claims.ts';
import type { Findings } from './findings.ts';
import { SCALED } from './idle-scenarios.ts';
import type { BackendChange, Claim, Scenario } from './scenario.ts';
import { MAX_BACKENDS } from './topology.ts';

/** Nobody's idle timeout matters here, so the balancer's is as long as the others'. */
const COMMON = {
  timeouts: { ...SCALED, balancer: SCALED.client },
  scaled: true,
  webServer: null,
  adjustable: ['backends', 'connections'],
  patienceMs: 3000,
} as const satisfies Partial<Scenario>;

interface Telling {
  readonly name: string;
  readonly change: BackendChange;
  readonly withTable: Pick<Scenario, 'summary' | 'story' | 'shows'>;
  readonly without: Pick<Scenario, 'summary' | 'story'>;
}

const TELLINGS: readonly Telling[] = [
  {
    name: 'backend-added',
    change: 'added',
    withTable: {
      summary: 'another backend joins: connections stay where the table has them, all are kept',
      story:
        'Another backend joins while connections are open. The lookup table gives it its share of the slots, taken from ' +
        'all others; but the connection table knows where each connection lives, and only new ones meet the new backend.',
      shows: 'kept',
    },
    without: {
      summary: 'the same by hash alone: the new backend gets the packets of connections that it never saw',
      story:
        'The same change, by hash alone. A connection whose slot went to the new backend goes with it, in the middle of ' +
        'its life, and the kernel there, which never saw it, answers RST: as many as slots moved.',
    },
  },
  {
    name: 'backend-removed',
    change: 'removed',
    withTable: {
      summary: "a backend is removed: its own connections are lost, all others' are kept",
      story:
        "A backend is removed while connections are open. Its own connections can't be kept: they arrive at another backend, " +
        'which answers RST. Those of the backends that stay are in the table, and none of them moves.',
      shows: 'reset-by-backend',
    },
    without: {
      summary: 'the same by hash alone: hardly another connection is lost, for Maglev moves few other slots',
      story:
        "The same removal, by hash alone. Maglev fills the removed one's slots again, and moves a few others in passing: so " +
        'few that hardly any connection of the backends that stay breaks, and a modulo would have moved most of them.',
    },
  },
  {
    name: 'backend-drained',
    change: 'drained',
    withTable: {
      summary: 'a backend drains: it keeps its connections and gets no new ones, nothing breaks',
      story:
        'A backend is set to drain while connections are open. It has no slot in the lookup table any more, so no new ' +
        'connection meets it; but those that it has are in the connection table, and stay until they end by themselves.',
      shows: 'kept',
    },
    without: {
      summary: 'the same by hash alone: there is no draining, its connections break at once',
      story:
        'The same setting, by hash alone. Nothing knows of the connections that the draining backend still has: its slots ' +
        'are gone, and so are they. Draining needs a memory.',
    },
  },
];

export const CHANGE_SCENARIOS: readonly Scenario[] = TELLINGS.flatMap(
  ({ name, change, withTable, without }): Scenario[] => {
    const common = {
      ...COMMON,
      name,
      plot: { kind: 'change', change },
      ...(change === 'added' ? { mostBackends: MAX_BACKENDS - 1 } : {}),
    } as const;
    return [
      {
        ...common,
        ...withTable,
        variant: null,
        balancer: { mode: 'stateless', scheduler: 'maglev' },
        promise: (findings) => [
          ...whatAllPromise(findings, true),
          stillInTheTable(findings),
          ...(change === 'removed' ? [misses(findings, lost(findings))] : [noStrays(findings)]),
        ],
      },
      {
        ...common,
        ...without,
        variant: 'without a table',
        balancer: { mode: 'stateless', scheduler: 'maglev', conntrack: false },
        shows: 'reset-by-backend',
        promise: (findings) => [...whatAllPromise(findings, false), noTable(findings)],
      },
    ];
  },
);

function whatAllPromise(findings: Findings, withTable: boolean): Claim[] {
  return [
    firstAnswers(findings),
    complete(findings),
    changed(findings),
    ...predictionsOf(findings, withTable).map(brokenAsPredicted),
    count(findings, 'reset-by-backend', lost(findings)),
    newOnesAsPredicted(findings),
    balancerResets(findings, 0),
  ];
}

function lost(findings: Findings): number {
  return findings.connections.length - tally(findings, 'kept');
}

function changed({ change }: Findings): Claim {
  const slots = Object.values(change?.slots ?? {});
  const moved = slots.reduce((sum, each) => sum + each.lost, 0);
  const total = slots.reduce((sum, each) => sum + each.before, 0);
  return {
    promised: 'the change moves slots of the lookup table',
    seen: `${moved} of ${total}`,
    held: moved > 0,
  };
}

function stillInTheTable({ balancer, connectionsAsked }: Findings): Claim {
  const seen = balancer?.entriesBeforeSecond ?? 0;
  return {
    promised: 'the table still holds every connection after the change',
    seen: `${seen} of ${connectionsAsked}`,
    held: seen === connectionsAsked,
  };
}

function noTable({ balancer }: Findings): Claim {
  const { entriesAtPeak = 0, hits = 0 } = balancer ?? {};
  return {
    promised: 'no entry in a table, and none ever hit',
    seen: `${entriesAtPeak} entries, ${hits} hits`,
    held: balancer !== null && entriesAtPeak === 0 && hits === 0,
  };
}

function brokenAsPredicted({ of, connections, predicted, broken, bounds: [low, high] }: Prediction): Claim {
  const whose = of === null ? 'connections' : `connections of ${of}`;
  const seen = `${broken} of ${connections}`;
  const held = broken >= low && broken <= high;
  if (predicted === 0) return { promised: `none of the ${connections} ${whose} broken`, seen, held };
  if (predicted === 1) return { promised: `all ${connections} ${whose} broken`, seen, held };
  return {
    promised: `about ${percentText(predicted)} of the ${connections} ${whose} broken (${low} to ${high})`,
    seen,
    held,
  };
}

function newOnesAsPredicted(findings: Findings): Claim {
  const { connectionsAsked, change } = findings;
  const newcomers = newcomersOf(findings);
  const { of = null, broken: met = 0, predicted = 0, bounds: [low, high] = [1, 0] } = newcomers ?? {};
  const answered = (change?.newConnections ?? []).filter(({ backend, error }) => backend !== null && error === null);
  const where =
    predicted === 0 ? `none of them at ${of}` : `about ${percentText(predicted)} at ${of} (${low} to ${high})`;
  return {
    promised: `${connectionsAsked} new connections answered, ${where}`,
    seen: `${answered.length} answered, ${met} at ${of}`,
    held: answered.length === connectionsAsked && met >= low && met <= high,
  };
}
