/** The cases' code on small numbers, so that it cannot rot: that it runs, and that its facts are right. No figure of time is held. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fill, measureCosts, measureResident } from '../../bench/cases/connection-table.ts';
import { measureDecision } from '../../bench/cases/decision-cost.ts';
import { tableFacts } from '../../bench/cases/lookup-table.ts';
import { measureScaling } from '../../bench/cases/workers.ts';
import { MODES, portsWord, sourceWord, strideOf } from '../../bench/decision/modes.ts';
import { compileYardstick } from '../../bench/yardstick/compile.ts';

const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const ONE_ROUND = { atLeast: 1, atMost: 1, hasTime: () => false };

describe('the flows of the benchmarks', () => {
  test('are all different', () => {
    const flows = 200_000;
    const keys = new Set(Array.from({ length: flows }, (_, flow) => `${sourceWord(flow)} ${portsWord(flow)}`));
    assert.equal(keys.size, flows);
  });

  test('come from 198.18.0.0/15, to port 80', () => {
    const last = 8_388_607;
    const bytes = Buffer.from(Int32Array.of(sourceWord(last), portsWord(last)).buffer);
    assert.deepEqual([...bytes], [198, 19, 255, 255, (1024 + 63) >> 8, (1024 + 63) & 255, 0, 80]);
  });

  test('are all visited', () => {
    for (const flows of [1000, 10_000, 100_000]) {
      const seen = new Set<number>();
      for (let i = 0, flow = 0; i < flows; i++, flow = (flow + strideOf(flows)) % flows) seen.add(flow);
      assert.equal(seen.size, flows);
    }
  });
});

describe('decision-cost', () => {
  const yardstick = compileYardstick('decision', folder);
  for (const mode of MODES) {
    test(mode.name, async () => {
      const { ours, inC, ratio } = await measureDecision(mode, 100, yardstick, { packets: 640, atMost: 1 }, 0, folder);
      assert.ok(ours.median > 0);
      assert.equal(ours.rounds, 1);
      assert.equal(inC === null, yardstick.path === undefined || mode.family === 6);
      assert.equal(ratio?.rounds, inC?.rounds);
    });
  }
});

describe('lookup-table', () => {
  test('imbalance and disruption of a small table', () => {
    const facts = tableFacts(10, 1009);
    assert.ok(facts.imbalance >= 1 && facts.imbalance < 1.1);
    // What the backend had must move; Maglev moves a little more.
    assert.ok(facts.disruptionOfRemoval >= 0.09 && facts.disruptionOfRemoval < 0.2);
    assert.ok(facts.disruptionOfAddition >= 0.08 && facts.disruptionOfAddition < 0.2);
  });
});

describe('connection-table', () => {
  test('a cost for each operation', async () => {
    const rows = await measureCosts(1000, 1000, ONE_ROUND);
    assert.deepEqual(
      rows.map(([name, flows]) => [name, flows]),
      ['insert', 'hit', 'miss', 'sweep a slot'].map((name) => [name, 1000]),
    );
  });

  test('connections that are offered are kept, evicted or refused', () => {
    for (const load of [0.5, 1, 1.5]) {
      const { connections, kept, evicted, refused } = fill(load, 1000);
      assert.equal(connections, 1000 * load);
      assert.equal(kept + evicted + refused, connections);
      assert.ok(kept <= 1000);
    }
    assert.equal(fill(0.1, 1000).kept, 100);
    assert.ok(fill(1.5, 1000).evicted > 400);
  });

  test('resident memory of a table that is filled', () => {
    const { tableBytes, moreMib } = measureResident(100_000);
    assert.equal(tableBytes, 32 * 100_000);
    assert.ok(moreMib > 2 && moreMib < 12, `${moreMib} MiB`);
  });
});

describe('workers', () => {
  test('one alone and two together', async () => {
    const { one, two } = await measureScaling(1000, 10_000, 10_000, ONE_ROUND);
    for (const value of [...one, ...two]) assert.ok(value > 0 && value < 1000, `${value} million a second`);
    assert.deepEqual([one.length, two.length], [1, 1]);
  });
});
