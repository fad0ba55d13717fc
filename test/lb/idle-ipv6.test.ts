/**
 * Connections over IPv6 that outlive the balancer's idle timeout, on a real network: both kernels accept the resets of
 * `onExpiry: reset`, and the client's that of `onMiss: reset` (of which IPv4's is the lab's scenario `stateful`).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IPV6 } from '../../lab/addresses.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { BACKENDS, CONNECTIONS, errorsOf, resetsIn, testResetsAtExpiry, useIdleLan } from './idle-lan.ts';

describe('idle connections over IPv6', { skip: needsRoot }, () => {
  const lan = useIdleLan(IPV6);
  const { startBalancer, openConnections, sendAgain, watch, forgotten, established, onBackends } = lan;

  testResetsAtExpiry(lan);

  test('onMiss: reset: the next request ends the connection of the client, the backend hears nothing', async () => {
    await startBalancer('onMiss: reset\n    conntrack: { idleTimeout: 1500ms }');
    const packetsSeen = watch('client', ...BACKENDS);
    const { client, reports } = await openConnections(5000);
    await forgotten();
    assert.deepEqual([established('client'), onBackends()], [CONNECTIONS, CONNECTIONS]);
    const second = await sendAgain(client, reports);
    assert.deepEqual(errorsOf(second), new Set(['ECONNRESET']));
    assert.deepEqual([established('client'), onBackends()], [0, CONNECTIONS]);

    const resets = resetsIn(packetsSeen());
    assert.ok(
      resets.every(({ host, direction, source }) => `${host} ${direction} ${source}` === `client in ${IPV6.vip}`),
    );
    assert.deepEqual(
      resets.map(({ destinationPort }) => destinationPort).sort(),
      second.map(({ localPort }) => localPort).sort(),
    );
  });
});
