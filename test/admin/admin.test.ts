/**
 * The admin API of a real daemon in a namespace.
 */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { status } from '../../admin/status-schema.ts';
import { backendNames } from '../../lab/topology.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, ready, useLan } from '../lb/lan.ts';

const BACKENDS = backendNames(2);

describe('the admin API of a running balancer', { skip: needsRoot }, () => {
  const lan = useLan(BACKENDS);

  test('its owner alone may use the socket, which goes with the balancer', async () => {
    lan.write(configuration(BACKENDS.map((name) => backendYaml(name))));
    const balancer = lan.startBalancer();
    await ready(balancer);
    assert.equal(statSync(lan.socket()).mode & 0o777, 0o600);
    const client = openClient({ socket: lan.socket() });
    const { services } = status.parse(await client.request('GET', '/v1/status'));
    assert.deepEqual(
      services[0].backends.map(({ reachable }) => reachable),
      [true, true],
    );
    await balancer.stop();
    assert.ok(!existsSync(lan.socket()));
    await assert.rejects(client.request('GET', '/v1/version'), { code: 'NO_DAEMON' });
  });
});
