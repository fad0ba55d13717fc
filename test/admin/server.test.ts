/**
 * The admin server by itself: who may use it, and what a wrong request is told. No root, no network.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { groupId } from '../../admin/socket.ts';
import { readToken } from '../../admin/token.ts';
import { ConfigError } from '../../lb/config-problems.ts';
import { HushlbError } from '../../lb/errors.ts';
import { ask, codeOf, directory, fakeControl, logLines, open, serve, socket } from './rig.ts';

const TOKEN = 'c0ffee0123456789c0ffee0123456789';
const tokenFile = join(directory, 'token');
writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });

describe('the socket', () => {
  test('is its owner’s alone, and goes when the server closes', async () => {
    const server = await serve();
    assert.deepEqual(server.places, [socket]);
    assert.equal(statSync(socket).mode & 0o777, 0o600);
    await server.close();
    assert.ok(!existsSync(socket));
  });

  test('is shared with a group where one is named', { skip: process.getuid?.() !== 0 && 'needs root' }, async () => {
    const [name, , gid] = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([group, , id]) => group !== 'root' && Number(id) > 0)!;
    await serve(fakeControl(), { group: name! });
    const status = statSync(socket);
    assert.deepEqual([status.mode & 0o777, status.gid], [0o660, Number(gid)]);
  });

  test('a group that is none is refused, and nothing stays behind', async () => {
    await assert.rejects(serve(fakeControl(), { group: 'no-such-group' }), {
      code: 'ADMIN_LISTEN',
      message: 'admin.group: there is no group no-such-group on this host: groupadd no-such-group',
    });
    assert.ok(!existsSync(socket));
    assert.equal(groupId('b', 'a:x:1:\nb:x:27:root,me\n'), 27);
    assert.throws(() => groupId('x', 'a:x:1:\n'), { code: 'ADMIN_LISTEN' });
  });

  test('that of a living process is refused, that of a dead one is replaced', async () => {
    await serve();
    await assert.rejects(serve(), {
      code: 'ADMIN_LISTEN',
      message: `admin.socket: another process listens at ${socket}: stop it, or give this one a socket of its own`,
    });
    assert.equal((await ask('GET', '/v1/version')).status, 200);
    await open.splice(0)[0]!.close();

    const script = `require('node:net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await once(spawn(process.execPath, ['-e', script]), 'exit');
    assert.ok(statSync(socket).isSocket());
    await serve();
    assert.equal((await ask('GET', '/v1/version')).status, 200);
  });

  test('what is no socket, or has no directory, is left alone', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, 'mine');
    await assert.rejects(serve(fakeControl(), { socket: file }), { code: 'ADMIN_LISTEN', message: /is no socket$/ });
    assert.equal(readFileSync(file, 'utf8'), 'mine');
    await assert.rejects(serve(fakeControl(), { socket: join(directory, 'no', 'a.sock') }), {
      code: 'ADMIN_LISTEN',
      message: /no does not exist: mkdir /,
    });
  });
});

describe('TCP', () => {
  async function freePort(): Promise<number> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    return port;
  }

  test('only with the token, which no log has', async () => {
    const port = await freePort();
    const fake = fakeControl();
    const { places } = await serve(fake, { tcp: { listen: { host: '127.0.0.1', port }, tokenFile } });
    assert.deepEqual(places, [socket, `127.0.0.1:${port}`]);
    const at = { host: '127.0.0.1', port };
    const wrongs = [{}, { authorization: 'Bearer ' }, { authorization: `Bearer ${TOKEN}0` }, { authorization: TOKEN }];
    for (const headers of wrongs) {
      const refused = await ask('POST', '/v1/reload', { at, headers });
      assert.deepEqual([refused.status, codeOf(refused)], [401, 'TOKEN_REFUSED']);
      assert.equal(refused.headers['www-authenticate'], 'Bearer');
    }
    assert.deepEqual(fake.asked, []);
    const answer = await ask('POST', '/v1/reload', { at, headers: { authorization: `Bearer ${TOKEN}` } });
    assert.equal(answer.status, 200);
    assert.deepEqual(fake.asked, [[{ kind: 'reload' }, 'admin 127.0.0.1']]);
    const client = openClient({ host: '127.0.0.1', port, token: TOKEN });
    assert.equal(await client.request('GET', '/v1/config'), 'interface: eth0\n');
    assert.ok(!logLines.join('').includes(TOKEN));
  });

  test('a token that others may read, or that is easily guessed, is refused', () => {
    const message = `admin.tokenFile: ${tokenFile} may be used by others: chmod 600 ${tokenFile}`;
    for (const mode of [0o644, 0o604, 0o620]) {
      chmodSync(tokenFile, mode);
      assert.throws(() => readToken(tokenFile), { code: 'ADMIN_TOKEN', message });
    }
    chmodSync(tokenFile, 0o640);
    assert.ok(readToken(tokenFile).admits(`bearer ${TOKEN}`));
    for (const text of ['', 'short', 'two words in this one'])
      for (const content of [text, `${text}\n`]) {
        const file = join(directory, 'bad-token');
        writeFileSync(file, content, { mode: 0o600 });
        assert.throws(() => readToken(file), { code: 'ADMIN_TOKEN', message: /holds no token/ });
      }
    assert.throws(() => readToken(join(directory, 'none')), { code: 'ADMIN_TOKEN', message: /ENOENT/ });
  });

  test('an address that cannot be had: one line, and the socket is gone again', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await assert.rejects(serve(fakeControl(), { tcp: { listen: { host: '127.0.0.1', port }, tokenFile } }), {
      code: 'ADMIN_LISTEN',
      message: `admin.listen: 127.0.0.1:${port} is in use by another process: choose another`,
    });
    assert.ok(!existsSync(socket));
    other.close();
  });
});

describe('wrong requests', () => {
  const CASES: [method: string, path: string, body: string | undefined, status: number, code: string, says: RegExp][] =
    [
      ['GET', '/', undefined, 404, 'NO_SUCH_PATH', /GET \/v1\/openapi\.json/],
      ['GET', '/v1/status/', undefined, 404, 'NO_SUCH_PATH', /nothing at/],
      ['GET', '/v1/reload', undefined, 405, 'WRONG_METHOD', /takes POST, not GET/],
      ['PUT', '/v1/services/web/backends/b1', undefined, 405, 'WRONG_METHOD', /takes PATCH, DELETE, not PUT/],
      ['GET', '/v1/version?x=1', undefined, 400, 'BAD_REQUEST', /nothing behind a \?/],
      ['PATCH', '/v1/services/%E0%A4%A/backends/b1', '{}', 400, 'BAD_REQUEST', /a % that begins no character/],
      ['PATCH', '/v1/balancer', '{', 400, 'BAD_REQUEST', /in JSON/],
      ['PATCH', '/v1/balancer', undefined, 400, 'BAD_REQUEST', /expected a mapping, got nothing/],
      ['PATCH', '/v1/balancer', '{"mode":"loud"}', 400, 'BAD_REQUEST', /^mode: expected one of stateless, stateful/],
      ['PATCH', '/v1/services/web', '{"schedular":"maglev"}', 400, 'BAD_REQUEST', /did you mean scheduler\?/],
      ['PATCH', '/v1/services/web/backends/b1', '{}', 400, 'BAD_REQUEST', /state or weight/],
      ['PATCH', '/v1/services/web/backends/b1', '{"weight":0}', 400, 'BAD_REQUEST', /from 1 to 256, got 0/],
      [
        'POST',
        '/v1/services/web/backends',
        '{"name":"b 1","address":"::1"}',
        400,
        'BAD_REQUEST',
        /name: .*; address: /,
      ],
      ['PATCH', '/v1/balancer', 'x'.repeat(2 ** 20 + 1), 413, 'BODY_TOO_LONG', /at most 1 MiB/],
    ];
  for (const [method, path, body, status, code, says] of CASES) {
    test(`${method} ${path} ${body?.slice(0, 40) ?? ''}: ${status}`, async () => {
      const fake = fakeControl();
      await serve(fake);
      const answer = await ask(method, path, { ...(body !== undefined && { body }) });
      assert.deepEqual([answer.status, codeOf(answer)], [status, code]);
      assert.match(JSON.parse(answer.body).error.message, says);
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.deepEqual(fake.asked, []);
    });
  }

  test('405 names the methods that there are', async () => {
    await serve();
    assert.equal((await ask('GET', '/v1/services/web/backends/b1')).headers.allow, 'PATCH, DELETE');
  });

  const REFUSALS: [error: Error, status: number, code: string][] = [
    [new HushlbError('UNKNOWN_SERVICE', 'there is no service x'), 404, 'UNKNOWN_SERVICE'],
    [new HushlbError('UNKNOWN_BACKEND', 'no backend x'), 404, 'UNKNOWN_BACKEND'],
    [new HushlbError('BACKEND_EXISTS', 'it is there'), 409, 'BACKEND_EXISTS'],
    [
      new ConfigError('f', [
        { path: 'a', message: 'b' },
        { path: 'c', message: 'd' },
      ]),
      400,
      'CONFIG_INVALID',
    ],
    [new DOMException('over', 'AbortError'), 503, 'STOPPING'],
  ];
  for (const [error, status, code] of REFUSALS) {
    test(`${code} from below: ${status}`, async () => {
      await serve(fakeControl(() => Promise.reject(error)));
      const answer = await ask('POST', '/v1/reload');
      assert.deepEqual([answer.status, codeOf(answer)], [status, code]);
      if (error instanceof ConfigError) assert.deepEqual(JSON.parse(answer.body).error.lines, ['f: a: b', 'f: c: d']);
      assert.deepEqual(logLines, []);
    });
  }

  test('a bug is told to the log with its stack, to the client without', async () => {
    await serve(fakeControl(() => Promise.reject(new TypeError('x is not a function'))));
    const answer = await ask('POST', '/v1/reload');
    assert.equal(answer.status, 500);
    assert.doesNotMatch(answer.body, /not a function/);
    assert.match(logLines.join(''), /TypeError: x is not a function\\n {4}at /);
  });
});
