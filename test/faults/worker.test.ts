/**
 * A worker thread of a running balancer throws, or ends without a word: another takes its place with its socket, its queue
 * and the state of the moment, and the others go on meanwhile. One that fails whenever it starts ends the process.
 */
import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { needsRoot, until } from '../io/two-hosts.ts';
import {
  BACKENDS,
  type Balancer,
  isAttached,
  PATIENCE_MS,
  resourcesOf,
  sameResources,
  sayBack,
  usePair,
} from './pair.ts';

const BREAKER = new URL('./break-worker.js', import.meta.url).href;
const FLOWS = 64;
/** Who is late is not counted among them. */
const SOON_MS = 200;
const REPLACED = 'worker failed, another takes its place';

suite('a worker fails', { skip: needsRoot }, () => {
  const pair = usePair({ queues: 2 });
  const order = join(pair.directory, 'break');

  async function start(): Promise<Balancer> {
    rmSync(order, { force: true });
    pair.configure();
    return pair.run({ node: ['--import', BREAKER], env: { BREAK_WORKER_FILE: order } });
  }

  /** The flows that are forwarded while the worker of queue 0 stands still. */
  async function ofTheOther(): Promise<Map<string, string>> {
    writeFileSync(order, 'hold 0');
    try {
      await until('it to stand still', () => existsSync(`${order}.holds`));
      return await pair.send(FLOWS, SOON_MS);
    } finally {
      rmSync(order);
      await until('it to go on', () => !existsSync(`${order}.holds`));
    }
  }

  for (const how of ['throw', 'exit']) {
    test(`${how}: replaced, with nothing left behind; flows stay where they were, and the other worker loses no packet`, async (t) => {
      const balancer = await start();
      const before = await pair.flows(FLOWS);
      assert.equal(new Set(before.values()).size, BACKENDS.length);
      const others = await ofTheOther();
      assert.ok(others.size > 0 && others.size < FLOWS, `${others.size} of ${FLOWS} flows at the other worker`);
      const resources = resourcesOf(balancer.pid);
      for (const round of [1, 2]) {
        const broken = performance.now();
        writeFileSync(order, `${how} 0`);
        for (let last = false; !last; ) {
          last = balancer.count(REPLACED) === round;
          assert.ok(performance.now() < broken + PATIENCE_MS, 'it is replaced');
          const goOn = (seen: Map<string, string>): boolean => [...others.keys()].every((flow) => seen.has(flow));
          assert.ok(goOn(await pair.send(FLOWS, PATIENCE_MS, goOn)), 'the other worker loses no packet');
        }
        assert.deepEqual(await pair.flows(FLOWS), before);
        sayBack(t, how, broken);
      }
      await sameResources(balancer.pid, resources);
      assert.equal(balancer.count('the interface has got more receive queues'), 0);
      assert.equal(pair.metric('hushlb_worker_restarts_total'), 2);
      const { problem, worker } = await balancer.said(REPLACED);
      assert.equal(worker, 0);
      assert.match(`${problem}`, how === 'throw' ? /broken by a test/ : /worker of queue 0 ended, code 3/);
    });
  }

  test('the one that takes its place forwards by what was changed before, and takes over what is changed after', async () => {
    const balancer = await start();
    await pair.flows(FLOWS);
    const [, ...left] = BACKENDS;
    pair.configure('', left);
    balancer.process.hangUp();
    await until('the reload', () => balancer.count('reloaded') === 1);
    for (const queue of [0, 1]) {
      writeFileSync(order, `throw ${queue}`);
      await until('it to be replaced', () => balancer.count(REPLACED) === queue + 1);
    }
    assert.deepEqual(new Set((await pair.flows(FLOWS)).values()), new Set(left));

    const [, ...fewer] = left;
    pair.configure('', fewer);
    balancer.process.hangUp();
    await until('the second reload', () => balancer.count('reloaded') === 2);
    assert.deepEqual(new Set((await pair.flows(FLOWS)).values()), new Set(fewer));
  });

  test('again and again: the process ends with one line, and nothing stays attached', async () => {
    const balancer = await start();
    writeFileSync(order, 'always-throw 1');
    const never = new AbortController().signal;
    const line = await balancer.process.waitForLine((text) => text.startsWith('hushlb: '), PATIENCE_MS, never);
    assert.equal(await balancer.process.ended, 1);
    assert.match(line, /worker 1 failed 5 times in 10 s, the last time: broken by a test$/);
    assert.equal(balancer.count(REPLACED), 4);
    assert.ok(!isAttached(pair.hosts));
  });
});
