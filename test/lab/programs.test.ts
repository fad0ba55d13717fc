/**
 * The lab's own programs against servers that behave and servers that don't, in a namespace of this test's.
 *
 * Longer than 300 lines because those servers stand beside the programs that meet them.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { waitForListener } from '../../lab/backends.ts';
import type { ClientReport, ExchangeReport } from '../../lab/keepalive-client.ts';
import { type HostProcess, labProgram, startProcess } from '../../lab/processes.ts';
import { findProgram } from '../../lab/programs.ts';
import type { TableSample } from '../../lab/table-probe.ts';
import { needsRoot } from '../io/two-hosts.ts';

const NAMESPACE = `hushlb-test-${process.pid}-programs`;
const never = new AbortController().signal;
const running: { close(): void }[] = [];
const processes: HostProcess[] = [];

before(() => {
  if (needsRoot) return;
  execFileSync('ip', ['netns', 'add', NAMESPACE]);
  execFileSync('ip', ['-n', NAMESPACE, 'link', 'set', 'lo', 'up']);
});

after(async () => {
  if (needsRoot) return;
  for (const each of processes) await each.stop();
  for (const each of running) each.close();
  execFileSync('ip', ['netns', 'del', NAMESPACE]);
});

/** Listens inside the namespace: without a host name, Node binds at once and so where we are. */
function serve(server: Server, port: number): void {
  inNamespace(NAMESPACE, () => server.listen(port));
  running.push(server);
}

function start(program: string, options: string[], onLine: (line: string) => void = () => {}): HostProcess {
  const started = startProcess({
    name: program,
    namespace: NAMESPACE,
    command: [process.execPath, labProgram(program), ...options],
    onLine,
    onUnexpectedEnd: (error) => assert.fail(error.message),
  });
  processes.push(started);
  return started;
}

const OK = 'HTTP/1.1 200 OK\r\nX-Backend: b7\r\nContent-Length: 3\r\n\r\nb7\n';

/** Both rounds of the client against a server that treats the second request of a connection in a way of its own. */
async function converse(
  port: number,
  onSecond: (socket: Socket) => void,
  { connections = 1, patience = 15_000 } = {},
): Promise<ExchangeReport[]> {
  const server = createServer((socket) => {
    let requests = 0;
    socket.on('error', () => {});
    socket.on('data', () => {
      requests++;
      if (requests === 1) socket.write(OK);
      else onSecond(socket);
    });
  });
  serve(server, port);
  const reports: ClientReport[] = [];
  const args = { host: '127.0.0.1', port, connections, seed: 7, patience };
  const options = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const client = start('keepalive-client', options, (line) => reports.push(JSON.parse(line) as ClientReport));
  await client.waitForLine((line) => line.includes('"idle"'), 15_000, never);
  client.write('again');
  await client.waitForLine((line) => line.includes('"done"'), 15_000, never);
  await client.stop();
  return reports.filter((report): report is ExchangeReport => report.event === 'exchange');
}

