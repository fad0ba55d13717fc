/** `npm run bench` as a user runs it, without its set-up: one short case to the end, and what it says to mistakes. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CASES } from '../../bench/cases.ts';
import { needsRoot, until } from '../io/two-hosts.ts';

const MAIN = fileURLToPath(new URL('../../bench/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: (string | NodeJS.ProcessEnv)[]): { status: number | null; stdout: string; stderr: string } {
  const given = args.filter((arg) => typeof arg === 'string');
  const env = Object.assign({ ...process.env }, ...args.filter((arg) => typeof arg !== 'string'));
  return spawnSync(process.execPath, [MAIN, ...given], { encoding: 'utf8', cwd: folder, env });
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
  assert.match(stdout.replace('\n', ' '), /^.*core.* · Linux .* · Node v\d+.* · \d{4}-\d\d-\d\d\n/);
  assert.match(stdout, /── Lookup table ──/);
  assert.match(stdout, /Targets\n/);
  const { quick, cases } = JSON.parse(readFileSync(join(folder, 'figures.json'), 'utf8'));
  assert.equal(quick, true);
  assert.equal(cases[0].benchCase.name, 'lookup-table');
  assert.equal(cases[0].result.targets[0].limit, 5);
  assert.match(readFileSync(join(folder, 'out', 'RESULTS.md'), 'utf8'), /npm run bench -- --quick --only lookup-table/);
});

test('a mistake is one line, before anything is measured; 2 is that of a usage', () => {
  const wrong = bench('--only', 'speed');
  assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
  assert.match(wrong.stderr, /^bench: .*"speed".*; see npm run bench -- --help\n$/);
  const missing = bench('--json', 'missing/figures.json');
  assert.deepEqual([missing.status, missing.stdout], [1, '']);
  assert.match(missing.stderr, /^bench: --json missing\/figures.json: there is no folder missing\n$/);
});

test('the help names every case and keeps to the terminal; its reader may go away', () => {
  const { status, stdout } = bench('--help', { COLUMNS: '60' });
  assert.equal(status, 0);
  for (const { name } of CASES) assert.match(stdout, new RegExp(`^${name}: `, 'm'));
  assert.ok(stdout.split('\n').every(({ length }) => length <= 60));
  const command = `'${process.execPath}' '${MAIN}' --quick --only lookup-table | head -n 1`;
  const closed = spawnSync('sh', ['-c', command], { encoding: 'utf8', cwd: folder });
  assert.match(closed.stdout, /^[^\n]* core[^\n]*\n$/);
  assert.doesNotMatch(closed.stderr, /EPIPE|node:/);
});

/** The living processes that have `mark` in their environment. */
function processesOf(mark: string): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark)) return [];
        return [{ pid: Number(pid), command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}

test('what a killed run left goes at the start, and Ctrl-C ends everything that was started', {
  skip: needsRoot,
}, async () => {
  const dead = `hushlb-bench-${spawnSync('true').pid}-0-near`;
  const living = `hushlb-bench-${process.pid}-0-near`;
  for (const name of [dead, living]) spawnSync('ip', ['netns', 'add', name]);
  const orphan = spawn('ip', ['netns', 'exec', dead, 'sleep', '300'], { stdio: 'ignore' });
  const orphanEnded = once(orphan, 'exit');
  try {
    const mark = `HUSHLB_BENCH_RUN=${randomUUID()}`;
    const env = { ...process.env, HUSHLB_BENCH_RUN: mark.split('=')[1] };
    const child = spawn(process.execPath, [MAIN, '--quick', '--only', 'forwarding'], { env, stdio: 'ignore' });
    const ended = once(child, 'exit');
    const processes = (): string[] => processesOf(mark).map(({ command }) => command);
    // The load is the last that is started.
    await until('all are started', () => processes().some((line) => line.includes('forwarding/load.js')), 60_000);
    const names = processesOf(mark).flatMap(({ pid }) => namespacesOf(pid));
    assert.ok(processes().length > 3 && names.length > 3);
    assert.deepEqual(await orphanEnded, [null, 'SIGKILL']);
    // As an impatient hand does: what takes the networks down is not to be cut short.
    for (let times = 0; times < 4; times++) {
      child.kill('SIGINT');
      await setTimeout(25);
    }
    // To a shell both are 130: the last signal may come when Node has nothing left to do, and listens no more.
    const [code, signal] = await ended;
    assert.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`);
    await until('all have ended', () => processes().length === 0);
    assert.deepEqual(
      [dead, ...names, living].filter((name) => existsSync(`/run/netns/${name}`)),
      [living],
    );
  } finally {
    orphan.kill('SIGKILL');
    for (const name of [dead, living]) spawnSync('ip', ['netns', 'delete', name]);
  }
});

function namespacesOf(pid: number): string[] {
  return readdirSync('/run/netns').filter((name) => name.startsWith(`hushlb-bench-${pid}-`));
}
