/**
 * `hushlb simulate` as a user and as a pipeline meet it: the answer, the exit code, the table's width, wrong options.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hushlb } from './command.ts';

const AWS = ['simulate', '--profile', 'aws-nlb', '--client-idle', '400s', '--server-idle', '900s'];

test('a chain that breaks: the story, why, a cure, and exit code 1', async () => {
  const { code, stdout, stderr } = await hushlb([...AWS, '--keepalive', '7200s']);
  assert.deepEqual([code, stderr], [1, '']);
  assert.match(stdout, /^idle for 400 s: 6 of 6 reset by the balancer$/m);
  assert.match(stdout, /^ +0 s {2}client +opens a connection: SYN$/m);
  assert.match(stdout, /^ +350 s {2}balancer +forgets the connection, idle for 350 s, silently$/m);
  assert.match(stdout, /^ +400 s {2}client +sees ECONNRESET$/m);
  assert.match(stdout, /^ +400 s {2}b\d +keeps a half-open socket$/m);
  assert.match(stdout, /^Why: The balancer forgets a connection after 350 s/m);
  assert.match(stdout, /^Cure: keep the client's idle timeout below 350 s$/m);
  assert.match(stdout, /7200 s is too long/);
  assert.match(stdout, /\nConnections break\.\n$/);
});

test('a chain that holds: exit code 0', async () => {
  const { code, stdout } = await hushlb([...AWS, '--keepalive', '300s']);
  assert.equal(code, 0);
  assert.match(stdout, /^idle for 400 s: 6 of 6 kept$/m);
  assert.match(stdout, /\nConnections live\.\n$/);
});

test('a keepalive that is too rare: its probe meets the RST, and the cause is the miss', async () => {
  const { code, stdout } = await hushlb([...AWS, '--lb-idle', '60s', '--keepalive', '30s'], { COLUMNS: '160' });
  assert.equal(code, 1);
  assert.match(stdout, /^ +105 s {2}client +sees ECONNRESET, the connection being idle$/m);
  assert.match(stdout, /\(onMiss: reset\)/);
  assert.match(stdout, /both tcp_keepalive_time and tcp_keepalive_intvl: 75 s is too long/);
  const often = await hushlb([...AWS, '--lb-idle', '60s', '--keepalive', '30s', '--keepalive-interval', '30s']);
  assert.equal(often.code, 0);
});

test('what a profile does can be overridden', async () => {
  const of = async (...more: string[]) => (await hushlb([...AWS, ...more])).code;
  assert.deepEqual(
    [await of(), await of('--on-miss', 'forward'), await of('--lb-idle', '401s'), await of('--on-miss', 'drop')],
    [1, 0, 0, 1],
  );
});

test('a change of backends: told at its moment, and what becomes of the connections', async () => {
  const change = ['simulate', '--client-idle', '30s', '--change'];
  const drained = await hushlb([...change, 'drained'], { COLUMNS: '160' });
  assert.equal(drained.code, 0);
  assert.match(drained.stdout, /b3 is drained half-way$/m);
  assert.match(drained.stdout, /^ +15 s {2}balancer +is told that b3 drains$/m);
  const removed = await hushlb([...change, 'removed'], { COLUMNS: '160' });
  assert.equal(removed.code, 1);
  assert.match(removed.stdout, /^Cure: drain it first \(state: draining\)/m);
  assert.equal((await hushlb([...change, 'added', '--no-conntrack', '--connections', '50'])).code, 1);
});

test('--json: the same as data, and the same each time', async () => {
  const [first, second] = [await hushlb([...AWS, '--json']), await hushlb([...AWS, '--json'])];
  assert.deepEqual(first, second);
  assert.equal(first.code, 1);
  const result = JSON.parse(first.stdout);
  assert.deepEqual(
    [result.lives, result.behaviour, result.moments, result.connections.length],
    [
      false,
      { idleTimeoutMs: 350_000, onMiss: 'reset', onExpiry: 'silent' },
      [{ kind: 'last', pauseMs: 400_000, outcomes: { 'reset-by-balancer': 6 } }],
      6,
    ],
  );
  assert.equal(result.causes.length, 1);
});

test('the matrix fits 80 columns and has a row for each profile and mode', async () => {
  const { code, stdout } = await hushlb(['simulate', '--matrix']);
  assert.equal(code, 0);
  const lines = stdout.split('\n');
  for (const line of lines) assert.ok([...line].length <= 80, line);
  assert.match(lines[0], /^ +idle +c<b<s +c<s<b +b<c<s +b<s<c +s<c<b +s<b<c$/);
  assert.ok(lines.some((line) => /^stateless +60 s +kept +kept +kept +race +race +race$/.test(line)));
  assert.ok(lines.some((line) => /^aws-nlb +350 s +kept +kept +RST lb +RST lb +race +race$/.test(line)));
  assert.ok(lines.some((line) => /^nf-conntrack +5 d +kept +kept +kept +race +race +race$/.test(line)));
  const { rows, orderings } = JSON.parse((await hushlb(['simulate', '--matrix', '--json'])).stdout);
  assert.deepEqual([rows.length, orderings.length, rows[0].cells.length], [20, 6, 6]);
});

test('on narrow terminals the matrix has a few lines for each row, each cell with its ordering', async () => {
  for (const columns of [40, 60]) {
    const { stdout } = await hushlb(['simulate', '--matrix'], { COLUMNS: String(columns) });
    for (const line of stdout.split('\n')) assert.ok(line.length <= columns, line);
    const [, row] = /^aws-nlb, idle 350 s\n((?: {2}.*\n)+)/m.exec(stdout)!;
    assert.deepEqual(row.trim().split(/\s{2,}/), [
      'c<b<s kept',
      'c<s<b kept',
      'b<c<s RST lb',
      'b<s<c RST lb',
      's<c<b race',
      's<b<c race',
    ]);
  }
});

test('reports keep to the width of the terminal', async () => {
  for (const COLUMNS of ['60', '80', '120']) {
    const { stdout } = await hushlb([...AWS, '--server-idle', '390s'], { COLUMNS });
    for (const line of stdout.split('\n')) assert.ok([...line].length <= Number(COLUMNS), line);
  }
});

test('wrong options: one line, exit code 2', async () => {
  const cases: [args: string[], line: RegExp][] = [
    [[], /missing option: --client-idle, or --matrix for all orderings/],
    [
      ['--client-idle', '400'],
      /--client-idle: expected a time from 1ms to 30d, such as 60s: a whole number with its unit .*, got "400"/,
    ],
    [['--client-idle', '0s'], /--client-idle: expected a time from 1ms to 30d, such as 60s, got "0s"/],
    [['--client-idle', '31d'], /--client-idle: expected a time from 1ms to 30d, such as 60s, got "31d"/],
    [['--client-idle', '99ms'], /--client-idle: expected a time from 100ms to 30d, got "99ms"/],
    [['--client-idle', '1s', '--keepalive', '900ms'], /--keepalive: expected a time from 1s to 30d/],
    [['--client-idle', '1s', '--keepalive-interval', '9s'], /--keepalive-interval: it follows the first probe; give/],
    [['--client-idle', '1s', '--server-idle', '-5s'], /--server-idle: expected a time from 1ms/],
    [['--client-idle', '1s', '--connections', '0'], /--connections: expected a whole number from 1 to 1000, got 0/],
    [['--client-idle', '1s', '--backends', '2.5'], /--backends: expected a whole number from 1 to 100, got 2.5/],
    [['--client-idle', '1s', '--seed', 'x'], /--seed: expected a whole number/],
    [['--client-idle', '1s', '--profile', 'f6'], /wrong value of option profile: got "f6", expected one of "aws-nlb"/],
    [['--client-idle', '1s', '--profile', 'ipvs', '--mode', 'stateful'], /--mode: a profile says itself/],
    [['--client-idle', '1s', '--change', 'lost'], /wrong value of option change: got "lost", expected one of "added"/],
    [
      ['--client-idle', '1s', '--change', 'removed', '--backends', '1'],
      /--backends: expected a whole number from 2 to/,
    ],
    [['--matrix', '--change', 'added'], /--change: the matrix has all of them/],
    [['--matrix', '--profile', 'ipvs'], /--profile: the matrix has all of them/],
    [['--matrix', '--no-conntrack'], /--no-conntrack: the matrix has all of them/],
  ];
  await Promise.all(
    cases.map(async ([args, line]) => {
      const { code, stdout, stderr } = await hushlb(['simulate', ...args]);
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      assert.match(stderr, line);
      assert.match(stderr, /^hushlb: [^\n]+; see hushlb simulate --help\n$/);
    }),
  );
});

test('a simulation that would not end says so in one line, exit code 1', async () => {
  const { code, stdout, stderr } = await hushlb(['simulate', '--client-idle', '30d', '--keepalive', '1s']);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /^hushlb: the simulation has more than 1000000 events: take fewer [^\n]+\n$/);
});
