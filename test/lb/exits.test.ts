/** docs/packet-walk.md against the exits that there are: its table has each once, its picture all. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EXITS } from '../../lb/exits.ts';

// The test runs from dist/, and from the sources alike.
const root = import.meta.url.includes('/dist/') ? '../../../' : '../../';
const text = readFileSync(new URL(`${root}docs/packet-walk.md`, import.meta.url), 'utf8');
const names = EXITS.map(({ verdict, reason }) => `${verdict}: ${reason}`);

test('the table has a row for each exit', () => {
  const [, section] = text.split('## The exits');
  const rows = [...section.matchAll(/^\| (\w+) \| ([\w-]+) \|/gm)].map(
    ([, verdict, reason]) => `${verdict}: ${reason}`,
  );
  assert.deepEqual(rows.filter((row) => row !== 'verdict: reason').toSorted(), names.toSorted());
});

test('the picture shows each of them', () => {
  const [, picture] = text.split('```');
  const shown = new Set<string>();
  let verdict = '';
  for (const line of picture.split('\n')) {
    // Reasons stand behind a verdict, with a dot between two, and go on in the next line behind a dot.
    const [, named, behind] = /(?:►|▼) (forward|reset|answer|pass|hold|drop): (.*)/.exec(line) ?? [];
    const list = named === undefined && verdict !== '' ? line.replaceAll(/[│└├─]/g, ' ') : (behind ?? '');
    verdict = named ?? verdict;
    if (verdict === '') continue;
    const reasons = list
      .trim()
      .split(/ · ?/)
      .filter((reason) => reason !== '');
    for (const reason of reasons) shown.add(`${verdict}: ${/^[a-z-]+/.exec(reason)?.[0]}`);
    if (!list.trimEnd().endsWith('·')) verdict = '';
  }
  assert.deepEqual([...shown].toSorted(), names.toSorted());
});
