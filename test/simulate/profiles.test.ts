/**
 * Each profile in virtual time at its real idle timeout, against what the products' documents say of them: the time at
 * which a connection is forgotten, what happens then, and what its next packet meets.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROFILE_NAMES, type ProfileName } from '../../lb/profiles.ts';
import { ORDERINGS, simulateMatrix } from '../../simulate/matrix.ts';
import { simulate } from '../../simulate/run.ts';
import { settings } from './settings.ts';

/** Seconds until the balancer forgets, and what becomes of a connection that is used again after twice that. */
const DOCUMENTED: Record<ProfileName, [idleS: number, outcome: string, when: 'at expiry' | 'on the next packet']> = {
  'aws-nlb': [350, 'reset-by-balancer', 'on the next packet'],
  'azure-lb': [240, 'hung', 'on the next packet'],
  'gcp-external': [60, 'kept', 'on the next packet'],
  'gcp-internal': [600, 'kept', 'on the next packet'],
  'f5-fastl4': [300, 'reset-by-balancer', 'at expiry'],
  'f5-fastl4-loose': [300, 'reset-by-balancer', 'at expiry'],
  netscaler: [9000, 'reset-by-balancer', 'at expiry'],
  'netscaler-stateless': [9000, 'reset-by-balancer', 'at expiry'],
  ipvs: [900, 'reset-by-balancer', 'on the next packet'],
  'ipvs-sloppy': [900, 'kept', 'on the next packet'],
  dpvs: [90, 'reset-by-balancer', 'at expiry'],
  katran: [30 * 86_400, 'kept', 'on the next packet'],
  cilium: [8000, 'kept', 'on the next packet'],
  'vpp-lb': [40, 'kept', 'on the next packet'],
  'nf-conntrack': [432_000, 'kept', 'on the next packet'],
};

for (const profile of PROFILE_NAMES) {
  const [idleS, outcome, when] = DOCUMENTED[profile];
  test(`${profile}: forgets after ${idleS} s; a connection used again later is ${outcome}, ${when}`, () => {
    const idleMs = idleS * 1000;
    const result = simulate(settings({ profile, clientIdleMs: 2 * idleMs }));
    const forgotten = result.story.find(({ kind }) => kind === 'forget');
    // From the last packet that the client sent: the handshake and one exchange take some milliseconds.
    assert.ok(forgotten !== undefined && Math.abs(forgotten.timeMs - idleMs) < 20, `at ${forgotten?.timeMs} ms`);
    assert.deepEqual(result.moments[0].outcomes, { [outcome]: 6 });
    assert.equal(result.lives, outcome === 'kept');
    const atMs = result.connections[0].outcomeMs ?? 0;
    if (when === 'at expiry') assert.ok(Math.abs(atMs - idleMs) < 20, `told at ${atMs} ms`);
    else assert.ok(atMs >= 2 * idleMs, `told at ${atMs} ms`);
    const resets = outcome !== 'reset-by-balancer' ? 0 : when === 'at expiry' ? 12 : 6;
    assert.equal(result.balancer.ownResets, resets, 'one a connection on a miss, two at expiry');
    assert.equal(result.balancer.ownResets, result.balancer.resetsSent, 'as the balancer itself counts');
  });

  test(`${profile}: a connection used again a second before that is kept`, () => {
    const result = simulate(settings({ profile, clientIdleMs: idleS * 1000 - 1000 }));
    assert.deepEqual([result.lives, result.moments[0].outcomes], [true, { kept: 6 }]);
  });
}

test('the matrix: a client that gives up first is always safe, a server that does is always a race', () => {
  const rows = simulateMatrix(settings());
  assert.deepEqual(
    rows.map(({ name }) => name),
    ['stateless', 'stateless, no table', 'round-robin', 'stateful', 'silent drop', ...PROFILE_NAMES],
  );
  for (const { name, cells } of rows) {
    const outcomes = ORDERINGS.map((ordering, i) => [ordering.join('<'), cells[i].outcome]);
    const forgotten =
      name in DOCUMENTED
        ? DOCUMENTED[name as ProfileName][1]
        : ({ 'round-robin': 'reset-by-backend', stateful: 'reset-by-balancer', 'silent drop': 'hung' }[name] ?? 'kept');
    assert.deepEqual(
      Object.fromEntries(outcomes),
      {
        'client<balancer<server': 'kept',
        'client<server<balancer': 'kept',
        'balancer<client<server': forgotten,
        // The server closes after the balancer has forgotten, and before the client does.
        'balancer<server<client': forgotten === 'kept' ? 'raced' : forgotten,
        'server<client<balancer': 'raced',
        'server<balancer<client': 'raced',
      },
      name,
    );
    for (const { outcome, lives } of cells) assert.equal(lives, outcome === 'kept');
  }
});
