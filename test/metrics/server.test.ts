/** The metrics server over real HTTP, and addresses that it cannot have. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { allocateCounters, createCounterLayout } from '../../metrics/counters.ts';
import { createExposition } from '../../metrics/exposition.ts';
import { MetricsListenError, startMetricsServer } from '../../metrics/server.ts';
import { freshStart, NOT_STEERED } from './fresh-start.ts';
import { numbered } from './numbered.ts';
import { parseExposition } from './parse-exposition.ts';

const layout = createCounterLayout({
  exits: [{ verdict: 'drop', reason: 'truncated' }],
  ...numbered([{ name: 'web', backends: [{ name: 'b1' }] }]),
});

function exposition(tables: () => [] = () => []) {
  const slots = allocateCounters(layout);
  const registry = createExposition({
    version: '0',
    layout: () => layout,
    workers: [slots],
    tables,
    workerRestarts: () => 0,
    deviceCounters: () => [],
    steering: () => NOT_STEERED,
    configuration: freshStart,
    backends: () => [],
  });
  return { slots, registry };
}

const LOOPBACK = { host: '127.0.0.1', port: 0 };

test('metrics over HTTP are the slots of the moment', async () => {
  const { slots, registry } = exposition();
  const server = await startMetricsServer(registry, LOOPBACK);
  try {
    for (const count of [7, 8]) {
      slots[layout.exitBase[0]] = count;
      const response = await fetch(`http://127.0.0.1:${server.port}/metrics?from=a+test`);
      assert.equal(response.status, 200);
      assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
      const { samples } = parseExposition(await response.text());
      assert.equal(samples.get('hushlb_packets_total{reason="truncated",service="web",verdict="drop"}'), count);
    }
  } finally {
    await server.close();
  }
});

test('other paths are 404, other methods 405, health is ok', async () => {
  const server = await startMetricsServer(exposition().registry, LOOPBACK);
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return { status: response.status, allow: response.headers.get('allow'), body: await response.text() };
  };
  try {
    assert.deepEqual(await ask('/healthz'), { status: 200, allow: null, body: 'ok\n' });
    assert.equal((await ask('/')).status, 404);
    assert.equal((await ask('/metrics/')).status, 404);
    assert.equal((await ask('/nothing', 'POST')).status, 404);
    assert.deepEqual(await ask('/metrics', 'HEAD'), { status: 200, allow: null, body: '' });
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const { status, allow } = await ask('/metrics', method);
      assert.deepEqual({ status, allow }, { status: 405, allow: 'GET, HEAD' });
    }
  } finally {
    await server.close();
  }
});

test('a source that fails makes a 500 that says why, and the next scrape works', async () => {
  let broken = true;
  const { registry } = exposition(() => {
    if (broken) throw new Error('the table is gone');
    return [];
  });
  const server = await startMetricsServer(registry, LOOPBACK);
  try {
    const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
    assert.equal(response.status, 500);
    assert.match(await response.text(), /the table is gone/);
    broken = false;
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/metrics`)).status, 200);
  } finally {
    await server.close();
  }
});

test('closing does not wait for keep-alive scrapers or half a request', { timeout: 20_000 }, async () => {
  const server = await startMetricsServer(exposition().registry, LOOPBACK);
  const agent = new Agent({ keepAlive: true });
  const [response] = await once(get({ port: server.port, path: '/metrics', agent }), 'response');
  response.resume();
  await once(response, 'end');
  const half = connect(server.port, '127.0.0.1');
  await once(half, 'connect');
  const cut = new Promise((resolve) => half.on('error', () => {}).on('close', resolve));
  half.write('GET /metrics HTTP/1.1\r\n');

  // Node itself would wait a minute for the rest of the request.
  await server.close();
  await cut;
  agent.destroy();
  const again = await startMetricsServer(exposition().registry, { host: '127.0.0.1', port: server.port });
  await again.close();
});

function isListenError(message: RegExp, causeCode: string) {
  return (error: unknown) => {
    assert.ok(error instanceof MetricsListenError);
    assert.equal(error.code, 'METRICS_LISTEN');
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\n/);
    assert.equal((error.cause as NodeJS.ErrnoException).code, causeCode);
    return true;
  };
}

test('a port in use and an address of another host name the setting and say what to do', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const { registry } = exposition();
  try {
    await assert.rejects(
      startMetricsServer(registry, { host: '127.0.0.1', port }),
      isListenError(new RegExp(`^metrics\\.listen: 127\\.0\\.0\\.1:${port} is in use .*: choose`), 'EADDRINUSE'),
    );
  } finally {
    other.close();
  }
  await assert.rejects(
    startMetricsServer(registry, { host: '192.0.2.1', port: 9108 }),
    isListenError(/^metrics\.listen: 192\.0\.2\.1:9108 is not an address of this host$/, 'EADDRNOTAVAIL'),
  );
  await assert.rejects(
    startMetricsServer(registry, { host: '2001:db8::1', port: 9108 }),
    isListenError(/^metrics\.listen: \[2001:db8::1\]:9108 /, 'EADDRNOTAVAIL'),
  );
});

test('a port below 1024 without root says so', {
  skip: process.getuid?.() !== 0 && 'needs root to give it up',
}, async () => {
  const code = `
    import { Registry } from 'prom-client';
    import { startMetricsServer } from ${JSON.stringify(new URL('../../metrics/server.js', import.meta.url).href)};
    process.setgid(65534); process.setgroups([]); process.setuid(65534);
    try { await startMetricsServer(new Registry(), { host: '127.0.0.1', port: 1 }); }
    catch (error) { console.log(error.message); }`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]);
  assert.equal(stdout, 'metrics.listen: 127.0.0.1:1 needs root: choose a port from 1024 on\n');
});