describe('keepalive-client', { skip: needsRoot }, () => {
  it('sends twice on one connection and names who answered', async () => {
    const [first, second] = await converse(8001, (socket) => socket.write(OK));
    assert.deepEqual([first.status, first.backend, first.error], [200, 'b7', null]);
    assert.deepEqual([second.status, second.backend, second.error], [200, 'b7', null]);
    assert.equal(first.localPort, second.localPort);
    assert.ok(first.localPort > 0);
  });

  it('tells a reset, an orderly end, silence and half an answer apart', async () => {
    const seen = async (port: number, onSecond: (socket: Socket) => void, patience?: number): Promise<unknown> => {
      const [first, second] = await converse(port, onSecond, { patience });
      assert.equal(second.localPort, first.localPort);
      return second.error;
    };
    assert.equal(await seen(8002, (socket) => socket.resetAndDestroy()), 'ECONNRESET');
    assert.equal(await seen(8003, (socket) => socket.destroy()), 'closed');
    assert.equal(await seen(8004, () => {}, 1000), 'hung');
    assert.equal(await seen(8005, (socket) => socket.write(OK.slice(0, -1)), 1000), 'hung');
  });

  it('opens new connections before it sends again on the old ones, and gives no port twice', async () => {
    serve(
      createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', () => socket.write(OK));
      }),
      8010,
    );
    const reports: ClientReport[] = [];
    const options = ['--host', '127.0.0.1', '--port', '8010', '--connections', '3', '--new', '4'];
    const client = start('keepalive-client', options, (line) => reports.push(JSON.parse(line) as ClientReport));
    await client.waitForLine((line) => line.includes('"idle"'), 15_000, never);
    client.write('again');
    await client.waitForLine((line) => line.includes('"done"'), 15_000, never);
    await client.stop();
    const exchanges = reports.filter((report): report is ExchangeReport => report.event === 'exchange');
    assert.deepEqual(
      exchanges.map(({ round }) => round),
      [...Array(3).fill('first'), ...Array(4).fill('new'), ...Array(3).fill('second')],
    );
    const fresh = exchanges.filter(({ round }) => round === 'new');
    assert.deepEqual(
      fresh.map(({ connection, status }) => [connection, status]),
      [3, 4, 5, 6].map((connection) => [connection, 200]),
    );
    const ports = exchanges.filter(({ round }) => round !== 'second').map(({ localPort }) => localPort);
    assert.equal(new Set(ports).size, 7);
  });

  it('reports a port where nobody listens, and sends nothing more there', async () => {
    const reports: string[] = [];
    const options = ['--host', '127.0.0.1', '--port', '8999', '--connections', '1'];
    const client = start('keepalive-client', options, (line) => reports.push(line));
    await client.waitForLine((line) => line.includes('"idle"'), 15_000, never);
    await client.stop();
    assert.equal((JSON.parse(reports[0]) as ExchangeReport).error, 'ECONNREFUSED');
  });

  it('opens in order and sends again in another order, the same for the same seed', async () => {
    const times = async (port: number): Promise<number[][]> => {
      const reports = await converse(port, (socket) => socket.write(OK), { connections: 50 });
      const byConnection = reports.toSorted((a, b) => a.connection - b.connection);
      return ['first', 'second'].map((round) =>
        byConnection.filter((report) => report.round === round).map(({ sentAtMs }) => sentAtMs),
      );
    };
    const [first, second] = await times(8006);
    const [, again] = await times(8007);
    let turned = 0;
    for (let i = 0; i < 50; i++) {
      for (let j = i + 1; j < 50; j++) {
        assert.ok(first[i] <= first[j], `connection ${i} was opened after ${j}`);
        if (second[i] > second[j]) turned++;
        // On a busy machine two may leave in the same millisecond.
        assert.ok((second[i] - second[j]) * (again[i] - again[j]) >= 0, `${i} and ${j} changed places`);
      }
    }
    assert.ok(turned > 300, `${turned} of 1225 pairs in another order`);
  });
});

describe('table-probe', { skip: needsRoot }, () => {
  it('reads the table’s state out of the text format', async () => {
    const text = [
      '# HELP hushlb_conntrack_entries Connections in the connection table now.',
      '# TYPE hushlb_conntrack_entries gauge',
      'hushlb_conntrack_entries{service="web"} 42',
      'hushlb_conntrack_hits_total{service="web"} 7',
      'hushlb_conntrack_misses_total{service="web",kind="syn"} 60',
      'hushlb_conntrack_misses_total{service="web",kind="non_syn"} 18',
      'hushlb_conntrack_expired_total{service="web"} 3',
      'hushlb_conntrack_expired_total{service="other"} 2',
      'hushlb_resets_sent_total{service="web"} 1',
      '',
    ].join('\n');
    serve(
      createHttpServer((_request, response) => void response.end(text)),
      9108,
    );
    const probe = start('table-probe', ['--url', 'http://127.0.0.1:9108/metrics', '--interval', '50']);
    const line = await probe.waitForLine((each) => each.startsWith('{'), 15_000, never);
    const { timeMs, ...sample } = JSON.parse(line) as TableSample;
    assert.ok(Math.abs(Date.now() - timeMs) < 5000);
    assert.deepEqual(sample, { entries: 42, hits: 7, synMisses: 60, nonSynMisses: 18, expired: 5, resetsSent: 1 });
    await probe.stop();
  });
});

describe('http-server', { skip: needsRoot }, () => {
  it('signs its answers and keeps connections open', async () => {
    const server = start('http-server', ['--name', 'b2', '--port', '8080']);
    const reports: ClientReport[] = [];
    await waitForListener(NAMESPACE, 8080, 'the server', never);
    const options = ['--host', '127.0.0.1', '--port', '8080', '--connections', '3'];
    const client = start('keepalive-client', options, (line) => reports.push(JSON.parse(line) as ClientReport));
    await client.waitForLine((line) => line.includes('"idle"'), 15_000, never);
    client.write('again');
    await client.waitForLine((line) => line.includes('"done"'), 15_000, never);
    await client.stop();
    await server.stop();
    const answers = reports.flatMap((report) => (report.event === 'exchange' ? [[report.status, report.backend]] : []));
    assert.deepEqual(answers, Array(6).fill([200, 'b2']));
  });
});

