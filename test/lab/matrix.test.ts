/**
 * The matrix as a user runs it: `hushlb lab matrix` as a process, on live traffic, beside the same table in virtual time;
 * and that nothing is left of it, however it ends.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MatrixResult } from '../../lab/matrix.ts';
import { MATRIX_ROWS } from '../../lab/matrix-rows.ts';
import { simulateMatrix } from '../../simulate/matrix.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { settings } from '../simulate/settings.ts';
import { lab, namespacesOf, type StartedLab, traces, until } from './command.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-matrix-'));
after(() => rmSync(directory, { recursive: true }));

const matrix = (...options: readonly string[]): StartedLab => lab('matrix', ...options);

describe('hushlb lab matrix', { concurrency: 2, skip: needsRoot }, () => {
  it('is what was promised, cell by cell, and what virtual time says', async () => {
    const file = join(directory, 'matrix.json');
    const run = matrix('--json', file);
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stdout + stderr);
    assert.equal(stderr, '', 'no progress where stderr is no terminal');
    assert.deepEqual(traces(run.pid), []);

    const { rows, held } = JSON.parse(readFileSync(file, 'utf8')) as MatrixResult;
    assert.ok(held);
    assert.deepEqual(
      rows.map(({ name, cells }) => [name, cells.map(({ verdict }) => verdict)]),
      MATRIX_ROWS.map(({ name, promised }) => [name, promised]),
    );
    for (const { cells } of rows) {
      for (const { moments } of cells) {
        for (const { outcomes } of moments) assert.equal(sum(outcomes), 12);
      }
    }

    const simulated = simulateMatrix(settings());
    const names = { 'SYN-only': 'stateful' } as Record<string, string>;
    let compared = 0;
    for (const { name, cells } of rows) {
      const other = simulated.find((row) => row.name === (names[name] ?? name));
      if (other === undefined) continue;
      compared++;
      const words = cells.map(({ verdict }) => (verdict === 'closed-by-server' ? 'raced' : verdict));
      assert.deepEqual(
        words,
        other.cells.map(({ outcome }) => outcome),
        name,
      );
    }
    assert.equal(compared, 5);
    assert.match(stdout, /^stateless, no table +kept +kept +kept +race +race +race$/m);
    assert.match(stdout, /Promise held in each of 66 cells\.\n$/);
  });

  it('takes everything down after Ctrl-C in the middle', async () => {
    const run = matrix('--row', 'silent-drop', '--row', 'direct');
    // Both rows have their networks, and the first its programs.
    await until('the network', () => namespacesOf(run.pid).includes(`hushlb-${run.pid}-2-cable`));
    await sleep(1000);
    run.kill('SIGINT');
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 130);
    assert.equal(stdout, '');
    assert.equal(stderr, 'hushlb: interrupted, the network is taken down\n');
    assert.deepEqual(traces(run.pid), []);
  });

  it('refuses what makes no sense before anything is built', async () => {
    for (const [options, complaint] of [
      [['--row', 'statless'], /of option row: got "statless", expected one of "direct", "l7-well-ordered"/],
      [['--seed', '-1'], /--seed: expected a whole number from 0 to 4294967295, got -1/],
      [['--json', '/nowhere/at/all.json'], /cannot write \/nowhere\/at\/all\.json/],
    ] as const) {
      const run = matrix(...options);
      const { code, stderr } = await run.ended;
      assert.notEqual(code, 0);
      assert.match(stderr, complaint);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
      assert.deepEqual(traces(run.pid), []);
    }
  });
});

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
