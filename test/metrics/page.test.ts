/** docs/metrics.md is what the catalogue says, and the catalogue says all that people need. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CATALOGUE } from '../../metrics/catalogue.ts';
import { metricsPage } from '../../metrics/page.ts';
import { PAGE } from './page-file.ts';

const METRICS = CATALOGUE.flatMap(({ metrics }) => metrics);

test('the page in docs is the one that the catalogue makes', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), metricsPage(), 'write it anew: npm run docs');
});

test('every metric says what it means and what to do, in sentences', () => {
  for (const { name, means, moves } of METRICS) {
    for (const text of [means, moves]) assert.match(text, /^[A-Z0-9`].{15,}[.)]$/, name);
  }
});

test('a metric that is named in a text exists', () => {
  const names = new Set<string>(METRICS.map(({ name }) => name));
  for (const { name, help, means, moves } of METRICS) {
    for (const [mentioned] of `${help} ${means} ${moves}`.matchAll(/hushlb_[a-z_]+/g)) {
      assert.ok(names.has(mentioned), `${name} mentions ${mentioned}`);
    }
  }
});