describe('paced-client', { skip: needsRoot }, () => {
  it('sends again on each connection after its own pause, and says what became of it', async () => {
    // Connections to the first port are closed long before the pause is over, to the second long after.
    const ports = ['--port', '8091', '--idle', '200', '--port', '8092', '--idle', '3600000'];
    const server = start('http-server', ['--name', 'b3', ...ports]);
    for (const port of [8091, 8092]) await waitForListener(NAMESPACE, port, 'the server', never);
    const target = { host: '127.0.0.1', method: 'GET', pauseMs: 1500, freshPort: null };
    const plan = [
      { ...target, connection: 0, port: 8091, localPort: 20_001 },
      { ...target, connection: 1, port: 8092, localPort: 20_002 },
      { ...target, connection: 2, port: 8092, localPort: 20_003, freshPort: 20_004 },
      { ...target, connection: 3, port: 8093, localPort: 20_005 },
    ];
    const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-paced-'));
    const file = join(directory, 'plan.json');
    writeFileSync(file, JSON.stringify(plan));
    const reports: ClientReport[] = [];
    const client = start('paced-client', ['--plan', file], (line) => reports.push(JSON.parse(line) as ClientReport));
    await client.waitForLine((line) => line.includes('"done"'), 15_000, never);
    await client.stop();
    await server.stop();
    rmSync(directory, { recursive: true });
    const told = reports.flatMap((report) => (report.event === 'exchange' ? [report] : []));
    const shape = ({ round, localPort, status, error }: ExchangeReport): unknown[] => [round, localPort, status, error];
    const of = (id: number): unknown[][] => told.filter(({ connection }) => connection === id).map(shape);
    assert.deepEqual(of(0), [
      ['first', 20_001, 200, null],
      ['second', 20_001, null, 'closed-in-time'],
    ]);
    assert.deepEqual(of(1), [
      ['first', 20_002, 200, null],
      ['second', 20_002, 200, null],
    ]);
    assert.deepEqual(of(2), [
      ['first', 20_004, 200, null],
      ['second', 20_004, 200, null],
    ]);
    assert.deepEqual(of(3), [['first', 20_005, null, 'ECONNREFUSED']]);
  });
});

describe('startProcess', { skip: needsRoot }, () => {
  it('reports an unexpected end with the last words', async () => {
    const ended = await new Promise<string>((resolve) => {
      startProcess({
        name: 'the mayfly',
        namespace: NAMESPACE,
        command: ['sh', '-c', 'echo first; echo last words >&2; exit 3'],
        onUnexpectedEnd: (error) => resolve(error.message),
      });
    });
    assert.equal(ended, 'the mayfly ended (3): last words');
  });

  it('kills who ignores SIGTERM, and says nothing of an end that was asked for', async () => {
    const stubborn = startProcess({
      name: 'the stubborn',
      namespace: NAMESPACE,
      command: ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.1; done'],
      onUnexpectedEnd: (error) => assert.fail(error.message),
    });
    await stubborn.waitForLine((line) => line === 'up', 15_000, never);
    await stubborn.stop();
    assert.equal(await stubborn.ended, 'SIGKILL');
  });

  it('passes SIGHUP on, which is no end', async () => {
    const daemon = startProcess({
      name: 'the daemon',
      namespace: NAMESPACE,
      command: ['sh', '-c', 'trap "echo again" HUP; echo up; while :; do sleep 0.1; done'],
      onUnexpectedEnd: (error) => assert.fail(error.message),
    });
    processes.push(daemon);
    await daemon.waitForLine((line) => line === 'up', 15_000, never);
    daemon.hangUp();
    await daemon.waitForLine((line) => line === 'again', 15_000, never);
  });

  it('gives up waiting for a line when time is over or the run is', async () => {
    const silent = start('http-server', ['--name', 'x', '--port', '8081']);
    await assert.rejects(
      silent.waitForLine(() => false, 50, never),
      /http-server was not ready after 0.05 s: it said nothing/,
    );
    const interrupted = AbortSignal.abort(new Error('enough'));
    await assert.rejects(
      silent.waitForLine(() => false, 5000, interrupted),
      /enough/,
    );
    await silent.stop();
  });
});

describe('findProgram', () => {
  it('finds what is installed and nothing else', () => {
    assert.match(findProgram('sh') ?? '', /\/sh$/);
    assert.equal(findProgram('no-such-program'), undefined);
  });
});
