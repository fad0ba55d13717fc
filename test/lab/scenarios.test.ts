/**
 * Promises can break: findings made up to keep each scenario's promise, then bent in one place.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Connection, Outcome } from '../../lab/connections.ts';
import type { Paint } from '../../lab/draw.ts';
import type { BalancerFindings, Findings } from '../../lab/findings.ts';
import { describeResult, describeScenario, summarise } from '../../lab/report.ts';
import { type Scenario, titleOf } from '../../lab/scenario.ts';
import { checkPromise, type RunResult, SCENARIOS } from '../../lab/scenarios.ts';

function connections(counts: Partial<Record<Outcome, number>>): Connection[] {
  return Object.entries(counts).flatMap(([outcome, count]) =>
    Array.from({ length: count }, (_, id) => ({
      id,
      clientPort: 40000 + id,
      backendBefore: 'b1',
      backendAfter: outcome === 'kept' ? 'b1' : outcome === 'reset-by-backend' ? 'b2' : null,
      outcome: outcome as Outcome,
      resetBy: outcome === 'reset-by-backend' ? 'b2' : outcome === 'reset-by-balancer' ? 'lb' : null,
      error: outcome === 'kept' ? null : 'ECONNRESET',
      secondRequestMs: 0,
      secondEndMs: 1,
      reset: null,
    })),
  );
}

function findings(counts: Partial<Record<Outcome, number>>, balancer: Partial<BalancerFindings> = {}): Findings {
  return {
    backends: ['b1', 'b2', 'b3'],
    webServer: 'nginx',
    balancer: {
      mode: 'stateless',
      scheduler: 'maglev',
      idleTimeoutMs: 2000,
      resetsCaptured: counts['reset-by-balancer'] ?? 0,
      resetsCounted: counts['reset-by-balancer'] ?? 0,
      entriesAtPeak: 60,
      entriesBeforeSecond: 0,
      expired: 60,
      hits: 0,
      synMisses: 60,
      nonSynMisses: 60,
      ...balancer,
    },
    connectionsAsked: 60,
    connections: connections(counts),
    requests: 0,
    strays: 0,
    answersAtBalancer: 0,
    openedByTheDead: 0,
    sentTooLate: 0,
    leastAttempts: 1,
    attemptGapsMs: [],
    framesCaptured: 1000,
    framesLost: 0,
    ladder: null,
  };
}

function broken(name: string, seen: Findings): number {
  const scenario = SCENARIOS.find((each) => each.name === name);
  assert.ok(scenario !== undefined);
  return brokenClaims(scenario, seen);
}

/** As if the scenario's own balancer had been seen. */
function brokenClaims(scenario: Scenario, seen: Findings): number {
  const balancer = seen.balancer && { ...seen.balancer, ...scenario.balancer };
  const { promise } = checkPromise(scenario, { ...seen, balancer });
  assert.equal(promise.held, promise.broken.length === 0);
  return promise.broken.length;
}

