/**
 * What a change of backends is to break: bounds of chance, slots compared, and promises that hold for the run that they
 * are about and for no other.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildLookupTable } from '../../hashing/lookup-table.ts';
import { disruption } from '../../hashing/table-facts.ts';
import { binomialBounds } from '../../lab/binomial.ts';
import { type ChangeFindings, hostsOf, lineUpOf } from '../../lab/change.ts';
import type { Connection } from '../../lab/connections.ts';
import type { Paint } from '../../lab/draw.ts';
import type { Findings } from '../../lab/findings.ts';
import { compareTables, type LookupTable } from '../../lab/lookup-tables.ts';
import { describeResult, describeScenario } from '../../lab/report.ts';
import type { BackendChange, Scenario } from '../../lab/scenario.ts';
import { checkPromise, SCENARIOS } from '../../lab/scenarios.ts';

describe('binomialBounds', () => {
  /** The same by multiplication, which is exact enough for small counts. */
  function chances(count: number, share: number): number[] {
    return Array.from({ length: count + 1 }, (_, k) => {
      let chance = 1;
      for (let i = 0; i < k; i++) chance *= ((count - i) / (i + 1)) * share;
      return chance * (1 - share) ** (count - k);
    });
  }

  it('leaves out what happens less than once in 300,000 runs on either side, and nothing else', () => {
    for (const count of [1, 5, 40, 60, 200]) {
      for (const share of [0.001, 0.03, 0.25, 0.5, 0.97]) {
        const [low, high] = binomialBounds(count, share);
        const all = chances(count, share);
        const sum = (from: number, to: number): number => all.slice(from, to).reduce((total, each) => total + each, 0);
        const where = `${count} at ${share}: ${low} to ${high}`;
        assert.ok(sum(0, low) <= 3.5e-6 && sum(0, low + 1) > 3.3e-6, where);
        assert.ok(sum(high + 1, count + 1) <= 3.5e-6 && sum(high, count + 1) > 3.3e-6, where);
      }
    }
  });

  it('is 4.5 standard deviations wide where there are many', () => {
    const [low, high] = binomialBounds(2000, 0.25);
    const spread = 4.5 * Math.sqrt(2000 * 0.25 * 0.75);
    assert.ok(Math.abs(low - (500 - spread)) < 3 && Math.abs(high - (500 + spread)) < 3, `${low} to ${high}`);
  });

  it('leaves nothing to chance that is none', () => {
    assert.deepEqual(binomialBounds(60, 0), [0, 0]);
    assert.deepEqual(binomialBounds(60, 1), [60, 60]);
    assert.deepEqual(binomialBounds(0, 0.5), [0, 0]);
  });
});

describe('compareTables', () => {
  it('counts by the name of a slot’s backend, not by its place', () => {
    const before = { backends: ['b1', 'b2'], entries: [0, 0, 1, 1, 1, -1] };
    const after = { backends: ['b2', 'b3'], entries: [1, 0, 0, 0, 1, 0] };
    assert.deepEqual(compareTables(before, after), {
      b1: { before: 2, after: 0, lost: 2 },
      b2: { before: 3, after: 4, lost: 1 },
      b3: { before: 0, after: 2, lost: 0 },
    });
    assert.throws(() => compareTables(before, { ...after, entries: [0] }), /different sizes/);
  });

  it('finds the disruption of real tables', () => {
    const tableOf = (count: number) => {
      const backends = Array.from({ length: count }, (_, i) => ({ name: `b${i + 1}`, weight: 1 }));
      return buildLookupTable(backends, 65_537);
    };
    const asPrinted = ({ backends, entries }: ReturnType<typeof tableOf>): LookupTable => ({
      backends,
      entries: [...entries],
    });
    const [three, four] = [tableOf(3), tableOf(4)];
    const changes = compareTables(asPrinted(three), asPrinted(four));
    const lost = Object.values(changes).reduce((sum, each) => sum + each.lost, 0);
    assert.equal(lost / 65_537, disruption(three, four));
    assert.ok(lost / 65_537 > 0.25 && lost / 65_537 < 0.35);
    assert.equal(changes.b4.before, 0);
  });
});

