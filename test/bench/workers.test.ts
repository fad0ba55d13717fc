/** The part of case `workers` that is on the wire, for a moment: every subject forwards, and nothing is left behind. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { buildBenchNetwork } from '../../bench/forwarding/network.ts';
import { measureQueues, ONE_WORKER, TWO_WORKERS } from '../../bench/workers/queues.ts';
import { ipJson, needsRoot } from '../io/two-hosts.ts';

const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const ownNamespaces = (): string[] => readdirSync('/run/netns').filter((name) => name.includes(`-${process.pid}-`));

describe('workers on the wire', { skip: needsRoot || (availableParallelism() > 1 ? false : 'needs two CPUs') }, () => {
  test('one worker and two forward', async () => {
    const measured = await measureQueues(
      { atMost: 3, warmUps: 1, folder },
      { progress: () => {}, secondsLeft: () => 0 },
    );
    assert.deepEqual([measured[0]?.subject, measured.at(-1)?.subject], [ONE_WORKER, TWO_WORKERS]);
    for (const { subject, mpps } of measured) {
      assert.equal(mpps.length, 3);
      for (const value of mpps) assert.ok(value > 0 && value < 100, `${subject.name}: ${value} Mpps`);
    }
    assert.deepEqual(ownNamespaces(), []);
  });

  test('a wire has the queues that it was built with', () => {
    const network = buildBenchNetwork(2, [1, 3]);
    const queues = network.far.map((name) => ipJson(name, '-d', 'link', 'show', 'eth0')[0].num_rx_queues);
    network.remove();
    assert.deepEqual(queues, [1, 3]);
  });
});
