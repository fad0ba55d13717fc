/** The frame of the benchmark suite: what it promises of its time, and how results are told. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Chart, ResultTable, Target } from '../../bench/case.ts';
import { CASES } from '../../bench/cases.ts';
import { chartSvg } from '../../bench/plot.ts';
import { writeResults } from '../../bench/results-page.ts';
import { figure, interleave, ratios, spread } from '../../bench/rounds.ts';
import { caseText, cellText, isReached, markdownTable, targetTable, terminalTable } from '../../bench/show.ts';

test('a quick run takes less than 2 minutes, a full one less than 15', () => {
  const sum = (length: 'quick' | 'full'): number => CASES.reduce((total, { seconds }) => total + seconds[length], 0);
  assert.ok(sum('quick') < 120, `${sum('quick')} s`);
  assert.ok(sum('full') < 15 * 60, `${sum('full')} s`);
});

test('cases have names of their own', () => {
  assert.equal(new Set(CASES.map(({ name }) => name)).size, CASES.length);
  for (const { name } of CASES) assert.match(name, /^[a-z]+(-[a-z]+)*$/);
});

test('the median of rounds, with their spread', () => {
  assert.deepEqual(spread([5, 1, 3]), { median: 3, min: 1, max: 5, rounds: 3 });
  assert.deepEqual(spread([4, 1, 2, 8]), { median: 3, min: 1, max: 8, rounds: 4 });
  assert.deepEqual(ratios([2, 9], [1, 3]), [2, 3]);
});

test('subjects are measured in turn, in both orders, for as long as there is time', async () => {
  const order: string[] = [];
  const measure = async (subject: string): Promise<number> => order.push(subject);
  const values = await interleave(['a', 'b'], { atLeast: 2, atMost: 9, hasTime: () => false }, measure);
  assert.deepEqual(order, ['a', 'b', 'b', 'a']);
  assert.deepEqual(values, [
    [1, 4],
    [2, 3],
  ]);
  order.length = 0;
  await interleave(['a', 'b'], { atLeast: 1, atMost: 3, hasTime: () => true }, measure);
  assert.equal(order.length, 6);
});

const target: Target = { what: 'cost', bound: 'at most', limit: 2, unit: 'times', digits: 1, measured: 2.5 };

test('a target is reached or not, and says by how much', () => {
  const cells = (changes: Partial<Target>): readonly unknown[] => targetTable([{ ...target, ...changes }]).rows[0]!;
  assert.deepEqual(cells({}), ['cost', 'at most 2.0 times', '2.5 times', 'no, by 25 %']);
  assert.equal(cells({ measured: 1.5 })[3], 'yes, by 25 %');
  assert.equal(cells({ bound: 'at least' })[3], 'yes, by 25 %');
  assert.equal(cells({ bound: 'at least', measured: 1.9 })[3], 'no, by 5 %');
  assert.equal(cells({ limit: 0, measured: 0 })[3], 'yes');
  assert.deepEqual(cells({ measured: undefined, why: 'no compiler' }).slice(2), ['–', 'not measured: no compiler']);
  assert.equal(isReached({ ...target, measured: undefined }), false);
});

test('cells and tables', () => {
  assert.equal(cellText(figure([1.25, 3.5, 2], 1)), '2.0 (1.3 to 3.5)');
  assert.equal(cellText(figure([1234.5], 0)), '1,235');
  assert.equal(cellText(1_000_000), '1,000,000');
  assert.equal(cellText(null), '–');
  const table = {
    title: 'Costs',
    says: 'What they are.',
    head: ['flows', 'ns'],
    rows: [
      ['1,000', figure([7], 0)],
      ['a|b', null],
    ] as const,
  };
  assert.equal(
    markdownTable(table),
    '**Costs**\n\nWhat they are.\n\n| flows | ns |\n|---|---:|\n| 1,000 | 7 |\n| a\\|b | – |',
  );
});

const wide: ResultTable = {
  title: 'Costs of every kind there is',
  says: 'More flows cost more.',
  head: ['what', 'a heading of words', '1,000', '10,000'],
  rows: [
    ['a subject with a rather long name', figure([7, 8, 10], 0), figure([70, 80, 100], 1), null],
    ['b', 'none at all', 5, 6],
  ],
};

test('a table keeps to the terminal: as it is, with ranges below their figures, in groups of columns', () => {
  const drawn = (width: number): string[] => terminalTable(wide, width).split('\n');
  assert.deepEqual(drawn(100).slice(0, 4), [
    'Costs of every kind there is',
    'More flows cost more.',
    '┌───────────────────────────────────┬────────────────────┬──────────────────────┬────────┐',
    '│ what                              │ a heading of words │                1,000 │ 10,000 │',
  ]);
  assert.deepEqual(drawn(75).slice(2), [
    '┌──────────────────────────────┬─────────────┬─────────────────┬────────┐',
    '│ what                         │   a heading │           1,000 │ 10,000 │',
    '│                              │    of words │                 │        │',
    '├──────────────────────────────┼─────────────┼─────────────────┼────────┤',
    '│ a subject with a rather long │           8 │            80.0 │      – │',
    '│ name                         │   (7 to 10) │ (70.0 to 100.0) │        │',
    '│ b                            │ none at all │               5 │      6 │',
    '└──────────────────────────────┴─────────────┴─────────────────┴────────┘',
  ]);
  for (const width of [40, 50, 60, 80, 120]) {
    const narrow = drawn(width);
    assert.ok(Math.max(...narrow.map(({ length }) => length)) <= width, narrow.join('\n'));
    // Every figure is there, whatever its group.
    for (const text of ['of words', 'none at all', '(7 to 10)', '(70.0 to 100.0)', '10,000'])
      assert.ok(narrow.join('\n').includes(text), text);
  }
});

test('what is said beside tables is wrapped, too', () => {
  const result = { tables: [wide], charts: [], targets: [], notes: ['a word '.repeat(20).trim(), 'short'] };
  const text = caseText('Costs', result, 40).split('\n');
  assert.equal(text[0], '── Costs ──');
  assert.ok(text.every(({ length }) => length <= 40));
  assert.deepEqual(text.slice(-2), ['  word a word a word a word a word', '- short']);
});

const chart: Chart = {
  name: 'cost',
  title: 'Cost <of> a packet',
  kind: 'lines',
  unit: 'ns',
  categoryName: 'flows',
  categories: ['1,000', '10,000'],
  series: [
    { name: 'ours', values: [20, null] },
    { name: 'theirs', values: [10, 20] },
  ],
  mark: { name: 'published', value: 350 },
};

test('a plot is an SVG with its title, its series and ink for dark pages', () => {
  for (const kind of ['lines', 'bars'] as const) {
    const svg = chartSvg({ ...chart, kind });
    assert.match(svg, /^<svg [^>]*role="img">\n<title>Cost &#60;of&#62; a packet<\/title>/);
    assert.match(svg, /prefers-color-scheme:dark/);
    const words = ['ours', 'theirs', '10,000', 'ns', ...(kind === 'lines' ? ['published: 350'] : [])];
    for (const word of words) assert.ok(svg.includes(`>${word}</text>`), word);
    // All ink is of the two colours that the style sheet exchanges, or of a series.
    const ink = new Set([...svg.matchAll(/<text[^>]* fill="([^"]+)"/g)].map(([, colour]) => colour));
    assert.deepEqual([...ink], ['#1f2328']);
  }
});

test('bars: hushlb’s own in colour, the others grey, numbers as they are written', () => {
  const svg = chartSvg({
    ...chart,
    kind: 'bars',
    categories: ['hushlb run, with a name of forty letters', 'another'],
    own: ['hushlb run, with a name of forty letters'],
    digits: 1,
    series: [{ name: 'Mpps', values: [1234.56, 2] }],
  });
  const fills = [...svg.matchAll(/<path[^>]* fill="(#[0-9a-f]+)"/g)].map(([, colour]) => colour);
  assert.deepEqual(
    fills.filter((colour) => colour !== '#fff'),
    ['#3b82d6', '#7d8590'],
  );
  for (const text of ['hushlb run, with a name of forty letters', '1,234.6', '2.0'])
    assert.ok(svg.includes(`>${text}</text>`), text);
});

test('results are written with the command that reproduces each', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
  try {
    writeResults(folder, {
      machine: {
        processor: 'one core',
        memory: '1 GiB',
        kernel: 'Linux',
        node: 'Node',
        commit: 'abc',
        date: '2026-11-23',
      },
      quick: false,
      only: ['cost'],
      cases: [
        {
          benchCase: { name: 'cost', title: 'Cost', about: 'What a packet costs.' },
          result: {
            tables: [{ title: 'Costs', says: 'What they are.', head: ['flows', 'ns'], rows: [['1', 2]] }],
            charts: [chart],
            targets: [target],
            notes: ['No compiler.'],
          },
        },
      ],
    });
    const page = readFileSync(join(folder, 'RESULTS.md'), 'utf8');
    for (const part of [
      "Generated by `npm run bench -- --only cost --report`; don't edit.\n",
      'is the median of the rounds, with the smallest and the largest of them',
      'one core · 1 GiB · Linux · Node · abc · 2026-11-23',
      '| cost | at most 2.0 times | 2.5 times | no, by 25 % |',
      '## Cost\n\nWhat a packet costs.\n\nReproduce with `npm run bench -- --only cost`.',
      '![Cost <of> a packet](plots/cost.svg)',
      '- No compiler.',
    ]) {
      assert.ok(page.includes(part), part);
    }
    assert.deepEqual(readdirSync(join(folder, 'plots')), ['cost.svg']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
