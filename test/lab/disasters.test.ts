/**
 * The scenarios beyond idling as a user runs them, on real kernels and programs: balancers that die, servers that push,
 * misses that are dropped, backends that come and go, and the race between a request and a server's FIN. Two labs at a
 * time, which also shows that no promise depends on a quiet machine.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { needsRoot } from '../io/two-hosts.ts';
import { lab, traces } from './command.ts';
import { assertWellFormed } from './well-formed.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-disasters-'));
after(() => rmSync(directory, { recursive: true }));

let reports = 0;

interface Run {
  readonly scenario: string;
  readonly variant: string | null;
  readonly promise: { readonly broken: readonly string[] };
  readonly connections: readonly {
    readonly outcome: string;
    readonly error: string | null;
    readonly backendBefore: string | null;
    readonly backendAfter: string | null;
    readonly resetBy: string | null;
  }[];
  readonly change?: { readonly newConnections: readonly { readonly backend: string | null }[] };
  readonly ladder: readonly { readonly kind: string; readonly event?: string }[];
  readonly openedByTheDead: number;
  readonly sentTooLate: number;
  readonly attemptGapsMs: readonly number[];
}

/** Runs the scenarios, and returns their results by title once all promises held and nothing is left. */
async function resultsOf(...scenarios: string[]): Promise<Map<string, Run>> {
  const file = join(directory, `${scenarios.join('-')}.json`);
  const report = join(directory, `${reports++}`);
  const run = lab('run', ...scenarios, '--json', file, '--report', report);
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stdout + stderr);
  for (const line of (stdout + stderr).split('\n')) assert.ok([...line].length <= 80, line);
  assert.deepEqual(traces(run.pid), []);
  const { runs } = JSON.parse(readFileSync(file, 'utf8')) as { runs: Run[] };
  for (const { promise } of runs) assert.deepEqual(promise.broken, []);
  assert.equal(assertWellFormed(report), runs.length);
  return new Map(runs.map((run) => [run.variant === null ? run.scenario : `${run.scenario}, ${run.variant}`, run]));
}

/** How many connections ended how, apart from what ended in no way. */
function outcomes(runs: Map<string, Run>, title: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of runs.get(title)?.connections ?? []) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

describe('hushlb lab run, beyond idling', { skip: needsRoot }, () => {
  it('balancers die, servers push, misses are dropped', async () => {
    const [dying, others] = await Promise.all([
      resultsOf('lb-restart', 'lb-failover'),
      resultsOf('server-push', 'drop-mode'),
    ]);

    assert.deepEqual(outcomes(dying, 'lb-restart'), { kept: 60 });
    assert.deepEqual(outcomes(dying, 'lb-restart, stateful'), { 'reset-by-balancer': 60 });
    assert.deepEqual(outcomes(dying, 'lb-failover'), { kept: 60 });
    const dead = dying.get('lb-failover, stateful')?.openedByTheDead ?? 0;
    assert.ok(dead > 0 && dead < 60, `${dead} connections at the one that died`);
    assert.deepEqual(outcomes(dying, 'lb-failover, stateful'), { kept: 60 - dead, 'reset-by-balancer': dead });

    assert.deepEqual(outcomes(others, 'server-push'), { kept: 60 });
    assert.deepEqual(outcomes(others, 'server-push, seldom'), { 'reset-by-balancer': 60 });
    assert.deepEqual(outcomes(others, 'server-push, seldom, stateless'), { kept: 60 });
    assert.deepEqual(outcomes(others, 'drop-mode'), { hung: 60 });
    assert.ok((others.get('drop-mode')?.attemptGapsMs.length ?? 0) >= 3);
  });

  it('backends come, go, drain and die, with a connection table and without', async () => {
    const [comeAndGo, drain, die] = await Promise.all([
      resultsOf('backend-added', 'backend-removed'),
      resultsOf('backend-drained'),
      resultsOf('backend-down'),
    ]);
    const runs = new Map([...comeAndGo, ...drain]);
    const metBefore = (title: string, backend: string): number =>
      (runs.get(title)?.connections ?? []).filter(({ backendBefore }) => backendBefore === backend).length;

    assert.deepEqual(outcomes(runs, 'backend-added'), { kept: 60 });
    const { kept: _kept, 'reset-by-backend': moved = 0, ...others } = outcomes(runs, 'backend-added, without a table');
    assert.deepEqual(others, {});
    // A quarter of 60, give or take 4.5 standard deviations.
    assert.ok(moved >= 1 && moved <= 31, `${moved} of 60 lost`);
    for (const { outcome, resetBy, backendBefore, backendAfter } of runs.get('backend-added, without a table')
      ?.connections ?? []) {
      if (outcome === 'kept') continue;
      // Maglev takes slots for the new one, and moves hardly any between the others.
      assert.equal(resetBy, backendAfter);
      assert.notEqual(backendAfter, backendBefore);
    }

    const own = metBefore('backend-removed', 'b3');
    assert.ok(own > 0);
    assert.deepEqual(outcomes(runs, 'backend-removed'), { kept: 60 - own, 'reset-by-backend': own });
    for (const title of ['backend-removed, without a table', 'backend-drained, without a table']) {
      const lost = outcomes(runs, title)['reset-by-backend'] ?? 0;
      assert.ok(lost >= metBefore(title, 'b3') && lost < 60, `${title}: ${lost} lost`);
    }
    assert.deepEqual(outcomes(runs, 'backend-drained'), { kept: 60 });
    assert.ok(metBefore('backend-drained', 'b3') > 0);

    for (const title of ['backend-removed', 'backend-drained']) {
      const fresh = runs.get(title)?.change?.newConnections ?? [];
      assert.equal(fresh.length, 60);
      for (const { backend } of fresh) assert.ok(backend === 'b1' || backend === 'b2', `a new one at ${backend}`);
    }
    assert.ok(runs.get('backend-added')?.change?.newConnections.some(({ backend }) => backend === 'b4'));
    const { ladder = [] } = runs.get('backend-drained') ?? {};
    assert.ok(ladder.some(({ event }) => event === 'b3 drains'));

    const refused = (title: string): number =>
      (die.get(title)?.change?.newConnections ?? []).filter(({ backend }) => backend === null).length;
    assert.equal(die.get('backend-down')?.change?.newConnections.length, 60);
    assert.equal(refused('backend-down'), 0);
    assert.ok(refused('backend-down, unchecked') > 0);
  });

  it('requests race with the FIN of a server, directly and behind a layer-7 balancer', async () => {
    const [direct, layer7] = await Promise.all([resultsOf('direct-race'), resultsOf('l7-idle')]);

    const raced = outcomes(direct, 'direct-race');
    // RemoteDisconnected; a client that reads late finds the server's RST.
    assert.ok((raced['closed-by-server'] ?? 0) + (raced['reset-by-backend'] ?? 0) > 0, JSON.stringify(raced));
    assert.ok(direct.get('direct-race')?.connections.some(({ error }) => error === 'closed'));
    assert.deepEqual(outcomes(direct, 'direct-race, cured'), { kept: 60 });
    assert.equal(direct.get('direct-race, cured')?.sentTooLate, 0);

    assert.ok((outcomes(layer7, 'l7-idle, nginx')['bad-gateway'] ?? 0) > 0);
    const { kept: _, ...failures } = outcomes(layer7, 'l7-idle, HAProxy');
    assert.ok(Object.keys(failures).length > 0);
    for (const name of ['HAProxy', 'nginx']) {
      assert.deepEqual(outcomes(layer7, `l7-idle, ${name}, well ordered`), { kept: 60 });
    }
  });
});
