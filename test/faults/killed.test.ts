/**
 * The balancer is killed at any moment of a reload, seeded: nothing of it stays attached, and the next start forwards by the
 * file as it is, without anybody's help.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { needsRoot, until } from '../io/two-hosts.ts';
import { BACKENDS, isAttached, usePair } from './pair.ts';

const FLOWS = 16;
const ROUNDS = 3;
/** A reload takes about as long. */
const WITHIN_MS = 30;

suite('killed in the middle of a reload', { skip: needsRoot }, () => {
  const pair = usePair();
  const [, ...fewer] = BACKENDS;

  const rules = (): string =>
    execFileSync('ip', ['netns', 'exec', pair.hosts.left, 'nft', 'list', 'ruleset'], { encoding: 'utf8' }).trim();

  for (const io of ['af-xdp', 'af-packet']) {
    test(`${io}: ${ROUNDS} times`, async () => {
      let die = 0x2545_f491;
      for (let round = 0; round < ROUNDS; round++) {
        const backends = round % 2 === 0 ? BACKENDS : fewer;
        pair.configure(`io: ${io}`, backends);
        const balancer = await pair.run();
        assert.deepEqual(new Set((await pair.flows(FLOWS)).values()), new Set(backends));
        pair.configure(`io: ${io}`, round % 2 === 0 ? fewer : BACKENDS);
        balancer.process.hangUp();
        die = (Math.imul(die, 1_664_525) + 1_013_904_223) >>> 0;
        await pause(die % WITHIN_MS);
        process.kill(balancer.pid, 'SIGKILL');
        await balancer.process.ended;
        await until('nothing of it to be left', () => !isAttached(pair.hosts) && rules() === '');
      }
    });
  }
});
