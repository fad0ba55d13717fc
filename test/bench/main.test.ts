/** `npm run bench` as a user runs it, without its set-up: one short case to the end, and what it says to mistakes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../bench/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', cwd: folder });
}

test('a case is run, shown, and written down', () => {
  const { status, stdout, stderr } = bench(
    '--quick',
    '--only',
    'lookup-table',
    '--json',
    'figures.json',
    '--report',
    'out',
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^.*core.* · Linux .* · Node v\d+.* · \d{4}-\d\d-\d\d\n/);
  assert.match(stdout, /── Lookup table ──/);
  assert.match(stdout, /Targets\n/);
  const { quick, cases } = JSON.parse(readFileSync(join(folder, 'figures.json'), 'utf8'));
  assert.equal(quick, true);
  assert.equal(cases[0].benchCase.name, 'lookup-table');
  assert.equal(cases[0].result.targets[0].limit, 5);
  assert.match(readFileSync(join(folder, 'out', 'RESULTS.md'), 'utf8'), /npm run bench -- --quick --only lookup-table/);
});

test('a case that does not exist is named with those that do', () => {
  const { status, stderr } = bench('--only', 'speed');
  assert.equal(status, 1);
  assert.match(stderr, /speed/);
  assert.match(stderr, /decision-cost/);
});

test('a file that cannot be written is said, after the figures', () => {
  const { status, stdout, stderr } = bench('--quick', '--only', 'lookup-table', '--json', 'missing/figures.json');
  assert.equal(status, 1);
  assert.match(stdout, /Lookup table/);
  assert.match(stderr, /could not write the results: .*missing\/figures.json/);
  assert.equal(existsSync(join(folder, 'bench')), false);
});
