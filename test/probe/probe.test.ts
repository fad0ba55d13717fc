/**
 * The probe against servers that end idle connections in every way that it tells apart. Expected are the times that the
 * servers were told.
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type ProbeOptions, type ProbeReport, runProbe } from '../../probe/probe.ts';
import { parseTarget } from '../../probe/target.ts';
import { selfSigned } from '../self-signed.ts';
import { type Habits, idleTimer, OK, serve, startNginx, type TestServer } from './servers.ts';

const closeByFin = idleTimer((socket) => socket.end());
const closeByRst = idleTimer((socket) => socket.resetAndDestroy());

async function started(context: TestContext, habits: Habits): Promise<TestServer> {
  const server = await serve(habits);
  context.after(() => server.close());
  return server;
}

function probe(target: string, options: Partial<ProbeOptions> = {}): Promise<ProbeReport> {
  const parsed = parseTarget(target);
  assert.ok(parsed !== undefined);
  return runProbe({
    target: parsed,
    minMs: 100,
    maxMs: 3000,
    connections: 6,
    method: 'HEAD',
    insecure: false,
    patienceMs: 1000,
    signal: new AbortController().signal,
    ...options,
  });
}

/** How late timers may be on a busy machine before a test fails. */
const LATENESS_MS = 500;

function expectAround(ms: number, { finding }: ProbeReport): void {
  const { livedMs, diedMs } = finding;
  const holds = livedMs <= ms + LATENESS_MS && diedMs !== null && diedMs >= ms - LATENESS_MS && livedMs < diedMs;
  assert.ok(holds, `${livedMs} to ${diedMs} does not hold ${ms}`);
}

type OnRequest = NonNullable<Habits['onRequest']>;

/** Forgets connections after this time, as a box on the way does, and treats what comes then like `then`. */
function forgetful(ms: number, then: OnRequest): OnRequest {
  const last = new WeakMap<object, number>();
  return (socket, count) => {
    const before = last.get(socket) ?? performance.now();
    last.set(socket, performance.now());
    if (performance.now() - before >= ms) then(socket, count);
    else socket.write(OK);
  };
}

/** Made before they begin: it keeps this thread busy for a while, and they all measure on it. */