describe('promises', () => {
  it('hold for what each scenario is about', () => {
    assert.equal(broken('stateless', findings({ kept: 60 })), 0);
    for (const kept of [8, 20, 32]) {
      assert.equal(broken('round-robin', findings({ kept, 'reset-by-backend': 60 - kept })), 0);
    }
    assert.equal(broken('syn-only', findings({ 'reset-by-balancer': 60 })), 0);
  });

  it('stateless breaks with one lost connection, one RST, one move to another backend', () => {
    assert.notEqual(broken('stateless', findings({ kept: 59, hung: 1 })), 0);
    assert.notEqual(broken('stateless', findings({ kept: 60 }, { resetsCaptured: 1 })), 0);
    assert.notEqual(broken('stateless', findings({ kept: 60 }, { resetsCounted: 1 })), 0);
    const moved = findings({ kept: 60 });
    const [first, ...rest] = moved.connections;
    assert.notEqual(broken('stateless', { ...moved, connections: [{ ...first, backendAfter: 'b2' }, ...rest] }), 0);
  });

  it('round-robin breaks outside its bounds, with a loss that no backend caused, with an RST of the balancer', () => {
    assert.notEqual(broken('round-robin', findings({ kept: 60 })), 0);
    assert.notEqual(broken('round-robin', findings({ kept: 40, 'reset-by-backend': 20 })), 0);
    assert.notEqual(broken('round-robin', findings({ kept: 1, 'reset-by-backend': 59 })), 0);
    for (const other of ['hung', 'error', 'reset-by-unknown', 'reset-by-balancer'] as const) {
      assert.notEqual(broken('round-robin', findings({ kept: 20, 'reset-by-backend': 39, [other]: 1 })), 0, other);
    }
    assert.notEqual(broken('round-robin', findings({ kept: 20, 'reset-by-backend': 40 }, { resetsCaptured: 1 })), 0);
  });

  it('syn-only breaks with one that lived, and where captures and metrics disagree', () => {
    assert.notEqual(broken('syn-only', findings({ 'reset-by-balancer': 59, kept: 1 })), 0);
    assert.notEqual(broken('syn-only', findings({ 'reset-by-balancer': 59, 'reset-by-unknown': 1 })), 0);
    assert.notEqual(broken('syn-only', findings({ 'reset-by-balancer': 60 }, { resetsCounted: 59 })), 0);
  });

  it('uploads break with an MSS that is wrong, a message too many or too few, and packets that are not what fits', () => {
    const [clamped, decapClamped, alone, neither] = SCENARIOS.filter(({ name }) => name === 'upload');
    const telling = { timeMs: 1, mtu: 1480, clientPort: 40_000 };
    const upload = {
      bytes: 2 ** 20,
      family: 4,
      mssSent: [1460],
      mssArrived: [1460],
      mssAnswered: [1460],
      largestSent: 1500,
    } as const;
    const seen = (more: object, kept = 60): Findings => ({
      ...findings({ kept, hung: 60 - kept }),
      upload: { ...upload, told: [], heard: [], ...more },
    });
    const told = { told: [telling] };
    const heard = { ...told, heard: [telling] };
    const wrong = { told: [telling], heard: [{ ...telling, mtu: 1500 }] };

    const lowered = { mssArrived: [1440], mssAnswered: [1440] };
    assert.equal(brokenClaims(clamped, seen(lowered)), 0);
    assert.equal(brokenClaims(clamped, seen({})), 2);
    assert.equal(brokenClaims(decapClamped, seen({})), 2);
    assert.equal(brokenClaims(clamped, seen({ ...lowered, mssArrived: [1440, 1460] })), 1);
    assert.equal(brokenClaims(clamped, seen({ ...lowered, mssAnswered: [1460] })), 1);
    assert.equal(brokenClaims(clamped, seen({ ...lowered, ...told })), 1);
    assert.equal(brokenClaims(clamped, seen({ ...lowered, largestSent: 1400 })), 1);
    assert.equal(brokenClaims(alone, seen(heard)), 0);
    assert.equal(brokenClaims(alone, seen(told)), 1);
    assert.equal(brokenClaims(alone, seen(wrong)), 1);
    assert.equal(brokenClaims(alone, seen({ ...heard, mssAnswered: [1440] })), 1);
    assert.equal(brokenClaims(neither, seen(told, 0)), 0);
    assert.equal(brokenClaims(neither, seen(heard, 0)), 1);
    assert.equal(brokenClaims(neither, seen({}, 0)), 1);
    assert.equal(brokenClaims(neither, seen(told, 1)), 1);
  });

  it('over IPv6 and in another tunnel other lengths fit', () => {
    const [clamped] = SCENARIOS.filter(({ name }) => name === 'upload');
    const upload = { bytes: 2 ** 20, family: 6, mssSent: [1440], largestSent: 1500, told: [], heard: [] } as const;
    const seen = (mss: number) => ({
      ...findings({ kept: 60 }, { encap: 'gue' }),
      upload: { ...upload, mssArrived: [mss], mssAnswered: [mss] },
    });
    assert.equal(brokenClaims(clamped, seen(1388)), 0);
    assert.equal(brokenClaims(clamped, seen(1400)), 2);
  });

  it('every one breaks where the table did not fill or empty, a frame was lost, a connection never opened', () => {
    assert.notEqual(broken('stateless', findings({ kept: 60 }, { entriesAtPeak: 59 })), 0);
    assert.notEqual(broken('stateless', findings({ kept: 60 }, { entriesBeforeSecond: 1 })), 0);
    assert.notEqual(broken('stateless', { ...findings({ kept: 60 }), framesLost: 1 }), 0);
    for (const scenario of SCENARIOS) assert.notEqual(brokenClaims(scenario, findings({})), 0, titleOf(scenario));
  });
});

describe('reports', () => {
  const plain: Paint = (_style, text) => text;
  const claims = [{ promised: '60 connections kept', seen: '59', held: false }];
  const bad: RunResult = {
    scenario: 'test',
    variant: null,
    ...findings({ kept: 59, 'reset-by-unknown': 1 }),
    promise: { held: false, broken: ['promised 60 connections kept; seen: 59'], claims },
  };

  it('say what was promised and what was seen instead', () => {
    const text = describeResult(bad, { width: 80, paint: plain }).join('\n');
    assert.match(text, /Promise broken:\n {2}✕ 60 connections kept; seen: 59/);
    assert.match(text, / {2}kept +59 +98 % /);
    assert.match(text, / {2}reset, sender not seen +1 +2 % /);
    assert.match(summarise([bad], { width: 80, paint: plain }).join('\n'), /59 of 60 .* broken/);
  });

  it('leave columns of zeros out of the summary where it would be too wide, and only there', () => {
    const results = [bad, { ...bad, variant: 'with a rather long name' }];
    const [wide, narrow] = [120, 62].map((width) => summarise(results, { width, paint: plain }).join('\n'));
    assert.match(wide, /hung/);
    assert.doesNotMatch(narrow, /hung/);
    assert.match(narrow, /│ {3}with a rather long name │ 59 of 60 │ broken/);
  });

  it('stay within every width', () => {
    for (let width = 40; width <= 140; width++) {
      const look = { width, paint: plain };
      const lines = [
        ...SCENARIOS.flatMap((scenario) => describeScenario(scenario, '60 connections, 3 backends (nginx)', look)),
        ...describeResult(bad, look),
        ...summarise([bad, bad], look),
      ];
      for (const line of lines) assert.ok([...line].length <= width, `${width} columns: ${line}`);
    }
  });
});
