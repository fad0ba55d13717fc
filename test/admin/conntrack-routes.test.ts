/** The operations on connection tables, on the real forwarder in place of a daemon's workers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { conntrackRoutes } from '../../admin/conntrack-routes.ts';
import { checked } from '../../admin/request-body.ts';
import type { RouteRequest } from '../../admin/route.ts';
import { createAsking } from '../../lb/ask.ts';
import type { ControlPlane } from '../../lb/control-plane.ts';
import { createEntryScan } from '../../lb/entry-scan.ts';
import { prepare } from '../../lb/prepare.ts';
import { createRig, parsedConfig } from '../lb/rig.ts';
import { tcpFrame } from '../packets.ts';

const RIG = { service: 'hash: source-ip-port' };

function api(connections: number) {
  const rig = createRig(RIG);
  const prepared = prepare(parsedConfig(RIG));
  for (let i = 0; i < connections; i++) rig.walk(tcpFrame({ source: '198.18.1.7', sourcePort: 1000 + i, flags: 'S' }));
  const scan = createEntryScan(rig.forwarder, (report) => asking.tell(0, report));
  const asking = createAsking(
    1,
    () => prepared,
    (_, query) => {
      scan.accept(query);
      while (scan.isBusy) scan.work(500);
      return true;
    },
  );
  const control = {
    parts: { workers: { ask: asking.ask }, prepared, state: rig.forwarder.state },
  } as unknown as ControlPlane;
  return async (operation: string, query: Record<string, string> = {}, params: Record<string, string> = {}) => {
    const route = conntrackRoutes.find((candidate) => candidate.operation === operation);
    assert.ok(route !== undefined, operation);
    const settled = route.query === undefined ? undefined : checked(route.query, query);
    const request = { params, query: settled, body: undefined, by: 'test', signal: new AbortController().signal };
    const answer = await route.handle(request as RouteRequest<unknown, unknown>, control);
    // As it is sent; the schema is what the API's description says.
    return route.result.parse(JSON.parse(JSON.stringify(answer))) as never;
  };
}

describe('connection tables by the admin API', () => {
  test('a list is limited, and says how many there are', async () => {
    const ask = api(1200);
    const first: { entries: unknown[]; matched: number } = await ask('listConnections');
    assert.deepEqual([first.entries.length, first.matched], [1000, 1200]);
    const none: { entries: unknown[]; matched: number } = await ask('listConnections', {
      limit: '0',
      client: '198.18.1.7:1003',
    });
    assert.deepEqual([none.entries.length, none.matched], [0, 1]);
  });

  for (const query of [
    { limit: 'many' },
    { limit: '100001' },
    { limit: '-1' },
    { divergent: 'yes' },
    { backends: 'b1' },
  ]) {
    test(`refused: ${JSON.stringify(query)}`, async () => {
      await assert.rejects(api(0)('listConnections', query as unknown as Record<string, string>), { status: 400 });
    });
  }

  test('everything is flushed only by that word', async () => {
    const ask = api(20);
    await assert.rejects(ask('flushConnections'), { status: 400 });
    await assert.rejects(ask('flushConnections', { all: 'true', backend: 'b1' }), { status: 400 });
    const { flushed: some }: { flushed: number } = await ask('flushConnections', { backend: 'b1' });
    const { flushed: rest }: { flushed: number } = await ask('flushConnections', { all: 'true' });
    assert.equal(some + rest, 20);
    assert.ok(some > 0 && rest > 0);
  });

  test('counts by backend', async () => {
    const { counts }: { counts: { backend: string; entries: number; divergent: number }[] } =
      await api(60)('countConnections');
    assert.equal(
      counts.reduce((sum, { entries }) => sum + entries, 0),
      60,
    );
    assert.ok(counts.every(({ divergent }) => divergent === 0));
  });

  test('a client is shown with what the hash says, in the table or not', async () => {
    const ask = api(3);
    const show = (client: string) => ask('showConnection', {}, { service: 'web', client });
    const all: { entries: { backend: string; byHash: string; expiresAt: string }[]; byHash: null } =
      await show('198.18.1.7');
    assert.equal(all.entries.length, 3);
    assert.ok(all.entries.every(({ backend, byHash }) => backend === byHash));
    assert.equal(all.byHash, null, 'the port has a say');
    const one: { entries: unknown[]; byHash: string } = await show('198.18.1.7:9999');
    assert.deepEqual([one.entries.length, /^b[123]$/.test(one.byHash)], [0, true]);
    await assert.rejects(show('2001:db8::7'), { status: 400, message: /another family/ });
    await assert.rejects(show('nobody'), { code: 'CLIENT_INVALID' });
    await assert.rejects(ask('showConnection', {}, { service: 'wbe', client: '198.18.1.7' }), {
      code: 'UNKNOWN_SERVICE',
    });
  });
});
