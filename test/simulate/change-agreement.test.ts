/**
 * Simulation and lab agree on changes of backends, too: the forwarder that takes over another configuration in virtual
 * time is held against the promises of the lab's scenarios, which a reloaded daemon keeps on live traffic.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { disruption } from '../../hashing/table-facts.ts';
import type { Findings } from '../../lab/findings.ts';
import { compareTables } from '../../lab/lookup-tables.ts';
import { type Scenario, titleOf } from '../../lab/scenario.ts';
import { SCENARIOS } from '../../lab/scenarios.ts';
import { prepare } from '../../lb/prepare.ts';
import { causesOf } from '../../simulate/advice.ts';
import { type SimulationResult, simulate } from '../../simulate/run.ts';
import {
  backendNames,
  type Change,
  changedBackend,
  configurationAfter,
  configurationOf,
} from '../../simulate/settings.ts';
import { settings } from './settings.ts';

// A death is none of a configuration's changes: virtual time has no servers that die.
const scenarios = SCENARIOS.filter(({ plot }) => plot.kind === 'change' && plot.change !== 'died');

function tablesOf({ settings: asked }: SimulationResult) {
  assert.ok(asked.change !== undefined);
  return [configurationOf(asked), configurationAfter(asked, asked.change)].map((config) => prepare(config).tables[0]);
}

/** A simulation's result in the shape of what a run of the lab finds, as far as these scenarios' promises look at it. */
function findingsOf(result: SimulationResult, scenario: Scenario): Findings {
  const { settings: asked, connections, balancer } = result;
  const [before, after] = tablesOf(result).map(({ backends, entries }) => ({ backends, entries: [...entries] }));
  return {
    backends: backendNames(asked),
    connectionsAsked: asked.connections,
    connections,
    strays: connections.filter(({ backendBefore, backendAfter }) => ![backendBefore, null].includes(backendAfter))
      .length,
    balancer: {
      ...scenario.balancer,
      ...balancer,
      resetsCaptured: balancer.ownResets,
      resetsCounted: balancer.resetsSent,
      entriesBeforeSecond: connections.filter(({ forgottenMs }) => forgottenMs === null).length,
    },
    change: {
      change: asked.change,
      backend: changedBackend(asked),
      slots: compareTables(before, after),
      newConnections: [],
    },
    framesLost: 0,
  } as unknown as Findings;
}

function simulateChange(change: Change, conntrack: boolean, clientIdleMs = 30_000): SimulationResult {
  return simulate(settings({ connections: 400, change, conntrack, clientIdleMs }));
}

test('the lab has the scenarios that are compared', () => assert.equal(scenarios.length, 6));

for (const scenario of scenarios) {
  test(`${titleOf(scenario)}: virtual time keeps the lab's promise`, () => {
    assert.ok(scenario.plot.kind === 'change' && scenario.plot.change !== 'died');
    const result = simulateChange(scenario.plot.change, scenario.balancer?.conntrack !== false);
    // A simulation opens no new connections afterwards.
    const claims = scenario.promise(findingsOf(result, scenario)).filter(({ promised }) => !/new conn/.test(promised));
    assert.ok(claims.length >= 7);
    for (const { promised, seen, held } of claims) assert.ok(held, `promised ${promised}; seen: ${seen}`);
    assert.ok(result.connections.some(({ outcome }) => outcome === scenario.shows));
  });
}

test('a connection that was forgotten when the backends changed is as good as one without a table', () => {
  const forgotten = simulateChange('added', true, 90_000);
  const { connections, lives } = forgotten;
  assert.equal(lives, false);
  const lost = connections.filter(({ outcome }) => outcome === 'reset-by-backend').length;
  const [before, after] = tablesOf(forgotten);
  const predicted = disruption(before, after) * 400;
  assert.ok(Math.abs(lost - predicted) < 4.5 * Math.sqrt(400 * 0.25 * 0.75), `${lost} lost, ${predicted} predicted`);
});

test('it says why, and what to do about it', () => {
  const rows: [Change, boolean, number, RegExp, RegExp][] = [
    ['added', true, 30_000, /is in the table, and stays where it is/, /^$/],
    ['added', true, 90_000, /forgets .* The backends changed meanwhile/, /remember for longer/],
    ['drained', false, 30_000, /by hash alone, and the change moved slots/, /keep a connection table/],
    ['removed', true, 30_000, /backend was removed/, /drain it first/],
  ];
  for (const [change, conntrack, clientIdleMs, why, remedy] of rows) {
    const [cause] = causesOf(simulateChange(change, conntrack, clientIdleMs));
    assert.match(cause.why, why);
    assert.match(cause.remedies.join('\n'), remedy);
  }
});
