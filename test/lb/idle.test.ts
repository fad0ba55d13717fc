/**
 * Connections that outlive the balancer's idle timeout, on a real network: what real kernels make of the resets of
 * `onExpiry: reset`, and of the silence of `onMiss: drop`. IPv6: test/lb/idle-ipv6.test.ts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IPV4 } from '../../lab/addresses.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { BACKENDS, CONNECTIONS, errorsOf, resetsIn, testResetsAtExpiry, useIdleLan } from './idle-lan.ts';

describe('idle connections', { skip: needsRoot }, () => {
  const lan = useIdleLan(IPV4);
  const { startBalancer, openConnections, sendAgain, watch, forgotten, established, onBackends } = lan;

  testResetsAtExpiry(lan);

  test('onExpiry: silent: the same pause leaves both sides as they are', async () => {
    await startBalancer('conntrack: { idleTimeout: 1500ms }');
    const packetsSeen = watch('client', ...BACKENDS);
    const { client, reports } = await openConnections(5000);
    await forgotten();
    assert.deepEqual([established('client'), onBackends()], [CONNECTIONS, CONNECTIONS]);
    assert.deepEqual(errorsOf(await sendAgain(client, reports)), new Set([null]));
    assert.deepEqual(resetsIn(packetsSeen()), []);
  });

  test('onMiss: drop: the request hangs, the kernel sends it again and again, and nobody says a word', async () => {
    await startBalancer('onMiss: drop\n    conntrack: { idleTimeout: 1500ms }');
    const packetsSeen = watch('client', ...BACKENDS);
    const { client, reports } = await openConnections(3000);
    await forgotten();
    const second = await sendAgain(client, reports);
    assert.deepEqual(errorsOf(second), new Set(['hung']));

    const packets = packetsSeen();
    assert.deepEqual(resetsIn(packets), []);
    const requests = packets.filter(({ httpLine }) => httpLine?.startsWith('GET'));
    for (const { localPort } of second) {
      const ofConnection = requests.filter(({ sourcePort }) => sourcePort === localPort);
      const sent = ofConnection.filter(({ host, direction }) => host === 'client' && direction === 'out');
      assert.ok(
        sent.length >= 3,
        `${sent.length} requests of port ${localPort}: the first, and one sent again and again`,
      );
      assert.equal(ofConnection.length - sent.length, 1, 'only the first came to a backend');
    }
  });
});
