/**
 * What all commands share: help, usage errors, exit codes, closed pipes.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { COMMANDS, CONFIGURATION, helpOf, hushlb, MAIN, start, temporaryFolder, WITH_HELP } from './command.ts';

const folder = temporaryFolder();
after(() => folder.remove());

test('the version is the one in package.json', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.deepEqual(await hushlb(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
});

test('the file can be started by itself', () => {
  assert.match(readFileSync(MAIN, 'utf8'), /^#!\/usr\/bin\/env node\n/);
});

test('help names every command', async () => {
  for (const flag of ['--help', '-h']) {
    const { code, stdout, stderr } = await hushlb([flag]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`^  hushlb ${command} +\\S`, 'm'));
  }
});

test('each command explains itself, its options, and gives an example', async () => {
  const helps = await helpOf(WITH_HELP, 200);
  for (const [i, command] of WITH_HELP.entries()) {
    const stdout = helps[i];
    assert.match(stdout, new RegExp(`^hushlb ${command.join(' ')}\\b.*\\n\\n[A-Z][^]{20,}?\\.`));
    const options = stdout.split('\n').filter((line) => /^ +(-\w, +)?--\w/.test(line));
    assert.ok(options.length >= 2);
    for (const line of options) assert.match(line, /--[\w-]+ {2,}[A-Z]\w/, line);
  }
  // The others are named by the help of these two.
  const groups = ['conntrack', 'lab'];
  for (const [i, command] of WITH_HELP.entries()) {
    const words = command.join(' ');
    if (!groups.includes(words))
      assert.match(helps[i], new RegExp(`\\nExamples:\\n +hushlb ${words}( |$)`, 'm'), words);
  }
});

test('help keeps to the width of the terminal', async () => {
  for (const columns of [40, 80]) {
    for (const line of (await helpOf([[], ...WITH_HELP], columns)).flatMap((help) => help.split('\n'))) {
      assert.ok([...line].length <= columns, `${columns}: ${line}`);
    }
  }
});

test('lab list --json says the same as data', async () => {
  const { scenarios } = JSON.parse((await hushlb(['lab', 'list', '--json'])).stdout);
  const { stdout } = await hushlb(['lab', 'list'], { COLUMNS: '160' });
  const shown = scenarios.flatMap(({ name, runs }: { name: string; runs: string[] }) =>
    runs.map((run, i) => `${(i === 0 ? name : '').padEnd(17)}${run}`),
  );
  assert.equal(shown.join('\n'), stdout.trimEnd());
});

test('lists keep to the width of the terminal', async () => {
  for (const columns of [40, 80]) {
    for (const command of [['profiles'], ['lab', 'list']]) {
      const { code, stdout } = await hushlb(command, { COLUMNS: String(columns) });
      assert.equal(code, 0);
      for (const line of stdout.split('\n')) assert.ok([...line].length <= columns, `${columns}: ${line}`);
    }
  }
});

test('a width that is none does no harm', async () => {
  for (const columns of ['', '0', '-5', 'wide', '1e9']) {
    const { code, stdout } = await hushlb(['check', '--help'], { COLUMNS: columns });
    assert.deepEqual([code, stdout.includes('--config')], [0, true], columns);
  }
});

test('wrong arguments: one line, where to read on, exit code 2', async () => {
  const cases: [args: string[], line: string][] = [
    [[], 'expected a command, such as run, check or status; see hushlb --help'],
    [['rnu'], 'unknown command: rnu (did you mean run?); see hushlb --help'],
    [['bananas'], 'unknown command: bananas; see hushlb --help'],
    [['lab', 'list', 'x'], 'unknown command or option: x; see hushlb lab list --help'],
    [['completon'], 'unknown command: completon (did you mean completion?); see hushlb --help'],
    [['check', '-c', 'x', '--no-json'], 'unknown option: --no-json; see hushlb check --help'],
    [['check', '-c', 'x', '--aa=1', 'y'], 'unknown commands or options: --aa, y; see hushlb check --help'],
    [['check', '-c', 'x', '-z'], 'unknown option: -z; see hushlb check --help'],
    [['check', '--config'], 'a value is missing after option --config; see hushlb check --help'],
    [['audit'], 'missing options: --client, --server; see hushlb audit --help'],
    [['status', '-c', 'x', '--socket', 'y'], 'expected --config or --socket, got both; see hushlb status --help'],
    [['lab', 'run', '--bogus'], 'unknown option: --bogus; see hushlb lab run --help'],
    [['conntrack', 'list', '--limit', 'x'], '--limit: expected a whole number; see hushlb conntrack list --help'],
    [['conntrack', 'lsit'], 'unknown command or option: lsit; see hushlb conntrack --help'],
    [['check'], 'missing option: --config; see hushlb check --help'],
    [['check', '-c'], 'a value is missing after option -c; see hushlb check --help'],
    [['check', '-c', 'x', '--bogus'], 'unknown option: --bogus; see hushlb check --help'],
    [['check', '-c', 'x', 'y'], 'unknown command or option: y; see hushlb check --help'],
    [['table', '--services', 'a', '-c', 'x'], 'unknown option: --services; see hushlb table --help'],
    [['run'], 'missing option: --config; see hushlb run --help'],
    [['drain', 'web'], 'expected more arguments: got 1, need 2; see hushlb drain --help'],
    [['weight', 'web', 'b1', '0'], 'WEIGHT: expected a whole number from 1 to 256, got 0; see hushlb weight --help'],
    [
      ['mode', 'statefull'],
      'wrong value of option mode: got "statefull", expected one of "stateless", "stateful"; see hushlb mode --help',
    ],
    [['decap'], 'missing option: --interface; see hushlb decap --help'],
    [
      ['decap', '-i', 'lo', '--encap', 'l2'],
      'wrong value of option encap: got "l2", expected one of "ipip", "gue", "gre"; see hushlb decap --help',
    ],
    [
      ['decap', '-i', 'lo', '--encap', 'gre', '--port', '6080'],
      '--port: it goes with --encap gue, not with gre; see hushlb decap --help',
    ],
    [
      ['decap', '-i', 'lo', '--encap', 'gue', '--port', '65536'],
      '--port: expected a whole number from 1 to 65535, got 65536; see hushlb decap --help',
    ],
    [
      ['run', '-c', 'x', '--log-level', 'loud'],
      'wrong value of option log-level: got "loud", expected one of "debug", "info", "warn", "error"; see hushlb run --help',
    ],
  ];
  for (const [args, line] of cases) {
    assert.deepEqual(await hushlb(args), { code: 2, stdout: '', stderr: `hushlb: ${line}\n` });
  }
});

test('messages are English whatever the locale', async () => {
  const german = { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8', LANGUAGE: 'de' };
  assert.match((await hushlb(['check'], german)).stderr, /missing option/);
  assert.match((await hushlb(['--help'], german)).stdout, /Show version number/);
});

test('an option given twice takes the last value', async () => {
  const good = folder.write('good.yaml', CONFIGURATION);
  assert.equal((await hushlb(['check', '-c', '/missing', '--config', good])).code, 0);
  assert.equal((await hushlb(['check', '--config', good, '-c', '/missing'])).code, 1);
});

test('an expected failure is one line and exit code 1; HUSHLB_DEBUG=1 adds the stack', async () => {
  const line = 'hushlb: /missing: no such file\n';
  assert.deepEqual(await hushlb(['check', '-c', '/missing']), { code: 1, stdout: '', stderr: line });
  const { stderr: noLink } = await hushlb(['decap', '-i', 'nowhere0']);
  assert.match(noLink, /^hushlb: interface nowhere0 does not exist; this host has .*\blo\b.*\n$/);
  const { code, stderr } = await hushlb(['check', '-c', '/missing'], { HUSHLB_DEBUG: '1' });
  assert.equal(code, 1);
  assert.ok(stderr.startsWith(line));
  assert.match(stderr, /\n {4}at /);
});

test('a bug keeps its stack, a failed system call without advice gets some', async () => {
  const report = async (thrown: string): Promise<string> => {
    const code = `
      import { report } from ${JSON.stringify(new URL('../../cli/errors.js', import.meta.url).href)};
      process.exitCode = report(${thrown});`;
    const error = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]).then(
      () => assert.fail('exit code 0'),
      (reason: { code: number; stderr: string }) => reason,
    );
    assert.equal(error.code, 1);
    return error.stderr;
  };
  assert.match(await report(`new TypeError('oops')`), /^hushlb: this is a bug .*\nTypeError: oops\n {4}at /);
  const wrongCall = `Object.assign(new TypeError('oops'), { code: 'ERR_INVALID_ARG_TYPE' })`;
  assert.match(await report(wrongCall), /^hushlb: this is a bug .*\nTypeError.*\n {4}at /);
  assert.equal(await report(`'thrown'`), 'hushlb: this is a bug in hushlb, please report it\nthrown\n');
  const denied = (message: string) => `Object.assign(new Error('${message}'), { code: 'EPERM' })`;
  assert.equal(await report(denied('socket: EPERM')), 'hushlb: permission is missing (socket: EPERM): run as root\n');
  assert.equal(await report(denied('bpf: EPERM (run as root)')), 'hushlb: bpf: EPERM (run as root)\n');
});

test('a reader that hangs up is no error', async () => {
  const good = folder.write('pipe.yaml', CONFIGURATION);
  for (const args of [
    ['table', '--json', '-c', good],
    ['table', '-c', good],
    ['check', '-c', good],
    ['--help'],
    ['completion'],
  ]) {
    const child = start([process.execPath, MAIN, ...args]);
    child.stdout?.destroy();
    let stderr = '';
    child.stderr?.on('data', (chunk) => (stderr += chunk));
    const [code, signal] = await once(child, 'close');
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' }, args.join(' '));
  }
});