describe('lineUpOf', () => {
  it('adds, removes or drains the last', () => {
    const names = (list: readonly { readonly name: string }[]): string => list.map(({ name }) => name).join(' ');
    const added = lineUpOf('added', ['b1', 'b2', 'b3']);
    assert.deepEqual([added.backend, names(added.before), names(added.after)], ['b3', 'b1 b2', 'b1 b2 b3']);
    const removed = lineUpOf('removed', ['b1', 'b2', 'b3']);
    assert.deepEqual([removed.backend, names(removed.before), names(removed.after)], ['b3', 'b1 b2 b3', 'b1 b2']);
    const { before, after } = lineUpOf('drained', ['b1', 'b2']);
    assert.deepEqual(before, [{ name: 'b1' }, { name: 'b2' }]);
    assert.deepEqual(after, [{ name: 'b1' }, { name: 'b2', state: 'draining' }]);
  });

  it('needs one more host only for one more backend', () => {
    assert.deepEqual(
      (['added', 'removed', 'drained', 'died'] as const).map((change) => hostsOf({ kind: 'change', change }, 3)),
      [4, 3, 3, 3],
    );
    assert.equal(hostsOf({ kind: 'idle' }, 3), 3);
  });
});

/** Of 60 connections, 20 a backend, and of a table of 100 slots a backend; removal and drain move 3 of each other's. */
const SLOTS: Record<Exclude<BackendChange, 'died'>, ChangeFindings['slots']> = {
  added: {
    b1: { before: 100, after: 75, lost: 27 },
    b2: { before: 100, after: 75, lost: 27 },
    b3: { before: 100, after: 75, lost: 27 },
    b4: { before: 0, after: 75, lost: 0 },
  },
  removed: {
    b1: { before: 100, after: 150, lost: 3 },
    b2: { before: 100, after: 150, lost: 3 },
    b3: { before: 100, after: 0, lost: 100 },
  },
  drained: {
    b1: { before: 100, after: 150, lost: 3 },
    b2: { before: 100, after: 150, lost: 3 },
    b3: { before: 100, after: 0, lost: 100 },
  },
};

interface Course {
  readonly change: Exclude<BackendChange, 'died'>;
  /** Connections lost, of b1 and b2 and b3 in all (`others`) and of b3 where it is what changes. */
  readonly others: number;
  readonly own?: number;
  readonly newAtBackend?: number;
  readonly withTable: boolean;
}

function findings({ change, others, own = 0, newAtBackend = 0, withTable }: Course): Findings {
  const backend = change === 'added' ? 'b4' : 'b3';
  const left = { others, own };
  const connections = Array.from({ length: 60 }, (_, id): Connection => {
    const backendBefore = `b${(id % 3) + 1}`;
    const group = backendBefore === backend ? 'own' : 'others';
    const isLost = left[group] > 0;
    if (isLost) left[group]--;
    const elsewhere = backendBefore === 'b1' ? 'b2' : 'b1';
    return {
      id,
      clientPort: 40000 + id,
      backendBefore,
      backendAfter: isLost ? elsewhere : backendBefore,
      outcome: isLost ? 'reset-by-backend' : 'kept',
      resetBy: isLost ? elsewhere : null,
      error: isLost ? 'ECONNRESET' : null,
      secondRequestMs: 0,
      secondEndMs: 1,
      reset: null,
    };
  });
  assert.deepEqual(left, { others: 0, own: 0 });
  return {
    backends: Object.keys(SLOTS[change]),
    webServer: 'nginx',
    balancer: {
      mode: 'stateless',
      scheduler: 'maglev',
      ...(withTable ? {} : { conntrack: false as const }),
      idleTimeoutMs: 12_000,
      resetsCaptured: 0,
      resetsCounted: 0,
      entriesAtPeak: withTable ? 120 : 0,
      entriesBeforeSecond: withTable ? 60 : 0,
      expired: 0,
      hits: withTable ? 100 : 0,
      synMisses: 120,
      nonSynMisses: own,
    },
    connectionsAsked: 60,
    connections,
    requests: 0,
    strays: others + own,
    answersAtBalancer: 0,
    openedByTheDead: 0,
    sentTooLate: 0,
    leastAttempts: 1,
    attemptGapsMs: [],
    framesCaptured: 1000,
    framesLost: 0,
    change: {
      change,
      backend,
      timeMs: 0,
      slots: SLOTS[change],
      newConnections: Array.from({ length: 60 }, (_, i) => ({
        clientPort: 50000 + i,
        backend: i < newAtBackend ? backend : 'b1',
        error: null,
      })),
    },
    ladder: null,
  };
}

