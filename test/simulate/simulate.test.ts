/**
 * Whole simulations: what happens, when, and to whom, at real durations.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonOf } from '../../simulate/report.ts';
import { momentsOf, simulate } from '../../simulate/run.ts';
import { settings } from './settings.ts';

const AWS = settings({
  profile: 'aws-nlb',
  clientIdleMs: 400_000,
  serverIdleMs: 900_000,
  clientKeepaliveMs: 7_200_000,
});

test('AWS, 400 s idle: forgotten at 350 s, RST at 400 s, half-open on the server until it gives up', () => {
  const result = simulate(AWS);
  assert.deepEqual(result.moments, [{ kind: 'last', pauseMs: 400_000, outcomes: { 'reset-by-balancer': 6 } }]);
  const seconds = result.story.map(({ who, kind, timeMs }) => `${Math.round(timeMs / 1000)} ${who} ${kind}`);
  assert.deepEqual(seconds.slice(0, 2), ['0 client open', '0 client request']);
  assert.match(seconds[2], /^0 b\d answer$/);
  assert.deepEqual(seconds.slice(3, 7), [
    '350 balancer forget',
    '400 client request',
    '400 balancer reset',
    '400 client outcome',
  ]);
  for (const { error, resetBy, backendBefore, backendAfter, halfOpen } of result.connections) {
    assert.deepEqual([error, resetBy, backendAfter], ['ECONNRESET', 'balancer', null]);
    // Its FIN at 900 s is repeated 8 times by the orphaned socket, which waits 102.2 s in all: 200 ms times 2^9 - 1.
    assert.deepEqual(halfOpen, [{ backend: backendBefore, untilMs: 900_005 + 102_200 }]);
  }
});

test("the default keepalive of 7200 s comes too late, one below the balancer's timeout saves every connection", () => {
  assert.equal(simulate(AWS).lives, false);
  const saved = simulate({ ...AWS, clientKeepaliveMs: 300_000 });
  assert.deepEqual([saved.lives, saved.balancer.nonSynMisses, saved.balancer.ownResets], [true, 0, 0]);
  assert.equal(simulate({ ...AWS, clientKeepaliveMs: 349_000 }).lives, true);
  assert.equal(simulate({ ...AWS, clientKeepaliveMs: 351_000 }).lives, false);
});

test('an interval longer than the keepalive time: used right after a probe, a connection is silent for the interval', () => {
  const chain = settings({ mode: 'stateful', lbIdleMs: 60_000, clientIdleMs: 80_000, clientKeepaliveMs: 30_000 });
  const { moments, connections, lives } = simulate(chain);
  assert.equal(lives, false);
  // The first way, a probe at 30 s halves the silence of 80 s; the other, the next probe would come at 105 s.
  assert.deepEqual(moments, [
    { kind: 'last', pauseMs: 80_000, outcomes: { kept: 6 } },
    { kind: 'probed', pauseMs: 80_000, outcomes: { 'reset-by-balancer': 6 } },
  ]);
  for (const { secondRequestMs, outcomeMs } of connections.filter((each) => each.moment === 'probed')) {
    // That probe is what meets the RST.
    assert.deepEqual([secondRequestMs, Math.round((outcomeMs ?? 0) / 1000)], [null, 105]);
  }
  assert.equal(simulate({ ...chain, keepaliveIntervalMs: 59_000 }).lives, true);
  const atServers = { ...chain, clientKeepaliveMs: null, serverKeepaliveMs: 30_000 };
  assert.deepEqual(simulate(atServers).moments[1].outcomes, { 'reset-by-balancer': 6 });
});

test("a keepalive that comes after the balancer's timeout finds the RST by itself", () => {
  const result = simulate({ ...AWS, clientIdleMs: 800_000, clientKeepaliveMs: 600_000 });
  assert.deepEqual(result.moments[0].outcomes, { 'reset-by-balancer': 6 });
  for (const { secondRequestMs, outcomeMs } of result.connections) {
    assert.equal(secondRequestMs, null);
    assert.ok(Math.abs((outcomeMs ?? 0) - 600_000) < 20);
  }
});

test("with DSR the server's packets refresh nothing, but the client's answers to its keepalive do", () => {
  assert.equal(simulate({ ...AWS, clientKeepaliveMs: null, serverKeepaliveMs: 300_000 }).lives, true);
  assert.equal(simulate({ ...AWS, clientKeepaliveMs: null, serverKeepaliveMs: 360_000 }).lives, false);
});

test('dropped in silence, the client hangs for 924.6 s; a server without keepalive keeps its half for ever', () => {
  const result = simulate(settings({ profile: 'azure-lb', clientIdleMs: 400_000 }));
  for (const { outcome, error, outcomeMs, secondRequestMs, backendBefore, halfOpen } of result.connections) {
    assert.deepEqual([outcome, error], ['hung', 'ETIMEDOUT']);
    assert.equal(Math.round((outcomeMs ?? 0) - (secondRequestMs ?? 0)), 924_600);
    assert.deepEqual(halfOpen, [{ backend: backendBefore, untilMs: null }]);
  }
  const retransmissions = result.story.find(({ kind }) => kind === 'retransmission');
  assert.equal(retransmissions?.times, 15);
});

test('five days: forgotten to the millisecond, at any multiple of the clock', () => {
  for (const days of [5, 30]) {
    const lbIdleMs = days * 86_400_000;
    const before = simulate(settings({ mode: 'stateful', lbIdleMs, clientIdleMs: lbIdleMs - 1 }));
    const after = simulate(settings({ mode: 'stateful', lbIdleMs, clientIdleMs: lbIdleMs + 1 }));
    assert.deepEqual([before.lives, after.lives], [true, false]);
    assert.equal(after.story.find(({ kind }) => kind === 'forget')?.timeMs, lbIdleMs + 7, 'the ACK passes at 7 ms');
  }
});

test('the moments: one below the server, and the race and its aftermath where the server closes first', () => {
  assert.deepEqual(momentsOf(settings({ serverIdleMs: 60_001 })), [{ kind: 'last', pauseMs: 60_000 }]);
  assert.deepEqual(momentsOf(settings({ serverIdleMs: 60_000 })), [
    { kind: 'last', pauseMs: 59_000 },
    { kind: 'race', pauseMs: 59_999.5 },
  ]);
  assert.deepEqual(
    momentsOf(settings({ serverIdleMs: 10_000 })).map(({ kind }) => kind),
    ['last', 'race', 'late'],
  );
});

test('the race of client and server: lost under the FIN, in order after it, and no balancer is to blame', () => {
  const { moments, lives, balancer } = simulate(settings({ serverIdleMs: 50_000 }));
  assert.deepEqual(
    moments.map(({ outcomes }) => outcomes),
    [{ kept: 6 }, { raced: 6 }, { 'closed-by-server': 6 }],
  );
  assert.deepEqual([lives, balancer.ownResets], [false, 0]);
});

test('round-robin: lost exactly where the backend changed, about two in three of three', () => {
  const result = simulate(settings({ scheduler: 'round-robin', clientIdleMs: 90_000, connections: 300 }));
  for (const { backendBefore, backendAfter, resetBy, outcome } of result.connections) {
    if (outcome === 'kept') assert.equal(backendAfter, backendBefore);
    else assert.deepEqual([outcome, resetBy !== backendBefore, backendAfter], ['reset-by-backend', true, null]);
  }
  const lost = result.moments[0].outcomes['reset-by-backend'] ?? 0;
  // 300 times 2/3, and 4.5 standard deviations of 8.2 to either side.
  assert.ok(lost > 163 && lost < 237, `${lost}`);
});

test('without a table the balancer has nothing to forget', () => {
  const result = simulate(settings({ conntrack: false, clientIdleMs: 30 * 86_400_000 }));
  assert.deepEqual([result.lives, result.balancer.entriesAtPeak], [true, 0]);
  assert.ok(result.connections.every(({ backendBefore, backendAfter }) => backendBefore === backendAfter));
});

test('a thousand connections that idle out in one moment are all told', () => {
  const result = simulate(settings({ profile: 'f5-fastl4', clientIdleMs: 400_000, connections: 1000 }));
  assert.deepEqual([result.balancer.ownResets, result.balancer.expired], [2000, 1000]);
  assert.ok(result.connections.every(({ outcomeMs }) => (outcomeMs ?? 0) < 300_100));
});

test('the same seed gives the same result, another another', () => {
  const of = (seed: number): string =>
    JSON.stringify(
      jsonOf(simulate(settings({ scheduler: 'round-robin', clientIdleMs: 90_000, connections: 50, seed }))),
    );
  assert.equal(of(3), of(3));
  assert.notEqual(of(3), of(4));
});

test('what would run for ever ends in one line', () => {
  const busy = settings({ clientIdleMs: 30 * 86_400_000, clientKeepaliveMs: 1000 });
  assert.throws(() => simulate(busy), { code: 'SIMULATION_TOO_LONG', message: /take fewer connections/ });
});
