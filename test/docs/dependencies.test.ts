/** docs/decisions/0001-dependencies.md gives a reason for each package that is asked for, and their versions are exact. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ROOT } from './pages.ts';

type Versions = Readonly<Record<string, string>>;

const { dependencies, devDependencies, optionalDependencies }: Record<string, Versions> = JSON.parse(
  readFileSync(`${ROOT}package.json`, 'utf8'),
);
const PAGE = readFileSync(`${ROOT}docs/decisions/0001-dependencies.md`, 'utf8');

/** The packages of the rows that say so of themselves. */
function listed(mark: string): string[] {
  return [...PAGE.matchAll(/^\| ([@\w/, -]+?)(?: \((\w+)\))? \|/gm)]
    .filter(([, names, said = '']) => said === mark && names !== 'package')
    .flatMap(([, names]) => names.split(', '));
}

for (const [mark, versions] of [
  ['', dependencies],
  ['dev', devDependencies],
  ['optional', optionalDependencies],
] as const) {
  test(`every ${mark || 'runtime'} dependency has its line and an exact version`, () => {
    assert.deepEqual(listed(mark).toSorted(), Object.keys(versions).toSorted());
    for (const [name, version] of Object.entries(versions)) assert.match(version, /^\d+\.\d+\.\d+$/, name);
  });
}
