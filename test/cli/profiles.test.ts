/** `hushlb profiles`: the table, its wide form, and the same as data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROFILE_NAMES, profileOf } from '../../lb/profiles.ts';
import { hushlb } from './command.ts';

async function linesOf(...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await hushlb(['profiles', ...args], { COLUMNS: '80' });
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  return stdout.split('\n');
}

test('a line a profile, in 80 columns, with a mark on what is uncertain', async () => {
  const lines = await linesOf();
  for (const line of lines) assert.ok([...line].length <= 80, line);
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
});

test('--wide tells every source and every note, in 80 columns too', async () => {
  const lines = await linesOf('--wide');
  for (const line of lines) assert.ok([...line].length <= 80, line);
  const text = lines.join(' ').replace(/\s+/g, ' ');
  for (const name of PROFILE_NAMES) {
    const { product, idleTimeoutMs, onExpiry, onMiss } = profileOf(name);
    assert.ok(text.includes(`${name}: ${product} `), name);
    for (const { source, note } of [idleTimeoutMs, onExpiry, onMiss]) {
      assert.ok(text.includes(note === '' ? source : `${source} (${note})`), `${name}: ${source} ${note}`);
    }
  }
});

test('--json has all of it as data', async () => {
  const { profiles } = JSON.parse((await linesOf('--json')).join('\n'));
  assert.deepEqual(
    profiles,
    PROFILE_NAMES.map((name) => ({ name, ...profileOf(name) })),
  );
  assert.deepEqual(profiles[0].idleTimeoutMs.value, 350_000);
});
