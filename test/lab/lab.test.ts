/**
 * The lab as a user runs it: `hushlb lab run …` as a process, with real kernels, nginx and the balancer; and what is left
 * of it after each way to end. Two tests at a time: a lab waits for most of its time, and no promise depends on a quiet machine.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { inNamespace } from '../../io/namespace.ts';
import { findRuns, removeRun, runDirectory } from '../../lab/runs.ts';
import { needsRoot } from '../io/two-hosts.ts';
import { type Ended, lab, type StartedLab, traces, until } from './command.ts';
import { assertWellFormed } from './well-formed.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-lab-'));
after(() => rmSync(directory, { recursive: true }));

/** Processes in a namespace, but for the `ip` that builds it or is about to become one of them. */
function programsIn(namespace: string): number[] {
  const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' }).split('\n').filter(Boolean);
  return pids.filter((pid) => !['ip', undefined].includes(nameOf(pid))).map(Number);
}

function nameOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}

/** Its name is there a moment before it is. */
function isThere(namespace: string): boolean {
  const found = statSync(`/run/netns/${namespace}`, { throwIfNoEntry: false });
  return found !== undefined && found.dev !== statSync('/run/netns').dev;
}

function established(namespace: string): number {
  if (!isThere(namespace)) return 0;
  const table = inNamespace(namespace, () => readFileSync('/proc/net/tcp', 'latin1'));
  return table.split('\n').filter((line) => /^ *\d+: \S+ \S+:0050 01 /.test(line)).length;
}

const SILENCE_MS = 500;

/** Until nothing has come over a link of the namespace for a while: first requests are answered, second ones yet to come. */
async function isIdle(namespace: string, link: string): Promise<void> {
  const received = new RegExp(`^ *${link}: *\\d+ +(\\d+)`, 'm');
  let [packets, sinceMs] = ['', 0];
  await until('silence', () => {
    const [, now = ''] =
      received.exec(inNamespace(namespace, () => readFileSync('/proc/thread-self/net/dev', 'latin1'))) ?? [];
    if (now !== packets) [packets, sinceMs] = [now, performance.now()];
    return performance.now() - sinceMs > SILENCE_MS;
  });
}

/** Until a run is in the middle of it: its client runs. (The lab itself looks in only while it builds.) */
async function inTheMiddle(run: StartedLab): Promise<void> {
  const client = `hushlb-${run.pid}-client`;
  let ended: Ended | undefined;
  void run.ended.then((how) => {
    ended = how;
  });
  await until('the client', () => {
    assert.equal(ended, undefined, 'the run has ended already');
    return isThere(client) && programsIn(client).some((each) => each !== run.pid);
  });
}

interface Results {
  readonly runs: readonly {
    readonly scenario: string;
    readonly variant: string | null;
    readonly promise: { readonly held: boolean; readonly broken: readonly string[] };
    readonly connections: readonly {
      readonly outcome: string;
      readonly resetBy: string | null;
      readonly backendBefore: string;
      readonly backendAfter: string | null;
    }[];
    readonly balancer: {
      readonly resetsCaptured: number;
      readonly resetsCounted: number;
      readonly nonSynMisses: number;
    };
    readonly ladder: readonly { readonly kind: string; readonly label?: string; readonly hops?: readonly object[] }[];
  }[];
}

