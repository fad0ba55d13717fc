/**
 * `hushlb probe-idle` as a user sees it: text, data, progress, Ctrl-C, refusals. The measuring is tested in
 * test/probe/probe.test.ts.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { idleTimer, OK, serve, type TestServer } from '../probe/servers.ts';
import { hushlb, MAIN, start } from './command.ts';

const PAGE = readFileSync(new URL('../../../docs/idle-timeouts.md', import.meta.url), 'utf8');
const closeByFin = idleTimer((socket) => socket.end());
let closing: TestServer;
let patient: TestServer;
before(async () => {
  closing = await serve({
    onRequest: (socket) => {
      socket.write(OK);
      closeByFin(socket, 500);
    },
  });
  patient = await serve({ onRequest: (socket) => socket.write(OK) });
});
after(async () => {
  await closing.close();
  await patient.close();
});

test('text: what it measured, how it ended, what that means, what to set; no progress in a pipe', async () => {
  const { code, stdout, stderr } = await hushlb(['probe-idle', `http://127.0.0.1:${closing.port}/`, '--max', '2s']);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const labels = stdout.split('\n').flatMap((line) => /^(\S.*?) {2,}\S/.exec(line)?.[1] ?? []);
  assert.deepEqual(labels, ['server', 'idle timeout', 'it ends', 'meaning', 'to do']);
  assert.match(stdout, /^it ends +by FIN, while it idled$/m);
  assert.match(stdout, /HEAD \/ answered 200/);
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
});

test('--json: the same as data', async () => {
  const target = `http://127.0.0.1:${closing.port}/`;
  const { code, stdout } = await hushlb(['probe-idle', target, '--max', '2s', '--method', 'GET', '--json']);
  const data = JSON.parse(stdout);
  assert.equal(code, 0);
  assert.deepEqual(
    [data.target, data.address, data.result, data.ending, data.interrupted, data.request.method],
    [target, '127.0.0.1', 'closed', 'fin', false, 'GET'],
  );
  assert.ok(data.idleTimeoutMs.lived < data.idleTimeoutMs.died);
  assert.ok(data.observations.length > 0);
  assert.match(data.advice, /^Keep the idle timeout of every client below /);
  const [, block] = PAGE.slice(PAGE.indexOf('- For programs: `--json`')).split('```');
  const listed = new Set(block.match(/\w+/g));
  const keys = [data, data.request, data.idleTimeoutMs, data.failures, data.observations[0]].flatMap(Object.keys);
  assert.deepEqual(
    keys.filter((key) => !listed.has(key)),
    [],
  );
});

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} prints what is known and exits with ${expected}`, async () => {
    const command = ['probe-idle', `http://127.0.0.1:${patient.port}/`, '--min', '100ms', '--max', '1h', '--json'];
    const before = patient.received().length;
    const child = start([process.execPath, MAIN, ...command]);
    let stdout = '';
    child.stdout?.on('data', (chunk) => (stdout += chunk));
    const ended = once(child, 'close');
    // Twelve first requests, and three more on connections that have idled: long before it sent the last, the first was answered.
    while (patient.received().slice(before).split('HEAD').length - 1 < 15) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    child.kill(signal);
    const [code] = await ended;
    assert.equal(code, expected);
    const { interrupted, idleTimeoutMs, result } = JSON.parse(stdout);
    assert.deepEqual([interrupted, result, idleTimeoutMs.died], [true, 'unknown', null]);
    assert.ok(idleTimeoutMs.lived >= 100);
  });
}

test('on a terminal one line of progress is written over and over, and wiped in the end', async () => {
  const command = `exec ${process.execPath} ${MAIN} probe-idle http://127.0.0.1:${closing.port}/ --max 2s`;
  const child = start(['script', '-qec', command, '/dev/null']);
  let screen = '';
  child.stdout?.on('data', (chunk) => (screen += chunk));
  const [code] = await once(child, 'close');
  assert.equal(code, 0, screen);
  const [progress, rest] = [screen.slice(0, screen.indexOf('server ')), screen.slice(screen.indexOf('server '))];
  assert.match(progress, /\r[\d.]+ m?s of 2 s, 12 open/);
  assert.ok(!progress.includes('\n'));
  assert.ok(progress.endsWith('\r\u001b[K'));
  assert.match(rest, /idle timeout/);
});

test('what cannot be measured: one line, exit code 1', async (context) => {
  const closed = await serve({});
  await closed.close();
  const ssh = await serve({ onConnection: (socket) => socket.write('SSH-2.0-x\r\n') });
  context.after(() => ssh.close());
  const cases: [target: string, line: RegExp][] = [
    ['nowhere.invalid:80', /^nowhere\.invalid: /],
    [`127.0.0.1:${closed.port}`, /refuses the connection: /],
    [`https://127.0.0.1:${ssh.port}/`, /does not speak TLS .*http:\/\//],
    [`http://127.0.0.1:${ssh.port}/`, /does not speak HTTP\/1: measure it bare/],
  ];
  for (const [target, line] of cases) {
    const { code, stdout, stderr } = await hushlb(['probe-idle', target, '--max', '1s']);
    assert.deepEqual([code, stdout, stderr.split('\n').length], [1, '', 2], stderr);
    assert.match(stderr.replace(/^hushlb: /, ''), line);
  }
});

test('what makes no sense: one line, exit code 2', async () => {
  const cases: [args: string[], complaint: RegExp][] = [
    [[], /^target: expected .* or HOST:PORT, got nothing; see hushlb probe-idle --help/],
    [
      ['db.example'],
      /^target: expected an http:\/\/ or https:\/\/ URL .* or HOST:PORT, got "db\.example" \(did you mean https:\/\/db\.example\/ or db\.example:443\?\)/,
    ],
    [['http://u:p@a/'], /^target: expected .* \(without a password\)/],
    [['a:80', '--max', '10'], /^--max: expected a time .* with its unit .*, got "10"/],
    [['a:80', '--max', '25h'], /^--max: expected at most 24h, got 25h/],
    [['a:80', '--max', '2s', '--min', '3s'], /^--max: expected no less than --min \(3s\), got 2s/],
    [['a:80', '--min', '10ms'], /^--min: expected at least 1s for HOST:PORT, got 10ms/],
    [['a:80', '--connections', '17'], /^--connections: expected a whole number from 1 to 16, got 17/],
    [['a:80', '--connections', 'many'], /^--connections: expected a whole number from 1 to 16, got NaN/],
    [['http://a/', '--method', 'POST'], /^wrong value of option method: got "POST", expected one of "HEAD", "GET"/],
    [['a:80', '--bogus'], /^unknown option: --bogus/],
  ];
  for (const [args, complaint] of cases) {
    const { code, stdout, stderr } = await hushlb(['probe-idle', ...args]);
    assert.deepEqual([code, stdout, stderr.split('\n').length], [2, '', 2], stderr);
    assert.match(stderr.replace(/^hushlb: /, ''), complaint);
    assert.match(stderr, /; see hushlb probe-idle --help\n$/);
  }
});
