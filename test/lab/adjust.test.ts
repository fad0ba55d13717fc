/**
 * What `hushlb lab run` may change of a scenario, and what it refuses as pointless, for every kind of plot.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { adjustScenario, DEFAULT_SCALE, findMisfit, findPointless, findUnfit } from '../../lab/adjust.ts';
import { possibleHere } from '../../lab/programs.ts';
import { type Scenario, titleOf } from '../../lab/scenario.ts';
import { SCENARIOS } from '../../lab/scenarios.ts';
import { clientPatienceMs } from '../../lab/stage.ts';

function scenario(name: string): Scenario {
  const found = SCENARIOS.find((each) => each.name === name);
  assert.ok(found !== undefined);
  return found;
}

describe('adjustScenario', () => {
  it('leaves every scenario as it is at the default scale', () => {
    for (const each of SCENARIOS) {
      const { timeouts } = adjustScenario(each, {});
      assert.deepEqual(timeouts, each.timeouts, titleOf(each));
      assert.equal(findPointless(each), undefined, titleOf(each));
    }
  });

  it('makes a scale of 1 the real times of every scenario', () => {
    const real = (name: string): unknown => adjustScenario(scenario(name), { scale: 1 }).timeouts;
    assert.deepEqual(real('stateless'), { client: 60_000, balancer: 10_000, server: 60_000 });
    assert.deepEqual(real('backend-added'), { client: 60_000, balancer: 60_000, server: 60_000 });
    assert.deepEqual(real('direct-race'), { client: 60_000, balancer: 0, server: 1000 });
    assert.deepEqual(real('l7-idle'), { client: 60_000, balancer: 5000, server: 1000 });
    for (const each of SCENARIOS) assert.equal(findPointless(adjustScenario(each, { scale: 1 })), undefined);
  });

  it('gives the balancer another packet device, where there is one', () => {
    for (const each of SCENARIOS) {
      const { balancer } = adjustScenario(each, { io: 'af-packet' });
      assert.deepEqual(balancer, each.balancer && { ...each.balancer, io: 'af-packet' }, titleOf(each));
    }
  });

  it('gives the balancer another encapsulation, and every network another family', () => {
    for (const each of SCENARIOS) {
      const { balancer, family } = adjustScenario(each, { encap: 'gue', family: 6 });
      assert.deepEqual(balancer, each.balancer && { ...each.balancer, encap: 'gue' }, titleOf(each));
      assert.equal(family, 6, titleOf(each));
    }
  });

  it('scales the pace of sessions with the timeouts that they race with', () => {
    for (const each of SCENARIOS.filter(({ plot }) => plot.kind === 'sessions')) {
      const { plot, timeouts } = adjustScenario(each, { scale: 0.4 });
      assert.ok(plot.kind === 'sessions');
      assert.equal(plot.pace.aroundMs(timeouts), 400, titleOf(each));
    }
  });
});

it('leaves an upload out that no tunnel makes too long', () => {
  const [upload] = SCENARIOS.filter(({ name }) => name === 'upload');
  assert.equal(findUnfit(upload), undefined);
  assert.match(findUnfit(adjustScenario(upload, { encap: 'l2' })) ?? '', /^upload: pointless, with --encap l2 /);
  assert.match(findPointless(adjustScenario(upload, { encap: 'l2' })) ?? '', /--encap l2/);
  for (const encap of ['gue', 'gre', 'l2'] as const) {
    const others = SCENARIOS.filter(({ name }) => name !== 'upload');
    for (const each of others) assert.equal(findUnfit(adjustScenario(each, { encap })), undefined, titleOf(each));
  }
});

it('leaves out what the kernel cannot do, and asks it only where a scenario needs that', () => {
  const uploads = SCENARIOS.filter(({ name }) => name === 'upload');
  const without = possibleHere(uploads, () => false);
  assert.deepEqual(uploads.filter((each) => !without.includes(each)).map(titleOf), ['upload, by hushlb decap']);
  assert.deepEqual(
    possibleHere(uploads, () => true),
    uploads,
  );
  assert.deepEqual(
    possibleHere(without, () => assert.fail('asked')),
    without,
  );
});

describe('the client’s patience', () => {
  it('is longer than an answer in pieces takes, at every scale', () => {
    for (const scale of [0.2, 1, 10]) {
      for (const each of SCENARIOS.filter(({ plot }) => plot.kind === 'transfer')) {
        const { plot, timeouts, patienceMs } = adjustScenario(each, { scale });
        assert.ok(plot.kind === 'transfer');
        const answer = plot.everyMs(timeouts) * plot.pieces;
        assert.ok(clientPatienceMs({ plot, timeouts, patienceMs }) > answer + 10_000, titleOf(each));
      }
    }
  });
});

describe('findPointless', () => {
  const rows: [string, Parameters<typeof adjustScenario>[1], RegExp][] = [
    [
      'backend-drained',
      { scale: DEFAULT_SCALE / 4 },
      /^backend-drained: pointless, the \w+'s idle timeout would be 3 s,/,
    ],
    ['direct-race', { scale: 0.1 }, /^direct-race: sessions would send every 0\.1 s, too fast/],
    ['l7-idle', { scale: 0.19 }, /^l7-idle: sessions would send every 0\.19 s, too fast/],
    ['server-push', { timeouts: { balancer: 3 * 3_600_000 } }, /^server-push: would take 21600 s, .* hushlb simulate/],
    [
      'stateless',
      { timeouts: { client: 864e6, balancer: 432e6, server: 864e6 } },
      /^stateless: would take 648000 s, .* bounded to 2 hours/,
    ],
  ];
  for (const [name, adjustments, message] of rows) {
    it(`${name}: ${JSON.stringify(adjustments)}`, () => {
      assert.match(findPointless(adjustScenario(scenario(name), adjustments)) ?? 'nothing', message);
    });
  }
});

describe('findMisfit', () => {
  it('says that a change of backends has no idle timeout to set, and no mode', () => {
    for (const option of ['lb-idle', 'mode', 'scheduler'] as const) {
      assert.match(
        findMisfit([scenario('backend-added')], [option]) ?? 'nothing',
        new RegExp(`^--${option}: means nothing to backend-added, leave it out$`),
      );
    }
  });
});
