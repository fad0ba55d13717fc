/** Looking into a running balancer, by the commands: real connections through a real daemon, listed, shown, followed, forgotten. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { IPV4 } from '../../lab/addresses.ts';
import type { ClientReport, ExchangeReport } from '../../lab/keepalive-client.ts';
import { HUSHLB, labProgram, logMessage, pause } from '../../lab/processes.ts';
import { backendNames } from '../../lab/topology.ts';
import type { BalancerEvent } from '../../lb/events.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { backendYaml, configuration, never, PATIENCE_MS, ready, useLan } from '../lb/lan.ts';

const BACKENDS = backendNames(2);
const CONNECTIONS = 16;

interface Entry {
  readonly client: string;
  readonly port: number;
  readonly backend: string;
  readonly divergent: boolean;
}

describe('a running balancer, looked into', { skip: needsRoot }, () => {
  const lan = useLan(BACKENDS);
  const hushlb = (...args: string[]): string =>
    lan.inHost('lb', process.execPath, HUSHLB, ...args, '--socket', lan.socket());
  const narrow = (...args: string[]): string =>
    lan.inHost('lb', 'env', 'COLUMNS=40', process.execPath, HUSHLB, ...args, '--socket', lan.socket());

  async function connections(): Promise<{ again(): Promise<ExchangeReport[]> }> {
    const reports: ExchangeReport[] = [];
    const args = { host: IPV4.vip, port: 80, connections: CONNECTIONS, seed: 1, patience: PATIENCE_MS };
    const options = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const client = lan.start('client', [process.execPath, labProgram('keepalive-client'), ...options], (line) => {
      const report = JSON.parse(line) as ClientReport;
      if (report.event === 'exchange') reports.push(report);
    });
    await client.waitForLine((line) => line.includes('"idle"'), PATIENCE_MS, never);
    return {
      async again() {
        client.write('again');
        await client.waitForLine((line) => line.includes('"done"'), PATIENCE_MS, never);
        return reports.filter(({ round }) => round === 'second');
      },
    };
  }

  test('list, show, events, flush, drained, top', async () => {
    lan.write(
      configuration(
        BACKENDS.map((name) => backendYaml(name)),
        { service: 'hash: source-ip-port' },
      ),
    );
    const balancer = lan.startBalancer();
    await ready(balancer);
    const { again } = await connections();
    const daemon = openClient({ socket: lan.socket() });

    const listed = (await daemon.request('GET', '/v1/conntrack')) as { entries: Entry[]; matched: number };
    assert.equal(listed.matched, CONNECTIONS);
    assert.deepEqual([...new Set(listed.entries.map(({ client }) => client))], [IPV4.client]);
    assert.ok(listed.entries.every(({ divergent }) => divergent === false));
    const heldBy = (name: string) => listed.entries.filter(({ backend }) => backend === name);
    assert.ok(heldBy('b1').length > 0 && heldBy('b2').length > 0);
    const lines = narrow('conntrack', 'list', '--limit', '3').trimEnd().split('\n');
    assert.ok(
      lines.every((line) => line.length <= 40),
      lines.join('\n'),
    );
    assert.match(lines.at(-1) ?? '', new RegExp(`^${CONNECTIONS} entries, ${CONNECTIONS - 3} not shown`));

    const [first] = heldBy('b1');
    const shown = hushlb('conntrack', 'show', 'web', `${first.client}:${first.port}`);
    assert.match(shown, /^table +b1$/m);
    assert.match(shown, /^by hash +b1, the same/m);
    assert.match(hushlb('conntrack', 'show', 'web', '198.18.99.99:1'), /not in the table/);

    const told: BalancerEvent[] = [];
    const follower = lan.start(
      'lb',
      [process.execPath, HUSHLB, 'events', '--follow', '--json', '--socket', lan.socket()],
      (line) => {
        if (line.startsWith('{')) told.push(JSON.parse(line) as BalancerEvent);
      },
    );
    const ofKind = (kind: string) => told.filter((event) => event.kind === kind);
    const until = async (isIt: () => boolean, what: string): Promise<void> => {
      const deadline = performance.now() + PATIENCE_MS;
      while (!isIt()) {
        assert.ok(performance.now() < deadline, `${what}: ${JSON.stringify(told)}`);
        await pause(20, never);
      }
    };
    // It follows when it is told of a change that came after its start.
    for (let weight = 2; ofKind('change').length === 0; weight++) {
      await daemon.request('PATCH', '/v1/services/web/backends/b2', { weight: 1 + (weight % 2) });
      await pause(50, never);
    }
    await daemon.request('PATCH', '/v1/services/web/backends/b2', { weight: 1 });
    const drain = [process.execPath, HUSHLB, 'drain', 'web', 'b1', '--socket', lan.socket()];
    assert.throws(
      () => lan.inHost('lb', ...drain, '--wait', '--timeout', '1ms'),
      /connections? of web\/b1 still there/,
    );
    const waiter = lan.start('lb', [...drain, '--wait', '--timeout', '60s']);

    const divergent = JSON.parse(hushlb('conntrack', 'list', '--divergent', '--json')) as { entries: Entry[] };
    const textOf = ({ client, port }: Entry) => `${client}:${port}`;
    assert.deepEqual(divergent.entries.map(textOf).sort(), heldBy('b1').map(textOf).sort());
    assert.match(hushlb('conntrack', 'show', 'web', textOf(first)), /^by hash +b2, another/m);

    assert.match(
      hushlb('conntrack', 'flush', '--backend', 'b2'),
      new RegExp(`^${heldBy('b2').length} entr.* forgotten`),
    );
    const answers = await again();
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const clientsOf = (kind: string) => [...new Set(ofKind(kind).map(({ client }) => client))].sort();
    await until(() => clientsOf('mismatch').length + clientsOf('pickup').length >= CONNECTIONS, 'an event each');
    assert.deepEqual(clientsOf('mismatch'), heldBy('b1').map(textOf).sort());
    assert.deepEqual(clientsOf('pickup'), heldBy('b2').map(textOf).sort());

    assert.equal(ofKind('drained').length, 0);
    hushlb('conntrack', 'flush', '--all');
    await until(() => ofKind('drained').length > 0, 'b1 is drained');
    assert.deepEqual(
      ofKind('drained').map(({ service, backend }) => [service, backend]),
      [['web', 'b1']],
    );
    await balancer.waitForLine((line) => logMessage(line) === 'drained', PATIENCE_MS, never);
    assert.match(hushlb('events', '--kind', 'drained'), /drained +web\/b1 .*can be removed/);
    assert.equal(await waiter.ended, 0);

    const frame = hushlb('top', '--once', '--interval', '200ms');
    assert.match(frame, /^web /m);
    assert.match(frame, /b1 .*draining/);
    await balancer.stop();
    assert.equal(await follower.ended, 1, 'who follows is told of the end');
  });
});
