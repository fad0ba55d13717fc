/** What `npm run bench` takes as options, and what it says to mistakes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readOptions } from '../../bench/options.ts';

const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const aFile = join(folder, 'a-file');
writeFileSync(aFile, '');

test('without options: every case, in full, and nothing is written down', async () => {
  const nothing = { quick: false, only: undefined, json: undefined, report: undefined, against: undefined };
  assert.deepEqual(await readOptions([], {}), nothing);
});

test('several cases, in one option or in several; of what is given twice the last', async () => {
  const only = async (...typed: string[]) => (await readOptions(typed, {}))?.only;
  assert.deepEqual(await only('--only', 'pause', 'forwarding', '--quick'), ['pause', 'forwarding']);
  assert.deepEqual(await only('--only', 'pause', '--only', 'forwarding'), ['pause', 'forwarding']);
  const [one, two] = [join(folder, 'one'), join(folder, 'two')];
  const options = await readOptions(['--json', one, '--json', two, '--report', one, '--report', two], {});
  assert.deepEqual([options?.json, options?.report], [two, two]);
});

test('a report without a folder goes where the last one lies', async () => {
  assert.equal((await readOptions(['--report'], {}))?.report, 'bench');
  assert.equal((await readOptions(['--report', '--quick'], {}))?.report, 'bench');
});

const MISTAKES: readonly (readonly [typed: readonly string[], code: string, message: RegExp])[] = [
  [['--only', 'speed'], 'USAGE', /^.* only: got "speed", expected one of "decision-cost", .*$/],
  [['--only'], 'USAGE', /^--only wants a case: one of decision-cost, .*$/],
  [['--fast'], 'USAGE', /^unknown option: --fast$/],
  [['forwarding'], 'USAGE', /^unexpected forwarding: npm run bench -- --only forwarding$/],
  [['speed'], 'USAGE', /^unexpected speed$/],
  [['--json'], 'USAGE', /^a value is missing after option --json$/],
  [['--only', 'pause', '--against', 'HEAD'], 'USAGE', /^--against is for decision-cost alone$/],
  [['--against', 'no-such-revision'], 'REVISION_NOT_BUILT', /^--against no-such-revision: git rev-parse: fatal: .*$/],
  [['--json', join(folder, 'none', 'x')], 'BENCH_OPTION', /^--json .*: there is no folder .*none$/],
  [['--json', folder], 'BENCH_OPTION', /^--json .*: is a folder$/],
  [['--report', join(aFile, 'x')], 'BENCH_OPTION', /^--report .*x: .*a-file is no folder$/],
];

for (const [typed, code, message] of MISTAKES) {
  test(`a mistake: ${typed.join(' ').replaceAll(folder, 'DIR')}`, async () => {
    await assert.rejects(readOptions(typed, {}), { code, message });
  });
}

test('the -- that npm wants is asked for where it is missing', async () => {
  const message = 'npm kept --quick to itself: npm run bench -- --quick …';
  await assert.rejects(readOptions([], { npm_config_quick: 'true' }), { code: 'USAGE', message });
});
