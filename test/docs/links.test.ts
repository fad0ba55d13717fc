/** What the pages and the sources' comments point to is there: links, their anchors, files and metrics by name. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { test } from 'node:test';
import { CATALOGUE } from '../../metrics/catalogue.ts';
import { anchorsOf, CURRENT_PAGES, FILES, PAGES, ROOT, withoutBlocks } from './pages.ts';

const FOLDERS = new Set([...FILES].flatMap(foldersAbove));
const NAMES = new Set([...FILES].map((path) => posix.basename(path)));

function foldersAbove(path: string): string[] {
  const folder = posix.dirname(path);
  return folder === '.' ? [] : [folder, ...foldersAbove(folder)];
}

test('every link within the project leads to a file, and to a heading in it', () => {
  const broken: string[] = [];
  let links = 0;
  for (const { path, text } of PAGES) {
    for (const [, link] of withoutBlocks(text).matchAll(/\]\((?!\w+:)([^)\s]+)\)/g)) {
      links++;
      const [to, anchor] = link.split('#');
      const file = to === '' ? path : posix.join(posix.dirname(path), to).replace(/\/$/, '');
      const isThere = FILES.has(file) || FOLDERS.has(file);
      const hasAnchor = anchor === undefined || (isThere && anchorsOf(readFileSync(ROOT + file, 'utf8')).has(anchor));
      if (!isThere || !hasAnchor) broken.push(`${path}: ${link}`);
    }
  }
  assert.ok(links > 150);
  assert.deepEqual(broken, []);
});

/** `wire/flow.ts`, or `flow.ts` where the sentence has named the folder before; no words with a dot, no `…-routes.ts`. */
const FILE_NAME = /(?<![\w/.…-])(?:[\w-]+\/)*[\w][\w.-]*\.(?:ts|mjs|md|svg|service)\b/g;
const COMMENT = /\/\*[\s\S]*?\*\/|\/\/.*/g;
const FOREIGN = new Set([
  // Of Google's GLB director and of the examples.
  'gue-header.md',
  'NAME.ts',
]);

test('every file that a page or a comment names exists', () => {
  const sources = [...FILES].filter((path) => /\.(?:ts|mjs)$/.test(path) && !path.startsWith('test/'));
  const texts = [
    ...CURRENT_PAGES,
    ...sources.map((path) => ({
      path,
      text: (readFileSync(ROOT + path, 'utf8').match(COMMENT) ?? []).join('\n'),
    })),
  ];
  const missing: string[] = [];
  let mentions = 0;
  for (const { path, text } of texts) {
    for (const [name] of text.matchAll(FILE_NAME)) {
      mentions++;
      const folder = posix.dirname(path);
      const places = ['', folder, posix.dirname(folder)].map((above) => posix.join(above, name));
      const isThere = places.some((place) => FILES.has(place)) || (!name.includes('/') && NAMES.has(name));
      if (!isThere && !FOREIGN.has(posix.basename(name))) missing.push(`${path}: ${name}`);
    }
  }
  assert.ok(mentions > 500);
  assert.deepEqual(missing, []);
});

test('every metric that a page or a dashboard names is one', () => {
  const names = new Set<string>(CATALOGUE.flatMap(({ metrics }) => metrics.map(({ name }) => name)));
  const files = [...FILES].filter((path) => path.startsWith('contrib/'));
  const texts = [...CURRENT_PAGES, ...files.map((path) => ({ path, text: readFileSync(ROOT + path, 'utf8') }))];
  const unknown: string[] = [];
  let mentions = 0;
  for (const { path, text } of texts) {
    for (const [name] of text.matchAll(/\bhushlb_[a-z0-9_]+/g)) {
      mentions++;
      const base = name.replace(/_(?:bucket|sum|count)$/, '');
      if (!names.has(name) && !names.has(base) && !name.endsWith('_')) unknown.push(`${path}: ${name}`);
    }
  }
  assert.ok(mentions > 100);
  assert.deepEqual(unknown, []);
});
