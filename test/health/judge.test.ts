/** Rise, fall, grace and flapping in virtual time: each row's expectation is counted by hand from the rules in docs/health.md. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Judgement, type JudgeSettings, judge, startJudgement } from '../../health/judge.ts';
import { firstWaitMs, nextWaitMs } from '../../health/schedule.ts';

const SETTINGS: JudgeSettings = { intervalMs: 1000, rise: 2, fall: 3, graceMs: 0 };

/** One result a second, `+` or `-`, from second `from` on. */
function after(results: string, settings = SETTINGS, before = startJudgement(0), from = 1): Judgement {
  return [...results].reduce(
    (known, result, i) => judge(known, { ok: result === '+', reason: result }, settings, (from + i) * 1000),
    before,
  );
}

/** What it is after each result: `U` up, `D` down, lower case while it flaps. */
function course(results: string, settings = SETTINGS): string {
  return [...results]
    .map((_, i) => {
      const { up, flapping } = after(results.slice(0, i + 1), settings);
      const letter = up ? 'U' : 'D';
      return flapping ? letter.toLowerCase() : letter;
    })
    .join('');
}

describe('rise and fall', () => {
  const rows: readonly (readonly [results: string, expected: string])[] = [
    ['+++', 'UUU'],
    ['---', 'UUD'],
    ['--+---', 'UUUUUD'],
    ['---+', 'UUDD'],
    ['---++', 'UUDDU'],
    ['---+-++', 'UUDDDDU'],
  ];
  for (const [results, expected] of rows) {
    test(`${results} is ${expected}`, () => assert.equal(course(results), expected));
  }

  test('one is enough where the configuration says so', () => {
    assert.equal(course('-+-', { ...SETTINGS, rise: 1, fall: 1 }), 'DUD');
  });

  test('since when, and why', () => {
    const { sinceMs, reason } = after('+---');
    assert.deepEqual({ sinceMs, reason }, { sinceMs: 4000, reason: '-' });
    assert.equal(after('+---+').reason, '-', 'a single success does not matter yet');
  });
});

describe('grace', () => {
  const settings = { ...SETTINGS, graceMs: 5000 };

  test('failures count from its end on', () => {
    // Results of seconds 1 to 4 are within it; those of 5, 6 and 7 are three.
    assert.equal(course('-------', settings), 'UUUUUUD');
  });

  test('a success ends it', () => assert.equal(course('+---', settings), 'UUUD'));

  test('it is not for a backend that was up before', () => {
    assert.equal(after('----', settings, after('+', settings), 2).up, false);
  });
});

describe('flapping', () => {
  const cycle = '---++';

  test('the third time down within sixty intervals is held for ten', () => {
    // Down at seconds 3, 8 and 13; held until 23.
    const results = `${cycle}${cycle}---++++++++++++`;
    assert.equal(course(results), 'UUDDUUUDDUUUdddddddddduuu');
    const { heldUntilMs } = after(`${cycle}${cycle}---`);
    assert.equal(heldUntilMs, 23_000);
  });

  test('then for twice as long each time, and at most 150 intervals', () => {
    let known = after(`${cycle}${cycle}---`);
    const holds = [known.holdMs];
    for (let i = 0; i < 5; i++) {
      const end = known.heldUntilMs / 1000;
      known = after('++---', SETTINGS, known, end);
      holds.push(known.holdMs);
    }
    assert.deepEqual(holds, [10_000, 20_000, 40_000, 80_000, 150_000, 150_000]);
  });

  test('three times down in more than sixty intervals is bad luck', () => {
    const known = after(`${cycle}${'+'.repeat(30)}${cycle}${'+'.repeat(30)}---`);
    assert.deepEqual([known.up, known.flapping], [false, false]);
  });

  test('up for a whole window ends it, and what was before is forgotten', () => {
    const held = after(`${cycle}${cycle}---`);
    // Held from second 13 to 23, and up then.
    const up = after('+'.repeat(69), SETTINGS, held, 14);
    assert.equal(up.flapping, true);
    const calm = after('++', SETTINGS, up, 83);
    assert.equal(calm.flapping, false);
    assert.equal(after('---', SETTINGS, calm, 90).holdMs, 0);
  });
});

describe('when', () => {
  test('first checks are spread over the interval', () => {
    assert.deepEqual(
      [0, 0.25, 1].map((random) => firstWaitMs(2000, random)),
      [0, 500, 2000],
    );
  });

  test('the others come a tenth earlier or later', () => {
    assert.deepEqual(
      [0, 0.5, 1].map((random) => Math.round(nextWaitMs(2000, random))),
      [1800, 2000, 2200],
    );
  });
});
