/** docs/operations.md names commands and options that there are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { hushlb } from './command.ts';

const PAGE = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');

test('every command line of the page is one that hushlb knows', async () => {
  const blocks = [...PAGE.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block);
  const quoted = [...PAGE.matchAll(/`(hushlb [a-z][^`]*)`/g)].map(([, line]) => line);
  const lines = [...blocks.flatMap((block) => block.split('\n')), ...quoted]
    .map((line) => line.replace(/ #.*/, '').trim())
    .filter((line) => line.startsWith('hushlb '));
  assert.ok(lines.length > 15);
  const wanted = new Map<string, Set<string>>();
  for (const line of lines) {
    const [, command, ...rest] = line.split(/\s+/);
    const path = rest[0] === 'list' ? `${command} list` : command;
    const options = rest.filter((word) => word.startsWith('-'));
    wanted.set(path, new Set([...(wanted.get(path) ?? []), ...options]));
  }
  await Promise.all(
    Array.from(wanted, async ([path, options]) => {
      const { code, stdout } = await hushlb([...path.split(' '), '--help'], { COLUMNS: '160' });
      assert.equal(code, 0, path);
      assert.match(stdout, new RegExp(`^hushlb ${path}\\b`), path);
      for (const option of options) assert.match(stdout, new RegExp(`^ .*${option}[ ,]`, 'm'), `${path} ${option}`);
    }),
  );
});
