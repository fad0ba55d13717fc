/**
 * Simulation and lab agree: what virtual time says of a scenario's balancer is held against the very promise that the
 * scenario's run on live traffic is held against, at the lab's scaled times and at real ones.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Findings } from '../../lab/findings.ts';
import type { Scenario } from '../../lab/scenario.ts';
import { SCENARIOS } from '../../lab/scenarios.ts';
import { type SimulationResult, simulate } from '../../simulate/run.ts';
import { backendNames, type Settings } from '../../simulate/settings.ts';
import { settings } from './settings.ts';

/** The scenarios in which connections idle until the balancer has forgotten them, and nothing else happens. */
const IDLE_SCENARIOS = ['stateless', 'round-robin', 'syn-only'];
const scenarios = SCENARIOS.filter(({ name }) => IDLE_SCENARIOS.includes(name));

/** The lab's 2 s and 3.5 s, and a day of idling behind a balancer that forgets after an hour. */
const TIMES = [
  { lbIdleMs: 2000, clientIdleMs: 3500 },
  { lbIdleMs: 3_600_000, clientIdleMs: 86_400_000 },
];

/** A simulation's result in the shape of what a run of the lab finds, as far as these scenarios' promises look at it. */
function findingsOf({ settings: asked, connections, balancer }: SimulationResult, scenario: Scenario): Findings {
  const remembered = connections.filter(({ forgottenMs }) => forgottenMs === null).length;
  return {
    backends: backendNames(asked),
    connectionsAsked: asked.connections,
    connections,
    balancer: {
      ...scenario.balancer,
      ...balancer,
      resetsCaptured: balancer.ownResets,
      resetsCounted: balancer.resetsSent,
      entriesBeforeSecond: remembered,
    },
    framesLost: 0,
  } as unknown as Findings;
}

test('the lab has the scenarios that are compared', () => {
  for (const name of ['stateless', 'round-robin', 'syn-only']) {
    assert.ok(
      scenarios.some((scenario) => scenario.name === name),
      name,
    );
  }
});

for (const scenario of scenarios) {
  const { name, shows } = scenario;
  for (const times of TIMES) {
    test(`${name}, shows ${shows}, idle for ${times.clientIdleMs} ms: virtual time keeps the lab's promise`, () => {
      const { mode, scheduler, onMiss, onExpiry } = scenario.balancer as Partial<Settings>;
      const result = simulate(
        settings({
          connections: 60,
          ...times,
          mode: mode ?? 'stateless',
          scheduler: scheduler ?? 'maglev',
          onMiss: onMiss ?? null,
          onExpiry: onExpiry ?? null,
        }),
      );
      const claims = scenario.promise(findingsOf(result, scenario));
      assert.ok(claims.length > 0);
      for (const { promised, seen, held } of claims) assert.ok(held, `promised ${promised}; seen: ${seen}`);
      assert.ok(result.connections.some(({ outcome }) => outcome === shows));
    });
  }
}

test('drop-mode: every connection hangs, as in the lab', () => {
  const [scenario] = SCENARIOS.filter(({ name }) => name === 'drop-mode');
  assert.equal(scenario.balancer?.onMiss, 'drop');
  const { connections } = simulate(settings({ onMiss: 'drop', connections: 60, ...TIMES[0] }));
  assert.ok(connections.every(({ outcome }) => outcome === scenario.shows));
});

test("round-robin: every connection that changes its backend is lost, by that backend's RST", () => {
  const { connections } = simulate(settings({ scheduler: 'round-robin', connections: 60, ...TIMES[0] }));
  for (const { outcome, backendBefore, backendAfter, resetBy } of connections) {
    if (outcome === 'kept') assert.equal(backendAfter, backendBefore);
    else assert.ok(outcome === 'reset-by-backend' && resetBy !== backendBefore);
  }
});
