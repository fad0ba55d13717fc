/** Who is checked when, how many at a time, and what ends a check: with checks that the test answers itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckResult } from '../../health/judge.ts';
import { type Check, createMonitor, type Target } from '../../health/monitor.ts';

const SETTINGS = { intervalMs: 5, timeoutMs: 60_000, rise: 1, fall: 1, graceMs: 0 };
const UP: CheckResult = { ok: true, reason: 'fine' };
const DOWN: CheckResult = { ok: false, reason: 'broken' };

function target(key: string, check: Check, change: Partial<typeof SETTINGS> & { identity?: string } = {}): Target {
  const { identity = 'same', ...settings } = change;
  return { key, identity, check, settings: { ...SETTINGS, ...settings } };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test('a verdict for each change, with its reason', async (t) => {
  const changes: string[] = [];
  let result = UP;
  const monitor = createMonitor({
    onChange: (key, { up, reason }) => changes.push(`${key} ${up ? 'up' : 'down'}: ${reason}`),
  });
  t.after(monitor.close);
  monitor.setTargets([target('web/b1', async () => result)]);
  await until(() => (monitor.stateOf('web/b1')?.checks ?? 0) >= 3, 'it was checked thrice');
  assert.deepEqual(changes, []);
  result = DOWN;
  await until(() => changes.length === 1, 'it is down');
  result = UP;
  await until(() => changes.length === 2, 'it is up');
  assert.deepEqual(changes, ['web/b1 down: broken', 'web/b1 up: fine']);
  const { checks = 0, failures = 0, lastMs = null } = monitor.stateOf('web/b1') ?? {};
  assert.ok(failures >= 1 && checks >= failures + 4, `${failures} of ${checks}`);
  assert.ok(lastMs !== null && lastMs >= 0);
});

test('1,000 backends, and never more than 20 checks at a time; all have their turn', async (t) => {
  let [open, most] = [0, 0];
  const seen = new Set<number>();
  const monitor = createMonitor({ onChange() {}, maxOpen: 20 });
  t.after(monitor.close);
  const checkOf = (i: number) => async () => {
    most = Math.max(most, ++open);
    seen.add(i);
    await new Promise((resolve) => setImmediate(resolve));
    open--;
    return UP;
  };
  monitor.setTargets(Array.from({ length: 1000 }, (_, i) => target(`web/b${i}`, checkOf(i))));
  await until(() => seen.size === 1000, 'each was checked');
  assert.equal(most, 20);
});

test('a check that never answers is down at its timeout, and was told to give up', async (t) => {
  let told = false;
  const reasons: string[] = [];
  const monitor = createMonitor({ onChange: (_, { reason }) => reasons.push(reason) });
  t.after(monitor.close);
  const deaf: Check = (signal) => {
    signal.addEventListener('abort', () => (told = true));
    return new Promise(() => {});
  };
  monitor.setTargets([target('web/b1', deaf, { timeoutMs: 10 })]);
  await until(() => reasons.length > 0, 'it is down');
  assert.deepEqual(reasons, ['no answer within 10 ms']);
  assert.ok(told);
});

test('what this host lacks is no verdict on a backend', async (t) => {
  const troubles = new Set<string>();
  const monitor = createMonitor({
    onChange: () => assert.fail('a verdict'),
    onTrouble: (key, reason) => troubles.add(`${key}: ${reason}`),
  });
  t.after(monitor.close);
  const poor: Check = async () => {
    throw Object.assign(new Error('connect EMFILE'), { code: 'EMFILE' });
  };
  monitor.setTargets([target('web/b1', poor)]);
  await until(() => (monitor.stateOf('web/b1')?.checks ?? 0) >= 3, 'it was tried thrice');
  assert.equal(monitor.stateOf('web/b1')?.failures, 0);
  assert.deepEqual([...troubles], ['web/b1: connect EMFILE']);
});

test('who stays keeps its state, who is checked otherwise begins anew, who goes is given up', async (t) => {
  let [begun, given] = [0, 0];
  const monitor = createMonitor({ onChange() {} });
  t.after(monitor.close);
  const broken: Check = async () => DOWN;
  const hanging: Check = (signal) =>
    new Promise(() => {
      begun++;
      signal.addEventListener('abort', () => given++);
    });
  monitor.setTargets([target('web/b1', broken), target('web/b2', broken), target('web/b3', hanging)]);
  const isDown = (key: string) => monitor.stateOf(key)?.judgement.up === false;
  await until(() => isDown('web/b1') && isDown('web/b2') && begun === 1, 'two are down and one hangs');
  monitor.setTargets([
    target('web/b1', broken, { intervalMs: 60_000 }),
    target('web/b2', broken, { identity: 'other', intervalMs: 60_000 }),
  ]);
  assert.ok(isDown('web/b1'));
  assert.equal(monitor.stateOf('web/b2')?.judgement.up, true);
  assert.equal(monitor.stateOf('web/b3'), undefined);
  assert.equal(given, 1);
});

test('after close nothing is checked and nobody is told', async () => {
  let checks = 0;
  let abort = false;
  const monitor = createMonitor({ onChange: () => assert.fail('told') });
  monitor.setTargets([
    target('web/b1', (signal) => {
      checks++;
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          abort = true;
          resolve(DOWN);
        }),
      );
    }),
  ]);
  await until(() => checks === 1, 'a check is under way');
  monitor.close();
  assert.ok(abort);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(checks, 1);
});
