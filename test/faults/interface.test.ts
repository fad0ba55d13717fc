/**
 * The balancer's interface goes down and comes back, gets another MAC, and is deleted and made anew, under every device: the
 * process stays, says so, and forwards again by itself.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { needsPortable } from '../io/portable-packages.ts';
import { ip, ipJson, needsRoot, until } from '../io/two-hosts.ts';
import { BACKENDS, isAttached, resourcesOf, sameResources, sayBack, usePair } from './pair.ts';

const FLOWS = 32;
const AWAY = 'interface left is gone';
const BACK = 'interface left is back';

suite('the interface fails', { skip: needsRoot }, () => {
  const pair = usePair();
  const { left, right } = pair.hosts;
  const neighbours = (): void => pair.rewire();

  /** Under a new index, or the one given. */
  function remake(...index: string[]): void {
    ip('-n', left, 'link', 'add', 'left', ...index, 'type', 'veth', 'peer', 'name', 'right', 'netns', right);
    for (const [name, side, host] of [
      [left, 'left', 1],
      [right, 'right', 2],
    ] as const) {
      ip('-n', name, 'address', 'add', `198.18.0.${host}/24`, 'dev', side);
      ip('-n', name, 'link', 'set', side, 'up');
    }
    neighbours();
  }

  for (const [io, skip] of [
    ['af-xdp', false],
    ['af-packet', false],
    ['portable', needsPortable],
  ] as const) {
    test(`${io}: deleted and made anew, with a change of the backends in between, and under the same index`, {
      skip,
    }, async (t) => {
      pair.configure(`io: ${io}`);
      const balancer = await pair.run();
      const before = await pair.flows(FLOWS);
      assert.equal(new Set(before.values()).size, BACKENDS.length);
      const resources = resourcesOf(balancer.pid);
      const index = ipJson(left, 'link', 'show', 'left')[0].ifindex;
      const [, ...fewer] = BACKENDS;

      // The peer's end takes this one with it.
      ip('-n', right, 'link', 'delete', 'right');
      await until('it to be missed', () => balancer.count(AWAY) === 1);
      remake();
      let there = performance.now();
      assert.notEqual(ipJson(left, 'link', 'show', 'left')[0].ifindex, index);
      await until('it to be back', () => balancer.count(BACK) === 1);
      assert.deepEqual(await pair.flows(FLOWS), before);
      sayBack(t, 'deleted and made anew', there);
      await sameResources(balancer.pid, resources);

      ip('-n', left, 'link', 'delete', 'left');
      await until('it to be missed again', () => balancer.count(AWAY) === 2);
      pair.configure(`io: ${io}`, fewer);
      balancer.process.hangUp();
      await until('the reload', () => balancer.count('reloaded') === 1);
      remake();
      there = performance.now();
      await until('it to be back again', () => balancer.count(BACK) === 2);
      const hashed = await pair.flows(FLOWS);
      assert.deepEqual(new Set(hashed.values()), new Set(fewer));
      sayBack(t, 'the same, with a change in between', there);
      await sameResources(balancer.pid, resources);

      pair.configure(`io: ${io}`);
      balancer.process.hangUp();
      await until('the second reload', () => balancer.count('reloaded') === 2);
      // The new worker's table has them, and what the hash says now is another matter.
      assert.deepEqual(await pair.flows(FLOWS), hashed);

      // Nobody sees it go, and the next one has its very index.
      const { ifindex } = ipJson(left, 'link', 'show', 'left')[0];
      process.kill(balancer.pid, 'SIGSTOP');
      try {
        ip('-n', left, 'link', 'delete', 'left');
        remake('index', ifindex);
      } finally {
        process.kill(balancer.pid, 'SIGCONT');
      }
      there = performance.now();
      await until('it to be back a third time', () => balancer.count(BACK) === 3);
      assert.equal(balancer.count(AWAY), 3);
      assert.deepEqual(await pair.flows(FLOWS), before);
      sayBack(t, 'the same, under its old index', there);
      await sameResources(balancer.pid, resources);
      await balancer.process.stop();
      assert.ok(!isAttached(pair.hosts));
    });

    test(`${io}: down and up again keeps the connections; another MAC is taken over`, { skip }, async (t) => {
      pair.configure(`io: ${io}`);
      const balancer = await pair.run();
      const before = await pair.flows(FLOWS);
      const resources = resourcesOf(balancer.pid);
      const misses = (): number => pair.metric('hushlb_conntrack_misses_total{service="web",kind="non_syn"}');
      await until('each to be counted once', () => misses() === FLOWS);
      ip('-n', left, 'link', 'set', 'left', 'down');
      await until('it to be missed', () => balancer.count('interface left is down') === 1);
      ip('-n', left, 'link', 'set', 'left', 'up');
      neighbours();
      const up = performance.now();
      await until('it to be back', () => balancer.count(BACK) === 1);
      assert.deepEqual(await pair.flows(FLOWS), before);
      sayBack(t, 'down and up', up);
      assert.equal(misses(), FLOWS);
      assert.equal(pair.metric('hushlb_worker_restarts_total'), 0);

      const mac = '02:00:00:00:ab:cd';
      ip('-n', left, 'link', 'set', 'left', 'address', mac);
      // The kernel forgets all neighbours with it, those of an administrator too.
      neighbours();
      const changed = performance.now();
      await until('the frames to come from there', async () => (await pair.macs(FLOWS)).from.has(mac));
      assert.deepEqual(await pair.flows(FLOWS), before);
      sayBack(t, 'another MAC', changed);
      await sameResources(balancer.pid, resources);
    });
  }
});