const RIGHT: Record<string, Course> = {
  'backend-added': { change: 'added', others: 0, newAtBackend: 15, withTable: true },
  'backend-added, without a table': { change: 'added', others: 16, newAtBackend: 15, withTable: false },
  'backend-removed': { change: 'removed', others: 0, own: 20, withTable: true },
  'backend-removed, without a table': { change: 'removed', others: 2, own: 20, withTable: false },
  'backend-drained': { change: 'drained', others: 0, withTable: true },
  'backend-drained, without a table': { change: 'drained', others: 1, own: 20, withTable: false },
};

function scenarioOf(title: string): Scenario {
  const [name, variant = null] = title.split(', ');
  const scenario = SCENARIOS.find((each) => each.name === name && each.variant === variant);
  assert.ok(scenario !== undefined, title);
  return scenario;
}

function broken(title: string, seen: Findings): readonly string[] {
  return checkPromise(scenarioOf(title), seen).promise.broken;
}

describe('promises of a change', () => {
  for (const [title, course] of Object.entries(RIGHT)) {
    it(`${title}: holds for its own run`, () => assert.deepEqual(broken(title, findings(course)), []));

    it(`${title}: breaks for each of the other runs`, () => {
      for (const [other, otherCourse] of Object.entries(RIGHT)) {
        // A few more of the others' may break by chance, but not here.
        if (other === title) continue;
        if (otherCourse.change !== course.change) continue;
        assert.notEqual(broken(title, findings(otherCourse)).length, 0, other);
      }
    });

    it(`${title}: breaks with what nobody predicted`, () => {
      const bent: [string, Findings][] = [
        ['too many broken', findings({ ...course, others: 38 })],
        ['new ones lost', { ...findings(course), change: { ...changeOf(course), newConnections: [] } }],
        ['new ones in the wrong place', findings({ ...course, newAtBackend: course.change === 'added' ? 0 : 1 })],
        ['hung', hung(findings(course))],
        ['nothing moved', { ...findings(course), change: { ...changeOf(course), slots: unmoved(course) } }],
      ];
      if (course.withTable) {
        const { balancer } = findings(course);
        assert.ok(balancer !== null);
        bent.push(['forgotten', { ...findings(course), balancer: { ...balancer, entriesBeforeSecond: 59 } }]);
      }
      for (const [what, seen] of bent) assert.notEqual(broken(title, seen).length, 0, what);
    });
  }

  it('a removed backend’s connections must not live on', () => {
    for (const title of ['backend-removed', 'backend-removed, without a table']) {
      const seen = broken(title, findings({ ...RIGHT[title], own: 19 }));
      assert.match(seen.join(), /promised all 20 connections of b3 broken; seen: 19 of 20/);
    }
  });

  function changeOf(course: Course): ChangeFindings {
    const { change } = findings(course);
    assert.ok(change !== undefined);
    return change;
  }

  function unmoved(course: Course): ChangeFindings['slots'] {
    return Object.fromEntries(Object.entries(SLOTS[course.change]).map(([name, each]) => [name, { ...each, lost: 0 }]));
  }

  function hung(seen: Findings): Findings {
    const [first, ...rest] = seen.connections;
    return { ...seen, connections: [{ ...first, outcome: 'hung' }, ...rest] };
  }
});

describe('the report of a change', () => {
  const plain: Paint = (_style, text) => text;
  const look = { width: 100, paint: plain };

  function text(title: string, course: Course): string {
    return describeResult(checkPromise(scenarioOf(title), findings(course)), look).join('\n');
  }

  it('prints what was predicted beside what was seen', () => {
    const without = 'backend-added, without a table';
    assert.match(text(without, RIGHT[without]), /broken: predicted 27 %, seen 27 % \(16 of 60\)/);
    assert.match(text(without, RIGHT[without]), /new connections at b4: predicted 25 %, seen 25 % \(15 of 60\)/);
    assert.match(text(without, RIGHT[without]), /it has no table/);
    const removed = text('backend-removed', RIGHT['backend-removed']);
    assert.match(removed, /broken of b3: predicted 100 %, seen 100 % \(20 of 20\)/);
    assert.match(removed, /broken of the others: predicted 0 % \(3\.0 % without a table\), seen 0 % \(0 of 40\)/);
  });

  it('says of a balancer without a table that it has none', () => {
    const described = (title: string): string => describeScenario(scenarioOf(title), '', look).join(' ');
    assert.match(described('backend-added, without a table'), /without a connection table/);
    assert.doesNotMatch(described('backend-added'), /without a connection table/);
  });
});
