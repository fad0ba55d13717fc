/**
 * The balancer is killed at any moment of a reload, at its begin, in its middle and towards its end, seeded: nothing of it stays
 * attached, and the next start forwards by the file as it is, without anybody's help.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { needsRoot, until } from '../io/two-hosts.ts';
import { BACKENDS, type Balancer, isAttached, usePair } from './pair.ts';

const FLOWS = 16;
const KILLS = 3;

suite('killed in the middle of a reload', { skip: needsRoot }, () => {
  const pair = usePair();
  const [, ...fewer] = BACKENDS;

  const rules = (): string =>
    execFileSync('ip', ['netns', 'exec', pair.hosts.left, 'nft', 'list', 'ruleset'], { encoding: 'utf8' }).trim();

  for (const io of ['af-xdp', 'af-packet']) {
    test(`${io}: ${KILLS} times`, async (t) => {
      let [now, next]: (readonly string[])[] = [BACKENDS, fewer];
      async function start(): Promise<Balancer> {
        const balancer = await pair.run();
        assert.deepEqual(new Set((await pair.flows(FLOWS)).values()), new Set(now));
        return balancer;
      }
      /** Has it read another file, which the next start reads too. Returns when. */
      function reload(balancer: Balancer): number {
        [now, next] = [next, now];
        pair.configure(`io: ${io}`, now);
        balancer.process.hangUp();
        return performance.now();
      }
      async function kill({ pid, process: { ended } }: Balancer): Promise<void> {
        process.kill(pid, 'SIGKILL');
        await ended;
        await until('nothing of it to be left', () => !isAttached(pair.hosts) && rules() === '');
      }

      pair.configure(`io: ${io}`, now);
      const first = await start();
      const begun = reload(first);
      await first.said('reloaded');
      const wholeMs = performance.now() - begun;
      await kill(first);

      const moments: string[] = [];
      let die = 0x2545_f491;
      for (let i = 0; i < KILLS; i++) {
        const balancer = await start();
        die = (Math.imul(die, 1_664_525) + 1_013_904_223) >>> 0;
        const asked = reload(balancer);
        await pause((wholeMs * (i + die / 2 ** 32)) / KILLS);
        const afterMs = Math.round(performance.now() - asked);
        await kill(balancer);
        moments.push(`${afterMs} ms${balancer.count('reloaded') > 0 ? ', when it was over' : ''}`);
      }
      await start();
      t.diagnostic(`a reload took ${Math.round(wholeMs)} ms; killed after ${moments.join('; ')}`);
    });
  }
});
