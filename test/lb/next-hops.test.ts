/** The ways to backends, as a real kernel has them; the clock of the refreshing in the test's hand. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readLink } from '../../io/links.ts';
import { inNamespace } from '../../io/namespace.ts';
import { followNextHops } from '../../lb/next-hops.ts';
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
