/**
 * The audit against the rules as a table: every order in which three idle timeouts can stand, equal ones too, with what
 * each kind of balancer makes of it. The table is written by hand from what the boxes do, not from the code's rules.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { audit, type Balancer, type Chain, type LayerFour } from '../../probe/audit.ts';

const L7: Balancer = { kind: 'l7', name: 'l7' };
const l4 = (onExpiry: LayerFour['onExpiry'], onMiss: LayerFour['onMiss']): Balancer => ({
  kind: 'l4',
  name: `${onExpiry}-${onMiss}`,
  onExpiry,
  onMiss,
});
const STATELESS = l4('silent', 'forward');
/** All of them hurt a connection that idles for as long as they remember it. */
const FORGETFUL = [
  l4('silent', 'reset'),
  l4('silent', 'drop'),
  l4('reset', 'reset'),
  l4('reset', 'drop'),
  l4('reset', 'forward'),
];

const T = true;
const F = false;

/** client, balancer, server in seconds; safe when: direct, l7, stateless, forgetful, forgetful with keepalive at 1 s. */
const ORDERS: [order: string, times: [number, number, number], safe: [boolean, boolean, boolean, boolean, boolean]][] =
  [
    ['client < balancer < server', [10, 20, 30], [T, T, T, T, T]],
    ['client < server < balancer', [10, 30, 20], [T, F, T, T, T]],
    ['balancer < client < server', [20, 10, 30], [T, F, T, F, T]],
    ['balancer < server < client', [30, 10, 20], [F, F, F, F, F]],
    ['server < client < balancer', [20, 30, 10], [F, F, F, F, F]],
    ['server < balancer < client', [30, 20, 10], [F, F, F, F, F]],
    ['client = balancer < server', [10, 10, 30], [T, F, T, F, T]],
    ['client < balancer = server', [10, 30, 30], [T, F, T, T, T]],
    ['client = server < balancer', [10, 30, 10], [F, F, F, F, F]],
    ['balancer < client = server', [30, 10, 30], [F, F, F, F, F]],
    ['server < client = balancer', [30, 30, 10], [F, F, F, F, F]],
    ['balancer = server < client', [30, 10, 10], [F, F, F, F, F]],
    ['client = balancer = server', [10, 10, 10], [F, F, F, F, F]],
    // A side that never gives up: in place of the largest.
    ['client < balancer, server never', [10, 20, Infinity], [T, T, T, T, T]],
    ['balancer < client, server never', [20, 10, Infinity], [T, F, T, F, T]],
    ['balancer < client never, server never', [Infinity, 10, Infinity], [T, F, T, F, T]],
    ['client never, server not', [Infinity, 10, 20], [F, F, F, F, F]],
    ['client < server, balancer never', [10, Infinity, 20], [T, F, T, T, T]],
    ['nobody ever', [Infinity, Infinity, Infinity], [T, T, T, T, T]],
  ];

/** With an interval below every keepalive, so that the first probe's time is the period. */
const seconds = ([client, balancer, server]: readonly [number, number, number], keepaliveMs: number | null): Chain => ({
  clientMs: client * 1000,
  balancerMs: balancer * 1000,
  serverMs: server * 1000,
  keepaliveMs,
  keepaliveIntervalMs: 1000,
});

for (const [order, times, [direct, l7, stateless, forgetful, refreshed]] of ORDERS) {
  test(order, () => {
    const chain = seconds(times, null);
    const keepalive = seconds(times, 1000);
    assert.equal(audit({ ...chain, balancerMs: null }, null).safe, direct, 'direct');
    assert.equal(audit({ ...keepalive, balancerMs: null }, null).safe, direct, 'direct with keepalive');
    assert.equal(audit(chain, L7).safe, l7, 'l7');
    assert.equal(audit(keepalive, L7).safe, l7, 'l7 with keepalive');
    assert.equal(audit(chain, STATELESS).safe, stateless, 'stateless');
    assert.equal(audit({ ...chain, balancerMs: null }, STATELESS).safe, stateless, 'stateless, timeout unknown');
    for (const balancer of FORGETFUL) {
      assert.equal(audit(chain, balancer).safe, forgetful, balancer.name);
      assert.equal(audit(keepalive, balancer).safe, refreshed, `${balancer.name} with keepalive`);
      // Linux's default of two hours is no help.
      assert.equal(audit({ ...chain, keepaliveMs: 7_200_000 }, balancer).safe, forgetful, `${balancer.name}, 2 h`);
    }
  });
}

