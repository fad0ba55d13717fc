/** `hushlb profiles`: the table, its wide form, and the same as data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROFILE_NAMES, profileOf } from '../../lb/profiles.ts';
import { hushlb } from './command.ts';

async function linesOf(...args: string[]): Promise<string[]> {
  return linesAt(80, ...args);
}

async function linesAt(width: number, ...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await hushlb(['profiles', ...args], { COLUMNS: `${width}` });
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  return stdout.split('\n');
}

test('a line a profile, in 60 columns, with a mark on what is uncertain', async () => {
  const lines = await linesOf();
  for (const line of lines) assert.ok([...line].length <= 60, line);
  for (const name of PROFILE_NAMES) assert.equal(lines.filter((line) => line.startsWith(`│ ${name} `)).length, 1, name);
  const cells = (name: string) =>
    lines
      .find((line) => line.startsWith(`│ ${name} `))
      ?.split('│')
      .map((cell) => cell.trim())
      .slice(1, -1);
  assert.deepEqual(cells('aws-nlb'), ['aws-nlb', '350s', 'silent', 'reset']);
  assert.deepEqual(cells('azure-lb'), ['azure-lb', '240s', 'silent', 'drop ?']);
  assert.deepEqual(cells('katran'), ['katran', 'none ?', 'silent', 'forward']);
  assert.deepEqual(cells('nf-conntrack'), ['nf-conntrack', '5d', 'silent', 'forward ?']);
  assert.match(lines.join('\n'), /\?: not documented, or translated;\nhushlb profiles NAME tells how/);
});

for (const width of [80, 40]) {
  test(`--wide tells every source and every note, in ${width} columns too`, async () => {
    const lines = await linesAt(width, '--wide');
    for (const line of lines) assert.ok([...line].length <= width || !line.trim().includes(' '), line);
    const text = lines.join(' ').replace(/\s+/g, ' ');
    for (const name of PROFILE_NAMES) {
      const { product, idleTimeoutMs, onExpiry, onMiss } = profileOf(name);
      assert.ok(text.includes(`${name}: ${product} `), name);
      for (const { source, note } of [idleTimeoutMs, onExpiry, onMiss]) {
        assert.ok(text.includes(note === '' ? source : `${source} (${note})`), `${name}: ${source} ${note}`);
      }
    }
  });
}

test('--json has all of it as data', async () => {
  const { profiles } = JSON.parse((await linesOf('--json')).join('\n'));
  assert.deepEqual(
    profiles,
    PROFILE_NAMES.map((name) => ({ name, ...profileOf(name) })),
  );
  assert.deepEqual(profiles[0].idleTimeoutMs.value, 350_000);
});

test('with names: those, in that order, with their sources; an unknown name is told which there are', async () => {
  const lines = await linesOf('dpvs', 'aws-nlb');
  const heads = lines.filter((line) => /^\S/.test(line));
  assert.deepEqual(heads, ['dpvs: DPVS', 'aws-nlb: AWS Network Load Balancer']);
  assert.match(lines.join('\n'), /onExpiry +reset \? +DPVS: src\/ipvs\/ip_vs_proto_tcp\.c, tcp_conn_expire/);
  const { profiles } = JSON.parse((await linesOf('katran', '--json')).join('\n'));
  assert.deepEqual(profiles, [{ name: 'katran', ...profileOf('katran') }]);
  const { code, stdout, stderr } = await hushlb(['profiles', 'aws']);
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^hushlb: wrong value of option name: got "aws", expected one of "aws-nlb", .*\n$/);
});
