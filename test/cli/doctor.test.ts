/**
 * `hushlb doctor` as a command: its arguments, and how findings are drawn.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { findingsText } from '../../cli/doctor-text.ts';
import { type Finding, tell } from '../../doctor/finding.ts';
import { hushlb } from './command.ts';

const FINDINGS: Finding[] = [
  tell('rights').ok('rights', 'may do all that `hushlb run` does'),
  tell('interface').error('interface-down', 'eth0 is down', 'no packet comes in or goes out', ['ip link set eth0 up']),
  tell('path').note('mtu-tight', 'full packets do not fit', 'one of two', [
    { command: 'ip link set eth0 mtu 1520', on: 'balancer, switches and backends' },
  ]),
];

test('findings by topic, what mends them below, the sum at the end', () => {
  assert.equal(
    findingsText(FINDINGS, { width: 80, colours: false }),
    `rights
  ok       may do all that \`hushlb run\` does

interface
  error    eth0 is down
           no packet comes in or goes out
           $ ip link set eth0 up

path
  note     full packets do not fit
           one of two
           on balancer, switches and backends:
           $ ip link set eth0 mtu 1520

1 error; 1 note, 1 ok
`,
  );
  assert.ok(findingsText(FINDINGS, { width: 80, colours: true }).includes('\x1b[31merror    \x1b[0meth0 is down'));
});

test('the sum has no word of what is not there', () => {
  const [, bad] = FINDINGS;
  assert.match(findingsText([bad], { width: 80, colours: false }), /\n1 error\n$/);
  assert.match(findingsText([FINDINGS[0]], { width: 80, colours: false }), /\nall well: 1 ok\n$/);
});

test('a narrow terminal: no line is longer, and a shell still takes the commands', () => {
  const words = ['-e', '1i hashSeed: 4711', '-e', '/^hashSeed:/d', 'some-file.yaml', 'another-file.yaml', 'third'];
  const command = `printf '%s\\n' ${words.map((word) => (/[ ^]/.test(word) ? `'${word}'` : word)).join(' ')}`;
  const text = findingsText(
    [tell('clock').warning('x', 'found '.repeat(30).trim(), 'why '.repeat(30).trim(), [command])],
    {
      width: 40,
      colours: false,
    },
  );
  for (const line of text.split('\n')) assert.ok(line.length <= 40, line);
  const shown = text.slice(text.indexOf('$ ') + 2, text.lastIndexOf('\n\n'));
  assert.ok(shown.includes(' \\\n'));
  assert.equal(execFileSync('sh', ['-c', shown], { encoding: 'utf8' }), `${words.join('\n')}\n`);
});

test('a narrow terminal: a long word gets more room', () => {
  const command = 'sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0';
  const text = findingsText([tell('clock').warning('x', 'found', 'why', [command])], { width: 40, colours: false });
  for (const line of text.split('\n')) assert.ok(line.length <= 40, line);
  assert.equal(text.slice(text.indexOf('$ ') + 2, text.lastIndexOf('\n\n')).replace(/ \\\n +/g, ' '), command);
});

test('arguments that make no sense', async () => {
  const cases: [args: string[], line: RegExp][] = [
    [[], /^hushlb: expected -c FILE on a balancer, or --backend on a backend; see hushlb doctor --help\n$/],
    [['-c', 'x', '--vip', '198.18.10.1'], /^hushlb: --vip: it goes with --backend, or with --probe and no file; /],
    [['-c', 'x', '--client', '198.18.1.7'], /^hushlb: --client: it goes with --backend; /],
    [['--backend'], /^hushlb: expected -c FILE, or --vip and --port; /],
    [['--backend', '--vip', '198.18.10', '--port', '80'], /^hushlb: --vip: expected .*198\.18\.10"?; /],
    [['--backend', '--vip', '198.18.10.1', '--port', '80x'], /^hushlb: --port: expected a port .*80x"; /],
    [['--probe'], /^hushlb: expected -c FILE, or --vip and --port; /],
    [['--probe', '--backend', '-c', 'x'], /^hushlb: --probe: it goes with -c FILE on the balancer/],
    [['--backend', '-c', 'x', '--client', 'me'], /^hushlb: --client: expected an IP address, got "me"; /],
  ];
  for (const [args, line] of cases) {
    const { code, stdout, stderr } = await hushlb(['doctor', ...args]);
    assert.deepEqual([code, stdout], [2, ''], args.join(' '));
    assert.match(stderr, line);
  }
});

test('a file that is not there is a finding', async () => {
  const { code, stdout } = await hushlb(['doctor', '-c', '/missing', '--json']);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  assert.deepEqual([code, findings[0].code, findings[0].found], [1, 'configuration-bad', '/missing: no such file']);
  assert.deepEqual(findings[0].mend, []);
});

test('a directory that everybody may write is no configuration, and stays as it is', async () => {
  const { stdout } = await hushlb(['doctor', '-c', '/tmp', '--json']);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  const [{ code, found, mend }] = findings;
  assert.deepEqual([code, found, mend], ['configuration-bad', '/tmp: expected a file, got a directory', []]);
});