test('the chain that is advised is safe, and the given one where that is', () => {
  for (const [order, times] of ORDERS) {
    for (const keepaliveMs of [null, 1000, 7_200_000]) {
      for (const balancer of [null, L7, STATELESS, ...FORGETFUL]) {
        const given = seconds(times, keepaliveMs);
        const chain: Chain = balancer === null ? { ...given, balancerMs: null } : given;
        const { safe, safeChain, races } = audit(chain, balancer);
        const what: string = `${order}, ${balancer?.name ?? 'direct'}, keepalive ${keepaliveMs}`;
        assert.equal(audit(safeChain, balancer).safe, true, `${what}: ${JSON.stringify(safeChain)}`);
        if (safe) assert.deepEqual(safeChain, chain, what);
        assert.equal(races.length === 0, safe, what);
        assert.ok(safeChain.clientMs > 0 && safeChain.clientMs <= chain.clientMs, what);
      }
    }
  }
});

test('the pair that races is named, with what the client sees of it', () => {
  const pairs = (times: [number, number, number], balancer: Balancer): string[] =>
    audit(seconds(times, null), balancer).races.map(({ between, sees }) => `${between.join('-')}: ${sees}`);
  const both = pairs([30, 20, 10], L7);
  assert.equal(both.length, 2);
  assert.match(both[0], /^client-balancer: .*ECONNRESET/);
  assert.match(both[1], /^balancer-server: .*502/);
  assert.match(pairs([20, 10, 30], l4('silent', 'reset'))[0], /^client-balancer: ECONNRESET .*half-open/);
  assert.match(pairs([20, 10, 30], l4('silent', 'drop'))[0], /^client-balancer: .*hangs/);
  assert.match(pairs([30, 20, 10], STATELESS)[0], /^client-server: /);
});

test('a gap of less than a second is told, and is safe', () => {
  const chain = (clientMs: number): Chain => ({ ...seconds([0, 0, 5], null), clientMs, balancerMs: null });
  const { safe, notes } = audit(chain(4900), null);
  assert.equal(safe, true);
  assert.match(notes.join(), /only 100 ms/);
  assert.deepEqual(audit(chain(4000), null).notes, []);
});

test('keepalive refreshes a balancer only where both its times are below the timeout', () => {
  const balancer = l4('silent', 'reset');
  const of = (keepaliveMs: number, keepaliveIntervalMs: number) =>
    audit({ ...seconds([Infinity, 60, Infinity], keepaliveMs), keepaliveIntervalMs }, balancer);
  assert.deepEqual(
    [of(30_000, 30_000), of(59_000, 1000), of(1000, 59_000), of(30_000, 75_000), of(75_000, 30_000)].map(
      ({ safe }) => safe,
    ),
    [true, true, true, false, false],
  );
  const [{ why, change }] = of(30_000, 75_000).races;
  assert.match(why, /keepalive may come only every 75 s/);
  assert.match(change, /TCP keepalive every 48 s \(both tcp_keepalive_time and tcp_keepalive_intvl\)/);
  assert.match(of(75_000, 30_000).races[0].change, /TCP keepalive every 48 s \(tcp_keepalive_time\)/);
  // A client that gives up before the next probe is silent no longer than it idles.
  const early = { ...seconds([50, 60, Infinity], 30_000), keepaliveIntervalMs: 75_000 };
  assert.deepEqual([audit(early, balancer).safe, audit(early, balancer).notes], [true, []]);
});

test('what relies on keepalive says so, and when its timers may come too late', () => {
  const notes = (keepaliveMs: number): string =>
    audit(seconds([Infinity, 350, Infinity], keepaliveMs), l4('silent', 'reset')).notes.join();
  assert.match(notes(300_000), /^This relies on TCP keepalive, [^,]*$/);
  assert.match(notes(320_000), /relies on TCP keepalive.*an eighth late.*280 s/);
});
