/**
 * `hushlb audit`: exit codes, what is printed, what is refused. The rules are tested in test/probe/audit.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROFILE_NAMES, profileOf } from '../../lb/profiles.ts';
import { hushlb } from './command.ts';

const audit = (line: string) => hushlb(['audit', ...line.split(' ')]);

test('a safe chain: exit code 0', async () => {
  assert.deepEqual(await audit('--client 60s --server 75s'), {
    code: 0,
    stdout: 'chain    client 60 s, server 75 s\nverdict  safe\n',
    stderr: '',
  });
});

test('an unsafe one: exit code 1, who races, what the client sees, what to change', async () => {
  const { code, stdout, stderr } = await audit('--client 60s --lb 350s --server 75s --lb-kind l7');
  assert.deepEqual({ code, stderr }, { code: 1, stderr: '' });
  const text = stdout.replace(/\s+/g, ' ');
  assert.match(text, /^chain client 60 s, balancer 350 s, server 75 s verdict unsafe race balancer and server: /);
  assert.match(text, /client sees .*502 Bad Gateway/);
  assert.match(text, /change raise the server's above it, say to 440 s, or lower the balancer's below 75 s/);
  assert.match(text, /safe client 60 s, balancer 350 s, server 440 s $/);
});

test('lines keep to the width of the terminal', async () => {
  const { stdout } = await hushlb(['audit', '--client', '2h', '--lb', '350s', '--server', '75s'], { COLUMNS: '50' });
  for (const line of stdout.split('\n')) assert.ok(line.length <= 50, line);
});

test('a balancer of unknown kind is judged as each', async () => {
  const { code, stdout } = await audit('--client 60s --lb 350s --server 75s --json');
  const { safe, verdicts } = JSON.parse(stdout);
  assert.deepEqual([code, safe], [1, false]);
  assert.deepEqual(
    verdicts.map(({ balancer, safe: isSafe }: { balancer: string; safe: boolean }) => [balancer, isSafe]),
    [
      ['l7', false],
      ['stateless', true],
      ['stateful', true],
    ],
  );
  assert.equal((await audit('--client 60s --lb 70s --server 75s')).code, 0);
});

test('a profile brings its timeout and its habits; --lb overrides the timeout', async () => {
  const run = async (line: string) => {
    const { code, stdout } = await audit(`${line} --json`);
    return [code, JSON.parse(stdout).chain.balancerMs];
  };
  assert.deepEqual(await run('--client 349s --server 900s --lb-kind aws-nlb'), [0, 350_000]);
  assert.deepEqual(await run('--client 350s --server 900s --lb-kind aws-nlb'), [1, 350_000]);
  assert.deepEqual(await run('--client 350s --server 900s --lb-kind aws-nlb --lb 400s'), [0, 400_000]);
  assert.deepEqual(await run('--client 350s --server 900s --lb-kind aws-nlb --keepalive 60s'), [0, 350_000]);
  assert.deepEqual(await run('--client never --server never --lb-kind stateless'), [0, null]);
  // Linux' interval of 75 s is longer than an idle timeout of 60 s, however short the first probe's time.
  const database = '--client never --server never --lb-kind stateful --lb 60s';
  assert.deepEqual(await run(`${database} --keepalive 30s`), [1, 60_000]);
  assert.deepEqual(await run(`${database} --keepalive 30s --keepalive-interval 30s`), [0, 60_000]);
  assert.deepEqual(await run(`${database} --keepalive off`), [1, 60_000]);
  for (const name of PROFILE_NAMES) {
    const { onExpiry, onMiss, idleTimeoutMs } = profileOf(name);
    const harmless = onExpiry.value === 'silent' && onMiss.value === 'forward';
    const expected = harmless || idleTimeoutMs.value === null ? 0 : 1;
    assert.equal((await audit(`--client never --server never --lb-kind ${name}`)).code, expected, name);
  }
});

test('what makes no sense: one line, exit code 2', async () => {
  const cases: [line: string, complaint: string][] = [
    [
      '--client 60 --server 75s',
      '--client: expected a time from 1ms to 30d, such as 60s: a whole number with its unit (ms, s, m, h or d), got "60"',
    ],
    ['--client 0s --server 75s', '--client: expected a time from 1ms to 30d, such as 60s, got "0s"'],
    ['--client 60s --server 31d', '--server: expected a time from 1ms to 30d, such as 60s, got "31d"'],
    ['--client 60s', 'missing option: --server'],
    ['--client 1s --server 2s --keepalive 900ms', '--keepalive: expected a time from 1s to 30d, got "900ms"'],
    [
      '--client 1s --server 2s --keepalive-interval 75s',
      '--keepalive-interval: it follows the first probe; give --keepalive, too',
    ],
    [
      '--client 1s --server 2s --lb-kind l7',
      '--lb: expected the idle timeout of the balancer, which matters with --lb-kind l7',
    ],
  ];
  for (const [line, complaint] of cases) {
    const stderr = `hushlb: ${complaint}; see hushlb audit --help\n`;
    assert.deepEqual(await audit(line), { code: 2, stdout: '', stderr });
  }
  const { code, stderr } = await audit('--client 1s --server 2s --lb-kind magic');
  assert.equal(code, 2);
  assert.match(stderr, /^hushlb: wrong value of option lb-kind: got "magic", expected one of "l7", .*"aws-nlb".*\n$/);
});
