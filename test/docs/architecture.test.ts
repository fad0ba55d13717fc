/** docs/architecture.md has every file of the two large folders in its map, each once, and no other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FILES, ROOT } from './pages.ts';

const PAGE = readFileSync(`${ROOT}docs/architecture.md`, 'utf8');

for (const folder of ['lb', 'io']) {
  test(`${folder}/`, () => {
    const [, rest] = PAGE.split(`\n| in \`${folder}/\` | files |\n`);
    const [table] = rest.split('\n\n');
    const cells = [...table.matchAll(/^\|[^|]*\| (.*) \|$/gm)].map(([, cell]) => cell);
    const listed = cells.flatMap((cell) => [...cell.matchAll(/`([\w-]+)`/g)].map(([, name]) => name));
    const there = [...FILES].flatMap((path) => new RegExp(`^${folder}/([\\w-]+)\\.ts$`).exec(path)?.[1] ?? []);
    const missing = there.filter((name) => !listed.includes(name));
    assert.deepEqual(missing, [], 'the map has every file');
    assert.deepEqual(listed.toSorted(), there.toSorted());
  });
}
