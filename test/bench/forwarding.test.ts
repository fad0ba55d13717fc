/** The cases on the wire, for a moment: every subject sends the load's frames back, and nothing is left behind. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { measureForwarding } from '../../bench/cases/forwarding.ts';
import { machineBusySeconds, processSeconds } from '../../bench/forwarding/cpu-time.ts';
import { buildBenchNetwork, ip } from '../../bench/forwarding/network.ts';
import { findSubjects } from '../../bench/forwarding/subjects.ts';
import { BOUNDS_US } from '../../bench/pause/gaps.ts';
import { openPauseBench } from '../../bench/pause/measure.ts';
import { compileYardstick } from '../../bench/yardstick/compile.ts';
import { needsRoot } from '../io/two-hosts.ts';

const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const ownNamespaces = (): string[] => readdirSync('/run/netns').filter((name) => name.includes(`-${process.pid}-`));

describe('benchmarks on the wire', { skip: needsRoot }, () => {
  test('every subject sends frames back', async () => {
    const { subjects } = findSubjects(folder);
    const points = [
      { frameBytes: 64, flows: 100 },
      { frameBytes: 1400, flows: 1 },
    ];
    const measured = await measureForwarding(
      subjects,
      { points, starts: 2, atMost: 2, loadMs: 100 },
      { progress: () => {}, secondsLeft: () => 0 },
    );
    assert.equal(measured.length, subjects.length * points.length);
    for (const { key, mpps, processCpu } of measured) {
      assert.equal(mpps.length, 4);
      for (const value of mpps) assert.ok(value > 0, `${key}: ${value} Mpps`);
      for (const seconds of processCpu) assert.ok(seconds >= 0, `${key}: ${seconds} s`);
    }
    assert.deepEqual(ownNamespaces(), []);
  });

  test('subjects that were not started to the end leave nothing behind', async () => {
    const { subjects } = findSubjects(folder);
    const broken = { ...subjects[0]!, start: () => Promise.reject(new Error('no start today')) };
    const run = measureForwarding(
      [subjects[0]!, broken],
      { points: [], starts: 1, atMost: 1, loadMs: 1 },
      { progress: () => {}, secondsLeft: () => 0 },
    );
    await assert.rejects(run, /no start today/);
    assert.deepEqual(ownNamespaces(), []);
  });

  test('what iproute2 refuses is said in its words', () => {
    const network = buildBenchNetwork(1);
    assert.throws(() => ip(network.near, ['link set nothing up']), /^Error: ip -n .*Cannot find device "nothing"/);
    assert.equal(ownNamespaces().length, 2);
    network.remove();
    assert.deepEqual(ownNamespaces(), []);
  });

  test('gaps between batches, of a worker and of the C loop', async () => {
    const bench = await openPauseBench();
    try {
      const { path = '' } = compileYardstick('reflect', folder);
      for (const result of [await bench.worker(500, 1000), await bench.yardstick(path, 500, 1000)]) {
        assert.equal(result.gaps.length, BOUNDS_US.length + 1);
        assert.equal(result.waiting.length, BOUNDS_US.length + 1);
        const gaps = result.gaps.reduce((sum, count) => sum + count, 0);
        assert.ok(result.batches > 0 && gaps < result.batches && gaps > 0, `${gaps} gaps of ${result.batches} batches`);
        assert.ok(result.frames >= result.batches);
        assert.ok(result.longestRunningUs <= result.longestUs);
        const longest = result.gaps.findLastIndex((count) => count > 0);
        assert.ok(result.longestUs >= (BOUNDS_US[longest - 1] ?? 0), `${result.longestUs} of row ${longest}`);
      }
    } finally {
      await bench.close();
    }
    assert.deepEqual(ownNamespaces(), []);
  });
});

test('CPU time of a process and of the machine grows with work', () => {
  const before = { own: processSeconds(process.pid), machine: machineBusySeconds() };
  const end = process.cpuUsage().user + 150_000;
  let sum = 0;
  while (process.cpuUsage().user < end) for (let i = 0; i < 1e6; i++) sum += Math.sqrt(i);
  assert.ok(sum > 0);
  assert.ok(processSeconds(process.pid) - before.own >= 0.08);
  assert.ok(machineBusySeconds() - before.machine >= 0.08);
  assert.ok(Number.isNaN(processSeconds(2 ** 22 + 1)));
});
