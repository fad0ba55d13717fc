/** The checks by sockets and programs, against servers of Node's and programs of the system on the loopback address. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { commandCheck } from '../../health/command.ts';
import { type Expectation, httpCheck } from '../../health/http.ts';
import type { CheckResult } from '../../health/judge.ts';
import { type Check, createMonitor } from '../../health/monitor.ts';
import { tcpCheck } from '../../health/tcp.ts';
import { selfSigned } from '../self-signed.ts';

const GET: Expectation = {
  method: 'GET',
  path: '/',
  host: null,
  status: { first: 200, last: 399 },
  body: null,
  verify: false,
};
const never = new AbortController().signal;

async function listening(
  t: TestContext,
  server: Server,
  address = '127.0.0.1',
): Promise<{ address: string; port: number }> {
  await once(server.listen(0, address), 'listening');
  t.after(() => server.close());
  return { address, port: (server.address() as AddressInfo).port };
}

/** What the monitor makes of the first check, which has `timeoutMs` and counts at once. */
async function verdictOf(check: Check, timeoutMs: number): Promise<string> {
  let told: (reason: string) => void = () => {};
  const reason = new Promise<string>((resolve) => (told = resolve));
  const monitor = createMonitor({ onChange: (_, after) => told(after.reason) });
  const settings = { intervalMs: 1, timeoutMs, rise: 1, fall: 1, graceMs: 0 };
  monitor.setTargets([{ key: 'web/b1', identity: '', settings, check }]);
  try {
    return await reason;
  } finally {
    monitor.close();
  }
}

describe('tcp', () => {
  for (const address of ['127.0.0.1', '::1']) {
    test(`${address}: a listener is up, and has the connection reset`, async (t) => {
      const server = createTcpServer();
      const place = await listening(t, server, address);
      const connection = once(server, 'connection');
      assert.deepEqual(await tcpCheck(place)(never), { ok: true, reason: 'connected' });
      const [socket] = await connection;
      const [error] = await once(socket, 'error');
      assert.equal(error.code, 'ECONNRESET');
    });
  }

  test('nobody listens: refused', async (t) => {
    const server = createTcpServer();
    const place = await listening(t, server);
    server.close();
    assert.equal(await verdictOf(tcpCheck(place), 10_000), 'connection refused');
  });
});

describe('http', () => {
  const rows: readonly {
    name: string;
    answer: RequestListener;
    expectation?: Partial<Expectation>;
    result: CheckResult;
  }[] = [
    { name: '200', answer: (_, response) => void response.end('fine'), result: { ok: true, reason: 'status 200' } },
    {
      name: 'a redirect is not followed',
      answer: (_, response) => void response.writeHead(302, { location: 'http://192.0.2.1/' }).end(),
      result: { ok: true, reason: 'status 302' },
    },
    {
      name: '503',
      answer: (_, response) => void response.writeHead(503).end(),
      result: { ok: false, reason: 'status 503, expected 200-399' },
    },
    {
      name: '200 where 204 is wanted',
      answer: (_, response) => void response.end(),
      expectation: { status: { first: 204, last: 204 } },
      result: { ok: false, reason: 'status 200, expected 204' },
    },
    {
      name: 'method, path and host are as asked for',
      answer: ({ method, url, headers }, response) =>
        void response
          .writeHead(`${method} ${url} ${headers.host}` === 'HEAD /healthz?a=1 www.example.com' ? 200 : 500)
          .end(),
      expectation: { method: 'HEAD', path: '/healthz?a=1', host: 'www.example.com' },
      result: { ok: true, reason: 'status 200' },
    },
    {
      name: 'text in the body, in two pieces',
      answer(_, response) {
        response.write('all is we');
        setTimeout(() => response.end('ll here'), 20);
      },
      expectation: { body: 'is well' },
      result: { ok: true, reason: 'status 200' },
    },
    {
      name: 'no such text',
      answer: (_, response) => void response.end('all is well'),
      expectation: { body: 'sick' },
      result: { ok: false, reason: 'status 200, but no "sick" in the body' },
    },
    {
      name: 'text behind the first 64 KiB',
      answer: (_, response) => void response.end(`${'x'.repeat(64 * 1024 - 3)}well`),
      expectation: { body: 'well' },
      result: { ok: false, reason: 'status 200, but no "well" in the body' },
    },
    {
      name: 'text at the end of the first 64 KiB',
      answer: (_, response) => void response.end(`${'x'.repeat(64 * 1024 - 4)}wellx`),
      expectation: { body: 'well' },
      result: { ok: true, reason: 'status 200' },
    },
  ];
  for (const { name, answer, expectation, result } of rows) {
    test(name, async (t) => {
      const place = await listening(t, createServer(answer));
      assert.deepEqual(await httpCheck(place, { ...GET, ...expectation }, false)(never), result);
    });
  }

  test('IPv6: the address is the host, in brackets', async (t) => {
    let host = '';
    const server = createServer(({ headers }, response) => {
      host = headers.host ?? '';
      response.end();
    });
    const place = await listening(t, server, '::1');
    await httpCheck(place, GET, false)(never);
    assert.equal(host, `[::1]:${place.port}`);
  });

  for (const [name, answer] of [
    ['no answer', () => {}],
    ['an endless body', (_, response) => void setInterval(() => response.write('x'), 5).unref()],
  ] satisfies [string, RequestListener][]) {
    test(`${name}: the timeout ends it, and the connection`, async (t) => {
      const server = createServer(answer);
      const place = await listening(t, server);
      const connection = once(server, 'connection');
      const check = httpCheck(place, { ...GET, body: 'well' }, false);
      assert.equal(await verdictOf(check, 200), 'no answer within 200 ms');
      const [socket] = await connection;
      if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
    });
  }

  test('no HTTP at all', async (t) => {
    const place = await listening(
      t,
      createTcpServer((socket) => socket.on('error', () => {}).end('SSH-2.0-OpenSSH\r\n')),
    );
    assert.match(await verdictOf(httpCheck(place, GET, false), 10_000), /Parse Error/);
  });

  for (const [name, tls] of [
    ['http', false],
    ['https', true],
  ] as const) {
    test(`${name}: the connection ends, or is reset, and there was no answer`, async (t) => {
      for (const [end, reason] of [
        [(socket: Socket) => socket.end(), 'connection ended before the answer did'],
        [(socket: Socket) => socket.resetAndDestroy(), 'connection reset'],
      ] as const) {
        const server = createTcpServer((socket) => socket.on('error', () => {}).once('data', () => end(socket)));
        const place = await listening(t, server);
        assert.equal(await verdictOf(httpCheck(place, GET, tls), 10_000), reason);
      }
    });
  }
});

