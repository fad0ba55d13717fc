/** `hushlb agree` as a user runs it, on metrics servers of hushlb's own and on what is none. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { allocateCounters, createCounterLayout } from '../../metrics/counters.ts';
import { createExposition } from '../../metrics/exposition.ts';
import { startMetricsServer } from '../../metrics/server.ts';
import { freshStart, NOT_STEERED, WEB } from '../metrics/fresh-start.ts';
import { numbered } from '../metrics/numbered.ts';
import { hushlb } from './command.ts';

const closing: (() => Promise<unknown> | unknown)[] = [];
after(async () => {
  for (const close of closing) await close();
});

async function balancer(fingerprint: string, seedCheck = 'c4'): Promise<string> {
  const layout = createCounterLayout({ exits: [], ...numbered([{ name: 'web', backends: [] }]) });
  const registry = createExposition({
    version: '1',
    layout: () => layout,
    workers: [allocateCounters(layout)],
    tables: () => [{ service: 'web', fingerprint, tableSize: 7, slots: [] }],
    deviceCounters: () => [],
    steering: () => NOT_STEERED,
    workerRestarts: () => 0,
    backends: () => [],
    configuration: () => ({ ...freshStart(), seedCheck, services: [WEB] }),
  });
  const server = await startMetricsServer(registry, { host: '127.0.0.1', port: 0 });
  closing.push(() => server.close());
  return `127.0.0.1:${server.port}`;
}

async function other(status: number, body: string): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status).end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

let same: string[];
let different: string;
before(async () => {
  same = [await balancer('aaaa'), await balancer('aaaa')];
  different = await balancer('bbbb', '00');
});

test('two that agree: exit code 0', async () => {
  const { code, stdout, stderr } = await hushlb(['agree', ...same], { COLUMNS: '120' });
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: `2 balancers agree on 1 service: ${same.join(', ')}\n`, stderr: '' },
  );
});

test('one that differs is named, with what it has: exit code 1', async () => {
  const { code, stdout } = await hushlb(['agree', ...same, different], { COLUMNS: '120' });
  assert.equal(code, 1);
  assert.equal(
    stdout,
    [
      'hash seed differs',
      `  c4: ${same.join(', ')}`,
      `  00: ${different}`,
      'web: lookup table differs',
      `  aaaa: ${same.join(', ')}`,
      `  bbbb: ${different}`,
      '',
    ].join('\n'),
  );
  const narrow = await hushlb(['agree', ...same, different], { COLUMNS: '40' });
  for (const line of narrow.stdout.split('\n')) assert.ok(line.length <= 40, line);
});

test('whoever cannot be asked is named, and the others are compared: exit code 1', async () => {
  const gone = await other(200, 'up 1\n');
  const broken = await other(503, '');
  const { code, stdout } = await hushlb(['agree', ...same, gone, broken, '127.0.0.1:1'], { COLUMNS: '160' });
  assert.equal(code, 1);
  assert.deepEqual(stdout.split('\n'), [
    `${gone}: not compared: what answers there is not hushlb`,
    `${broken}: not compared: GET /metrics is answered 503`,
    '127.0.0.1:1: not compared: connection refused: is hushlb running, and does metrics.listen reach beyond loopback?',
    `2 balancers agree on 1 service: ${same.join(', ')}`,
    '',
  ]);
});

test('as data', async () => {
  const { code, stdout } = await hushlb(['agree', '--json', same[0], different, '127.0.0.1:1']);
  assert.equal(code, 1);
  const { agree, balancers, unreachable, disagreements } = JSON.parse(stdout);
  assert.equal(agree, false);
  assert.deepEqual(
    balancers.map((one: { balancer: string }) => one.balancer),
    [same[0], different],
  );
  assert.equal(balancers[0].services.web['lookup table'], 'aaaa');
  assert.deepEqual(
    unreachable.map((one: { balancer: string }) => one.balancer),
    ['127.0.0.1:1'],
  );
  assert.deepEqual(
    disagreements.map((one: { what: string }) => one.what),
    ['hash seed', 'lookup table'],
  );
});

test('arguments that make no sense', async () => {
  for (const [args, message] of [
    [[], 'expected two balancers or more as HOST[:PORT], got 0'],
    [['lb1'], 'expected two balancers or more as HOST[:PORT], got 1'],
    [['lb1', 'lb1:9108'], 'expected two balancers or more as HOST[:PORT], got 1'],
    [['lb1', 'http://lb2/'], 'expected HOST or HOST:PORT, got "http://lb2/"'],
    [['lb1', 'lb2:99999'], 'expected HOST or HOST:PORT, got "lb2:99999"'],
  ] as const) {
    const { code, stderr } = await hushlb(['agree', ...args]);
    assert.deepEqual({ code, stderr }, { code: 2, stderr: `hushlb: ${message}; see hushlb agree --help\n` });
  }
});

test('an IPv6 address with and without brackets', async () => {
  const { stdout } = await hushlb(['agree', '::1', '[::1]:1'], { COLUMNS: '160' });
  assert.match(stdout, /^\[::1\]:9108: not compared/m);
  assert.match(stdout, /^\[::1\]:1: not compared/m);
});
