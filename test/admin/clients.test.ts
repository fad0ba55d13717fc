/**
 * Clients of the admin server that hang up, stall or send too much; and hushlb's own client, before servers that do the like. No
 * root, no network.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openClient } from '../../admin/client.ts';
import { HushlbError } from '../../lb/errors.ts';
import { ask, directory, fakeControl, logLines, REPORT, serve, socket } from './rig.ts';

describe('clients that misbehave', () => {
  const opened = async (text: string): Promise<Socket> => {
    const client = connect(socket);
    await once(client, 'connect');
    client.write(text);
    return client;
  };
  const textOf = async (client: Socket): Promise<string> => {
    let text = '';
    for await (const chunk of client) text += chunk;
    return text;
  };

  test('one that hangs up before the answer has asked all the same, and others are served', async () => {
    let finish: (report: unknown) => void = () => {};
    const fake = fakeControl(() => new Promise((resolve) => (finish = resolve)));
    await serve(fake);
    const client = await opened('POST /v1/reload HTTP/1.1\r\nhost: x\r\n\r\n');
    while (fake.asked.length === 0) await new Promise(setImmediate);
    client.destroy();
    assert.equal((await ask('GET', '/v1/version')).status, 200);
    finish(REPORT);
    assert.equal((await ask('GET', '/v1/version')).status, 200);
    assert.deepEqual(logLines, []);
  });

  test('one that hangs up in the middle of a body has asked nothing', async () => {
    const fake = fakeControl();
    await serve(fake);
    const client = await opened('PATCH /v1/balancer HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n{"mode":"sta');
    client.destroy();
    assert.equal((await ask('GET', '/v1/version')).status, 200);
    assert.deepEqual([fake.asked, logLines], [[], []]);
  });

  test('a slow one is told so, in the headers as in the body', async () => {
    await serve(fakeControl(), {}, 100);
    for (const half of ['PATCH /v1/bal', 'PATCH /v1/balancer HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n{']) {
      assert.match(
        await textOf(await opened(half)),
        /^HTTP\/1\.1 408 [\s\S]*\r\nhushlb-version: [\s\S]*the request took too long/,
      );
    }
  });

  test('what is no HTTP is told so', async () => {
    await serve();
    assert.match(await textOf(await opened('hello\r\n\r\n')), /^HTTP\/1\.1 400 [\s\S]*"expected HTTP"/);
  });

  test('a body without an end ends at 1 MiB', async () => {
    await serve();
    const client = await opened('PATCH /v1/balancer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    const chunk = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`;
    for (let i = 0; i < 16; i++) client.write(chunk);
    // The last of it is too much. There is no more: writing to who has hung up would fail before the answer is read.
    client.write('1\r\nx\r\n');
    assert.match(await textOf(client), /^HTTP\/1\.1 413 /);
  });

  test('the server closes though clients stay', async () => {
    const server = await serve();
    const idle = await opened('');
    const half = await opened('GET /v1/ver');
    await server.close();
    for (const client of [idle, half]) {
      client.on('error', () => {});
      if (!client.closed) await once(client, 'close');
    }
    assert.ok(!existsSync(socket));
  });
});

describe('the client', () => {
  test('says in one line who does not answer', async () => {
    const client = openClient({ socket: join(directory, 'none.sock') });
    await assert.rejects(client.request('GET', '/v1/version'), {
      code: 'NO_DAEMON',
      message: `no hushlb answers at ${directory}/none.sock: hushlb run -c FILE starts one`,
    });
  });

  test('passes on what the balancer says, and takes a text for a text', async () => {
    await serve(fakeControl(() => Promise.reject(new HushlbError('UNKNOWN_BACKEND', 'no such'))));
    const client = openClient({ socket });
    await assert.rejects(client.request('DELETE', '/v1/services/web/backends/x'), {
      name: 'HushlbError',
      code: 'UNKNOWN_BACKEND',
      message: 'no such',
    });
    assert.equal(await client.request('GET', '/v1/config'), 'interface: eth0\n');
  });

  async function standIn(answer: string): Promise<() => void> {
    const server = createServer((client) => {
      client.on('error', () => {});
      client.once('data', () => client.end(answer));
    });
    server.listen(socket).unref();
    await once(server, 'listening');
    return () => server.close();
  }

  test('a daemon of another version that does not know an operation is named', async () => {
    const body = JSON.stringify({ error: { code: 'NO_SUCH_PATH', message: 'x' } });
    const headers = `hushlb-version: 9.9.9\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
    const close = await standIn(`HTTP/1.1 404 Not Found\r\n${headers}\r\n\r\n${body}`);
    await assert.rejects(openClient({ socket }).request('GET', '/v1/status'), {
      code: 'OTHER_VERSION',
      message: /^hushlb 9\.9\.9 runs at \S+ and this is \d\S+: restart it/,
    });
    close();
  });

  test('what is no hushlb, and one that goes away, cost a line', async () => {
    let close = await standIn('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\nno');
    await assert.rejects(openClient({ socket }).request('GET', '/v1/status'), {
      code: 'NO_DAEMON',
      message: /no hushlb/,
    });
    close();
    close = await standIn('');
    await assert.rejects(openClient({ socket }).request('GET', '/v1/status'), { code: 'ADMIN_LOST' });
    close();
  });
});