// They wait most of the time.
describe('the probe', { concurrency: 4 }, () => {
  for (const [name, close] of [
    ['fin', closeByFin],
    ['rst', closeByRst],
  ] as const) {
    test(`a server that closes idle connections by ${name} after 700 ms`, async (context) => {
      const server = await started(context, {
        onRequest: (socket) => {
          socket.write(OK);
          close(socket, 700);
        },
      });
      const report = await probe(`http://127.0.0.1:${server.port}/x`);
      assert.deepEqual([report.finding.result, report.finding.ending], ['closed', name]);
      expectAround(700, report);
      assert.equal(report.answer?.status, 200);
      assert.ok(report.observations.some(({ outcome }) => outcome === 'lived'));
      assert.match(server.received(), /^HEAD \/x HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
      assert.ok(server.most() <= 6);
    });

    test(`a bare connection that the server closes by ${name} after 1300 ms gets no byte`, async (context) => {
      const server = await started(context, { onConnection: (socket) => close(socket, 1300) });
      const report = await probe(`127.0.0.1:${server.port}`, { minMs: 1000, connections: 4 });
      assert.deepEqual([report.finding.result, report.finding.ending], ['closed', name]);
      expectAround(1300, report);
      assert.equal(server.received(), '');
    });
  }

  test('a connection that is reset when used after 700 ms: found in two rounds', async (context) => {
    const server = await started(context, { onRequest: forgetful(700, (socket) => socket.resetAndDestroy()) });
    const report = await probe(`http://127.0.0.1:${server.port}/`);
    assert.deepEqual([report.finding.result, report.finding.ending], ['died', 'rst']);
    expectAround(700, report);
    // One round of six between 100 and 3000 ms uses connections after 391 and 770 ms, and none between.
    const between = report.observations.filter(({ idleMs }) => idleMs > 391 && idleMs < 770);
    assert.ok(between.length > 2, JSON.stringify(report.observations));
    assert.ok(server.most() <= 6);
  });

  test('a connection that gets no answer after 700 ms is silently gone', async (context) => {
    const server = await started(context, { onRequest: forgetful(700, () => {}) });
    const report = await probe(`http://127.0.0.1:${server.port}/`);
    assert.deepEqual([report.finding.result, report.finding.ending], ['died', 'silent']);
    expectAround(700, report);
  });

  test('a connection that is closed in place of an answer', async (context) => {
    const server = await started(context, { onRequest: forgetful(700, (socket) => socket.end()) });
    const report = await probe(`http://127.0.0.1:${server.port}/`, { method: 'GET' });
    assert.deepEqual([report.finding.result, report.finding.ending], ['died', 'fin']);
    expectAround(700, report);
    assert.match(server.received(), /^GET /);
  });

  test('a server that never closes outlives the longest time', async (context) => {
    const server = await started(context, { onRequest: (socket) => socket.write(OK) });
    const { finding } = await probe(`http://127.0.0.1:${server.port}/`, { maxMs: 600 });
    assert.deepEqual([finding.result, finding.diedMs], ['outlived', null]);
    assert.ok(finding.livedMs >= 600);
  });

  test('a bare connection to a server that never closes: the other kernel answers keepalive', async (context) => {
    const server = await started(context, {});
    const { finding } = await probe(`127.0.0.1:${server.port}`, { minMs: 1000, maxMs: 1000, connections: 1 });
    assert.equal(finding.result, 'outlived');
    assert.equal(server.received(), '');
  });

  test('a server that announces its timeout, and one that closes after each answer', async (context) => {
    const announcing = await started(context, {
      onRequest: (socket) => {
        socket.write('HTTP/1.1 404 Not Found\r\nKeep-Alive: timeout=5, max=9\r\nContent-Length: 0\r\n\r\n');
        closeByFin(socket, 300);
      },
    });
    const { answer } = await probe(`http://127.0.0.1:${announcing.port}/`);
    assert.deepEqual(answer, { status: 404, keepsAlive: true, announcedMs: 5000 });

    for (const response of [
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n',
    ]) {
      const closing = await started(context, { onRequest: (socket) => socket.write(response) });
      assert.equal((await probe(`http://127.0.0.1:${closing.port}/`)).finding.result, 'not-kept');
    }
    const endless = await started(context, { onRequest: (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nhello') });
    assert.equal((await probe(`http://127.0.0.1:${endless.port}/`, { method: 'GET' })).finding.result, 'not-kept');
  });

  test('https, with a certificate that nobody signed', async (context) => {
    const server = await started(context, {
      tls: selfSigned(),
      onRequest: (socket) => {
        socket.write(OK);
        closeByFin(socket, 600);
      },
    });
    const url = `https://127.0.0.1:${server.port}/`;
    await assert.rejects(probe(url), { code: 'PROBE_CERTIFICATE', message: /--insecure/ });
    const report = await probe(url, { insecure: true });
    assert.deepEqual([report.finding.result, report.finding.ending], ['closed', 'fin']);
    expectAround(600, report);
  });

  test('nginx with keepalive_timeout 1s closes by FIN after a second', async (context) => {
    const nginx = await startNginx('1s');
    if (nginx === undefined) return context.skip('needs nginx');
    context.after(() => nginx.close());
    const report = await probe(`http://127.0.0.1:${nginx.port}/`, { minMs: 200 });
    assert.deepEqual([report.finding.result, report.finding.ending], ['closed', 'fin']);
    expectAround(1000, report);
  });

  test('an interrupted probe reports what it knows', async (context) => {
    const server = await started(context, { onRequest: (socket) => socket.write(OK) });
    const interruption = new AbortController();
    const report = await probe(`http://127.0.0.1:${server.port}/`, {
      maxMs: 3_600_000,
      signal: interruption.signal,
      onProgress: ({ finding }) => {
        if (finding.livedMs > 0) interruption.abort();
      },
    });
    assert.equal(report.interrupted, true);
    assert.equal(report.finding.result, 'unknown');
    assert.ok(report.finding.livedMs >= 100, `the shortest time was over, not ${report.finding.livedMs} ms`);

    const before = await probe(`http://127.0.0.1:${server.port}/`, { signal: AbortSignal.abort() });
    assert.deepEqual([before.interrupted, before.finding.result, before.observations], [true, 'unknown', []]);
  });

  test('what cannot be measured is an error with a code', async (context) => {
    const closed = await serve({});
    await closed.close();
    await assert.rejects(probe(`127.0.0.1:${closed.port}`), { code: 'PROBE_REFUSED' });
    await assert.rejects(probe('nowhere.invalid:80'), { code: 'PROBE_NO_HOST' });

    const ssh = await started(context, { onConnection: (socket) => socket.write('SSH-2.0-x\r\n') });
    await assert.rejects(probe(`http://127.0.0.1:${ssh.port}/`), { code: 'PROBE_NOT_HTTP' });
    await assert.rejects(probe(`https://127.0.0.1:${ssh.port}/`), { code: 'PROBE_NOT_TLS' });
    const mute = await started(context, {});
    await assert.rejects(probe(`http://127.0.0.1:${mute.port}/`, { patienceMs: 200 }), { code: 'PROBE_NO_ANSWER' });
    const rude = await started(context, { onRequest: (socket) => socket.resetAndDestroy() });
    await assert.rejects(probe(`http://127.0.0.1:${rude.port}/`), { code: 'PROBE_NO_ANSWER', message: /resets/ });
  });
});
