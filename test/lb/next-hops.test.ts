/** The ways to backends, as a real kernel has them; the clock of the refreshing in the test's hand. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { describe as describeWay, followNextHops } from '../../lb/next-hops.ts';
import { ip, ipJson, makeTwoHosts, needsRoot, type TwoHosts } from '../io/two-hosts.ts';

/** Time enough for every entry to be refreshed, several times. */
const A_WHILE_MS = 120_000;

describe('next hops', { skip: needsRoot }, () => {
  let hosts: TwoHosts;
  before(() => {
    hosts = makeTwoHosts();
  });
  after(() => hosts.remove());

  const replace = (address: string, nud: string) =>
    ip('-n', hosts.left, 'neigh', 'replace', address, 'lladdr', '02:00:00:00:00:99', 'nud', nud, 'dev', 'left');
  const stateOf = (address: string): string =>
    ipJson(hosts.left, 'neigh', 'show', 'nud', 'all', address, 'dev', 'left')[0].state.join();

  /** The ways of a moment; what waits has been asked for. */
  const waysOf = (addresses: readonly string[]) =>
    inNamespace(hosts.left, () => {
      const link = readLink('left');
      assert.ok(link !== undefined);
      const hops = followNextHops(link, addresses, () => {});
      const ways = addresses.map((address) => hops.way(address));
      hops.close();
      return ways;
    });

  test('an IPv6 backend is a neighbour that answers, from the address that the kernel would use', async () => {
    const [{ address: mac }] = ipJson(hosts.right, 'link', 'show', 'right');
    const [route] = ipJson(hosts.left, '-6', 'route', 'get', '2001:db8::2');
    const deadline = performance.now() + 10_000;
    let [way] = waysOf(['2001:db8::2']);
    if (way.kind === 'waiting') assert.equal(way.why, '2001:db8::2 does not answer neighbour solicitations on left');
    while (way.kind === 'waiting' && performance.now() < deadline) {
      await pause(20);
      [way] = waysOf(['2001:db8::2']);
    }
    assert.equal(describeWay(way), `via 2001:db8::2 at ${mac} from ${route.prefsrc}, mtu 1500`);
    assert.equal(route.prefsrc, '2001:db8::1');
    assert.ok(way.kind === 'hop' && way.hop.source.length === 16);
  });

  test('gateways of either family, routes with an MTU of their own, and none', () => {
    const permanent = (address: string, mac: string) =>
      ip('-n', hosts.left, 'neigh', 'replace', address, 'lladdr', mac, 'nud', 'permanent', 'dev', 'left');
    permanent('2001:db8::99', '02:00:00:00:00:99');
    permanent('fe80::99', '02:00:00:00:00:98');
    ip('-n', hosts.left, 'route', 'add', '2001:db8:1::/48', 'via', '2001:db8::99', 'dev', 'left', 'mtu', '1400');
    ip('-n', hosts.left, 'route', 'add', '2001:db8:2::/48', 'via', 'fe80::99', 'dev', 'left');
    ip('-n', hosts.left, 'route', 'add', '198.19.0.0/24', 'via', 'inet6', '2001:db8::99', 'dev', 'left');
    ip('-n', hosts.left, 'route', 'add', 'unreachable', '2001:db8:3::/48');
    const told = waysOf([
      '2001:db8:1::1',
      '2001:db8:2::1',
      '198.19.0.7',
      '2001:db8:3::1',
      '2001:db8:4::1',
      '2001:db8::1',
    ]);
    assert.deepEqual(told.map(describeWay), [
      'via 2001:db8::99 at 02:00:00:00:00:99 from 2001:db8::1, mtu 1400',
      'via fe80::99 at 02:00:00:00:00:98 from 2001:db8::1, mtu 1500',
      'via 2001:db8::99 at 02:00:00:00:00:99 from 198.18.0.1, mtu 1500',
      'there is no route to it',
      'there is no route to it',
      'it is an address of this host',
    ]);
  });

  test("a neighbour in use is asked again and again, an administrator's entry never", ({ mock }) => {
    replace('198.18.0.50', 'permanent');
    replace('198.18.0.51', 'stale');
    mock.timers.enable({ apis: ['setInterval'] });
    // All on this thread and without a pause: timers that fire elsewhere would ask another namespace's kernel.
    inNamespace(hosts.left, () => {
      const link = readLink('left');
      assert.ok(link !== undefined);
      const hops = followNextHops(link, ['198.18.0.50', '198.18.0.51'], () => {});
      const fixed = ['198.18.0.50', '198.18.0.51'].map((address) => {
        const way = hops.way(address);
        assert.ok(way.kind === 'hop');
        return way.fixed;
      });
      assert.deepEqual(fixed, [true, false]);
      mock.timers.tick(A_WHILE_MS);
      hops.follow(['198.18.0.50', '198.18.0.51']);
      hops.close();
    });
    assert.notEqual(stateOf('198.18.0.51'), 'STALE', 'the kernel has been told that it is in use');
    assert.equal(stateOf('198.18.0.50'), 'PERMANENT');
  });
});
