/**
 * A reporter for node:test that prints a line for each skipped test or suite and nothing else; run-tests.mjs reads it
 * from a file. The closing summary of node:test does not count skipped suites.
 */
import { relative } from 'node:path';

// biome-ignore lint/style/noDefaultExport: node --test-reporter takes the default export.
export default async function* skips(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.skip === undefined || data.skip === false) continue;
    yield `${relative('', data.file)}: ${data.name}: ${data.skip === true ? 'no reason given' : data.skip}\n`;
  }
}
