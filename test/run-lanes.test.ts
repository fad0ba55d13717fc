/**
 * What `npm test` makes of its files (scripts/run-lanes.mjs): which run beside others and give way to them, and that nothing is
 * lost in the closing summary, which adds both lanes up.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SCRIPTS = new URL('../../scripts/', import.meta.url);
const GIVE_WAY = fileURLToPath(new URL('give-way.mjs', SCRIPTS));
const RUNNER = fileURLToPath(new URL('run-lanes.mjs', SCRIPTS));
const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(directory, { recursive: true }));

const SKIPS = join(directory, 'skips');
const TRACE = join(directory, 'trace');

/** A test file that notes when it begins and ends. */
function file(name: string, imports: string, body: string): string {
  const path = join(directory, name);
  const note = (what: string) => `appendFileSync(${JSON.stringify(TRACE)}, '${what} ${name}\\n');`;
  mkdirSync(join(directory, 'deep'), { recursive: true });
  writeFileSync(
    path,
    `import { test } from 'node:test'; import { appendFileSync, readFileSync } from 'node:fs';\n` +
      `import { getPriority } from 'node:os'; ${imports}\n` +
      `${note('begin')}\n${body}\nprocess.on('exit', () => { ${note('end')} });\n`,
  );
  return path;
}

function run(...files: string[]): Promise<{ code: number; stdout: string; trace: string[]; skips: string }> {
  writeFileSync(TRACE, '');
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', GIVE_WAY, RUNNER, SKIPS, '60000', ...files], { env }, (error, stdout) => {
      const trace = readFileSync(TRACE, 'utf8').trim().split('\n');
      resolve({ code: Number(error?.code ?? 0), stdout, trace, skips: readFileSync(SKIPS, 'utf8') });
    });
  });
}

const summary = (stdout: string): string[] => stdout.split('\n').filter((line) => line.startsWith('ℹ'));
const PASS = `test('passes', () => {});`;
/** Ends when the others have begun, so only if all run at once. */
const meets = (...others: string[]): string => `
  const deadline = Date.now() + 30_000;
  const met = () => {
    const trace = readFileSync(${JSON.stringify(TRACE)}, 'utf8');
    return ${JSON.stringify(others)}.every((other) => trace.includes('begin ' + other));
  };
  while (!met() && Date.now() < deadline);
  test('was not alone', () => {});
  if (Date.now() >= deadline) test('waited in vain', () => { throw new Error('alone'); });`;

const LIVE = `import 'node:net';`;

test('quiet files run beside each other and the live ones, which are alone among themselves; all are counted', async () => {
  const networks = join(directory, 'lab', 'processes.js');
  mkdirSync(join(directory, 'lab'), { recursive: true });
  writeFileSync(networks, '');
  const helper = join(directory, 'deep', 'helper.js');
  mkdirSync(join(directory, 'deep'), { recursive: true });
  writeFileSync(helper, `import '../lab/processes.js';`);
  const { code, stdout, trace, skips } = await run(
    file(
      'a-live.test.mjs',
      `import './deep/helper.js';`,
      `${meets('c-quiet')} test('not here', { skip: 'no root' }, () => {});`,
    ),
    file('b-quiet.test.mjs', '', meets('c-quiet')),
    file('c-quiet.test.mjs', `import 'node:child_process';`, meets('a-live', 'b-quiet')),
    file('d-live.test.mjs', `const net = await import('node:net');`, PASS),
  );
  assert.equal(code, 0, stdout);
  assert.deepEqual(summary(stdout).slice(0, -1), [
    'ℹ tests 5',
    'ℹ suites 0',
    'ℹ pass 4',
    'ℹ fail 0',
    'ℹ cancelled 0',
    'ℹ skipped 1',
    'ℹ todo 0',
  ]);
  assert.match(stdout.trimEnd().split('\n').at(-1) ?? '', /^ℹ duration_ms [\d.]+$/);
  assert.match(skips, /a-live.*: not here: no root\n$/);
  assert.deepEqual(
    trace.filter((line) => line.includes('live')),
    ['begin a-live.test.mjs', 'end a-live.test.mjs', 'begin d-live.test.mjs', 'end d-live.test.mjs'],
  );
});

test('quiet files, and what they start, give way to live ones', async () => {
  const priority = (expected: number): string => `
    test('priority', () => { if (getPriority() !== ${expected}) throw new Error('priority ' + getPriority()); });`;
  const child = `execFileSync(process.execPath, ['-e', 'process.exit(os.getPriority())'], { stdio: 'inherit' });`;
  const { code, stdout } = await run(
    file('live.test.mjs', LIVE, priority(getPriority())),
    file('quiet.test.mjs', '', priority(constants.priority.PRIORITY_LOW)),
    file(
      'parent.test.mjs',
      `import { execFileSync } from 'node:child_process';`,
      `test('child', () => { try { ${child} } catch ({ status }) { if (status === 19) return; } throw new Error(); });`,
    ),
  );
  assert.equal(code, 0, stdout);
});

for (const lane of ['quiet', 'live']) {
  test(`a failure in the ${lane} lane fails the run, and the other lane runs all the same`, async () => {
    const fails = `test('fails', () => { throw new Error('on purpose'); });`;
    const { code, stdout } = await run(
      file('quiet.test.mjs', '', lane === 'quiet' ? fails : PASS),
      file('live.test.mjs', LIVE, lane === 'live' ? fails : PASS),
    );
    assert.equal(code, 1);
    assert.deepEqual(summary(stdout).slice(0, 4), ['ℹ tests 2', 'ℹ suites 0', 'ℹ pass 1', 'ℹ fail 1']);
    assert.match(stdout, /on purpose/);
  });
}

test('a file that cannot be loaded fails the run', async () => {
  const { code, stdout } = await run(
    file('broken.test.mjs', '', `throw new Error('at the top');`),
    file('whole.test.mjs', '', PASS),
  );
  assert.equal(code, 1);
  assert.match(stdout, /at the top/);
});