describe('hushlb lab run', { concurrency: 2, skip: needsRoot }, () => {
  it('tells the three stories, and they come out as they must', async () => {
    const file = join(directory, 'results.json');
    const report = join(directory, 'report');
    const run = lab('run', 'stateless', 'round-robin', 'syn-only', '--json', file, '--report', report);
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stdout + stderr);
    assert.equal(stderr, '', 'no progress where stderr is no terminal');
    assert.deepEqual(traces(run.pid), []);

    const { runs } = JSON.parse(readFileSync(file, 'utf8')) as Results;
    assert.equal(assertWellFormed(report), runs.length);
    const [stateless, roundRobin, synOnly, cured] = runs;
    assert.deepEqual(
      runs.map(({ scenario, promise }) => [scenario, promise.held, promise.broken]),
      [
        ['stateless', true, []],
        ['round-robin', true, []],
        ['syn-only', true, []],
        ['syn-only', true, []],
      ],
    );
    for (const { connections } of runs) assert.equal(connections.length, 60);

    assert.ok(stateless.connections.every(({ outcome }) => outcome === 'kept'));
    assert.ok(stateless.connections.every(({ backendBefore, backendAfter }) => backendBefore === backendAfter));
    assert.equal(new Set(stateless.connections.map(({ backendBefore }) => backendBefore)).size, 3);
    assert.equal(stateless.balancer.resetsCaptured + stateless.balancer.resetsCounted, 0);
    assert.equal(stateless.balancer.nonSynMisses, 60);

    const lost = roundRobin.connections.filter(({ outcome }) => outcome !== 'kept');
    assert.ok(lost.length >= 24 && lost.length <= 56, `${lost.length} of 60 lost`);
    for (const { outcome, resetBy, backendBefore, backendAfter } of lost) {
      assert.equal(outcome, 'reset-by-backend');
      assert.equal(resetBy, backendAfter);
      assert.notEqual(backendAfter, backendBefore);
    }
    assert.equal(roundRobin.balancer.resetsCaptured + roundRobin.balancer.resetsCounted, 0);

    assert.ok(synOnly.connections.every(({ outcome, resetBy }) => outcome === 'reset-by-balancer' && resetBy === 'lb'));
    assert.ok(synOnly.connections.every(({ backendAfter }) => backendAfter === null));
    assert.deepEqual([synOnly.balancer.resetsCaptured, synOnly.balancer.resetsCounted], [60, 60]);

    assert.equal(cured.variant, 'cured');
    assert.ok(cured.connections.every(({ outcome }) => outcome === 'kept'));
    assert.equal(cured.balancer.resetsCaptured + cured.balancer.resetsCounted, 0);

    const labels = ({ ladder }: Results['runs'][number]) => ladder.map(({ kind, label }) => label ?? kind);
    const opening = ['SYN', 'SYN-ACK', 'ACK', 'GET /', '200 OK', 'table', 'table', 'GET /'];
    assert.deepEqual(labels(stateless), [...opening, '200 OK', 'table']);
    assert.deepEqual(labels(roundRobin), [...opening, 'RST', 'table']);
    assert.deepEqual(labels(synOnly), [...opening, 'RST', 'table']);
    assert.deepEqual(stateless.ladder[0].hops?.length, 2);

    assert.ok(!stdout.includes('\u001b'), 'no colours where stdout is no terminal');
    for (const line of stdout.split('\n')) assert.ok([...line].length <= 80, line);
    assert.match(stdout, /│ round-robin │ .* held/);
  });

  it('runs beside another one, and clean leaves both alone', async () => {
    const [first, second] = [lab('run', 'stateless', '--connections', '50'), lab('run', 'syn-only', '--backends', '2')];
    await Promise.all([inTheMiddle(first), inTheMiddle(second)]);
    const { stdout } = await lab('clean').ended;
    for (const { pid } of [first, second]) assert.match(stdout, new RegExp(`run ${pid}: still going on, left alone`));
    for (const run of [first, second]) {
      const { code, stdout: text, stderr } = await run.ended;
      assert.equal(code, 0, text + stderr);
      assert.deepEqual(traces(run.pid), []);
    }
  });

  it('fails in one line when a part of it dies, and takes the rest down', async () => {
    const run = lab('run', 'stateless');
    await inTheMiddle(run);
    const [balancer] = programsIn(`hushlb-${run.pid}-lb`);
    process.kill(balancer, 'SIGKILL');
    const { code, stderr } = await run.ended;
    assert.equal(code, 1);
    assert.match(stderr, /^hushlb: the balancer ended \(SIGKILL\): .*\n$/);
    assert.deepEqual(traces(run.pid), []);
  });

  it('says which promise broke, and exits with 1, when the network does not play along', async () => {
    const run = lab('run', 'stateless');
    await until('its connections', () => established(`hushlb-${run.pid}-client`) === 60);
    await isIdle(`hushlb-${run.pid}-router`, 'b1');
    execFileSync('ip', ['-n', `hushlb-${run.pid}-router`, 'link', 'set', 'b1', 'down']);
    const { code, stdout } = await run.ended;
    assert.equal(code, 1);
    assert.match(stdout, /^ {2}hung +[1-9]/m);
    assert.match(stdout, /^Promise broken:$/m);
    assert.match(stdout, /^ {2}✕ 60 connections kept; seen: \d+$/m);
    assert.deepEqual(traces(run.pid), []);
  });

  for (const [signal, expected, scenarios] of [
    ['SIGINT', 130, ['stateless', 'round-robin']],
    ['SIGTERM', 143, ['stateless', 'round-robin']],
    ['SIGINT', 130, ['backend-drained']],
  ] as const) {
    it(`takes everything down on ${signal} in the middle of ${scenarios[0]}`, async () => {
      const run = lab('run', ...scenarios);
      await inTheMiddle(run);
      run.kill(signal);
      const { code, stderr } = await run.ended;
      assert.equal(code, expected);
      assert.equal(stderr, 'hushlb: interrupted, the network is taken down\n');
      assert.deepEqual(traces(run.pid), []);
    });
  }

  it('takes everything down on SIGINT at the very start', async () => {
    const run = lab('run', 'stateless');
    await until('the run', () => existsSync(runDirectory(String(run.pid))));
    run.kill('SIGINT');
    assert.equal((await run.ended).code, 130);
    assert.deepEqual(traces(run.pid), []);
  });
});

describe('hushlb lab clean', { skip: needsRoot }, () => {
  it('clears what a kill -9 left, and says so', async () => {
    const run = lab('run', 'stateless');
    await inTheMiddle(run);
    run.kill('SIGKILL');
    await run.ended;
    assert.ok(traces(run.pid).length > 6, 'nothing was left to clean');
    const { code, stdout } = await lab('clean').ended;
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^run ${run.pid}: removed 6 namespaces, \\d+ processes and its files$`, 'm'));
    assert.deepEqual(traces(run.pid), []);
  });

  it('is not fooled by a pid that was given out again', () => {
    const id = String(process.pid);
    mkdirSync(runDirectory(id));
    try {
      const alive = (): boolean | undefined => findRuns().find(({ runId }) => runId === id)?.ownerAlive;
      assert.equal(alive(), true, 'a run that is just opening');
      writeFileSync(join(runDirectory(id), 'owner'), '12345');
      assert.equal(alive(), false, 'another process had this pid');
    } finally {
      removeRun(id);
    }
  });
});
