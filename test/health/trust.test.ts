/** Whose certificates an https check believes, against a server of Node's with one that openssl made. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { type Expectation, httpCheck } from '../../health/http.ts';
import { createMonitor } from '../../health/monitor.ts';
import { selfSigned } from '../self-signed.ts';

const GET: Omit<Expectation, 'verify'> = {
  method: 'GET',
  path: '/',
  host: null,
  status: { first: 200, last: 399 },
  body: null,
};
const never = new AbortController().signal;
const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(directory, { recursive: true }));

async function listening(t: TestContext, server: Server): Promise<{ address: string; port: number }> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  return { address: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

test('what nobody vouches for, and what is for others, is a failure', async (t) => {
  const { key, cert } = selfSigned();
  const file = join(directory, 'authorities.pem');
  writeFileSync(file, cert);
  const server = createServer({ key, cert }, (_, response) => response.end());
  const place = await listening(t, server);
  for (const [host, verify, expected] of [
    ['other.example', true, 'TLS: self-signed certificate'],
    ['other.example', file, 'status 200'],
    ['other.example:8443', file, 'status 200'],
    // By the address that is asked.
    [null, file, 'status 200'],
    ['127.0.0.1:8443', file, 'status 200'],
    ['www.example.com', file, 'TLS: the certificate is not for www.example.com'],
    ['127.0.0.2', file, 'TLS: the certificate is not for 127.0.0.2'],
    ['www.example.com', false, 'status 200'],
  ] as const) {
    const check = httpCheck(place, { ...GET, host, verify }, true);
    const told = await check(never).then(
      ({ reason }) => reason,
      (error: Error) => error.message,
    );
    assert.equal(told, expected, `${host} ${verify}`);
  }

  // The file as it is now, not as it was at the last check.
  const check = httpCheck(place, { ...GET, host: 'other.example', verify: file }, true);
  writeFileSync(file, `${selfSigned().cert}\n`);
  await assert.rejects(check(never), { message: 'TLS: self-signed certificate' });
  writeFileSync(file, `${selfSigned().cert}\n${cert}`);
  assert.deepEqual(await check(never), { ok: true, reason: 'status 200' });
});

test('a file that is not there, or holds none, says nothing about a backend', async (t) => {
  const [missing, empty, broken] = ['missing', 'empty', 'broken'].map((name) => join(directory, name));
  writeFileSync(empty, '# authorities to come\n');
  writeFileSync(broken, '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n');
  const place = await listening(t, createServer(selfSigned()));
  for (const [verify, why] of [
    [missing, /: it cannot be read \(ENOENT\)$/],
    [directory, /: it cannot be read \(EISDIR\)$/],
    [empty, /: there is no certificate in it$/],
    [broken, /: there is no certificate in it$/],
  ] as const) {
    let tell: (reason: string) => void = () => {};
    const trouble = new Promise<string>((resolve) => (tell = resolve));
    const monitor = createMonitor({
      onChange: (_, after) => tell(`judged: ${after.reason}`),
      onTrouble: (_, reason) => tell(reason),
    });
    const settings = { intervalMs: 1, timeoutMs: 10_000, rise: 1, fall: 1, graceMs: 0 };
    const check = httpCheck(place, { ...GET, verify }, true);
    monitor.setTargets([{ key: 'web/b1', identity: '', settings, check }]);
    const reason = await trouble;
    monitor.close();
    assert.ok(reason.startsWith(`health.verify: ${verify}: `), reason);
    assert.match(reason, why);
  }
});