describe('https', () => {
  test('a certificate that nobody signed, for another name and out of date, is none of our business', async (t) => {
    const names: unknown[] = [];
    const server = createHttpsServer(selfSigned(), (_, response) => response.end());
    server.on('secureConnection', ({ servername }) => names.push(servername));
    const place = await listening(t, server);
    for (const host of [null, 'www.example.com:8443']) {
      const result = await httpCheck(place, { ...GET, host }, true)(never);
      assert.deepEqual(result, { ok: true, reason: 'status 200' });
    }
    assert.deepEqual(names, [false, 'www.example.com']);
  });

  test('no TLS there: in one line', async (t) => {
    const place = await listening(t, createServer());
    assert.equal(await verdictOf(httpCheck(place, GET, true), 10_000), 'TLS: wrong version number');
  });
});

describe('command', () => {
  const target = { service: 'web', backend: 'b1', address: '192.0.2.1', port: 80 };
  const shell = (script: string) => commandCheck(['/bin/sh', '-c', script], target);

  test('exit code 0 is up, and what it says first is the reason', async () => {
    assert.deepEqual(await shell('echo all is well; echo more')(never), { ok: true, reason: 'all is well' });
  });

  test('another exit code is down', async () => {
    assert.deepEqual(await shell('echo replication is late >&2; exit 3')(never), {
      ok: false,
      reason: 'replication is late',
    });
    assert.deepEqual(await shell('exit 3')(never), { ok: false, reason: 'exit code 3' });
    assert.deepEqual(await shell('kill -SEGV $$')(never), { ok: false, reason: 'ended by SIGSEGV' });
  });

  test('it knows whom to check, and nothing that is none of its business', async () => {
    process.env.SOME_SECRET = 'x';
    const script = 'echo $HUSHLB_SERVICE $HUSHLB_BACKEND $HUSHLB_ADDRESS $HUSHLB_PORT "[$SOME_SECRET]"';
    assert.equal((await shell(script)(never)).reason, 'web b1 192.0.2.1 80 []');
  });

  test('there is no such program', async () => {
    assert.equal(
      await verdictOf(commandCheck(['/no/such/program'], target), 10_000),
      'there is no program /no/such/program',
    );
  });

  test('more output than a pipe holds does not stop it', async () => {
    const { ok, reason } = await shell('yes | head -c 1000000')(never);
    assert.deepEqual({ ok, reason }, { ok: true, reason: 'y' });
  });

  test('the timeout kills it, and what it has started', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
    const pidFile = join(directory, 'pid');
    // The pid is there whole, or not at all.
    const script = `sleep 60 & echo $! > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; sleep 60`;
    const over = new AbortController();
    const result = shell(script)(over.signal);
    while (!existsSync(pidFile)) await new Promise((resolve) => setTimeout(resolve, 5));
    const pid = Number(readFileSync(pidFile, 'utf8'));
    over.abort();
    assert.deepEqual(await result, { ok: false, reason: 'ended by SIGKILL' });
    while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
    rmSync(directory, { recursive: true });
  });
});

/** A zombie, which nobody may have taken away yet, is dead. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
