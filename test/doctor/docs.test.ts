/**
 * docs/doctor.md lists every finding that there is, and no other.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

test('every finding of doctor/ has its line in docs/doctor.md', () => {
  const sources = readdirSync(join(root, 'doctor')).map((name) => readFileSync(join(root, 'doctor', name), 'utf8'));
  const told = sources
    .flatMap((text) => [...text.matchAll(/\b(?:note|warning|error|bad)\)?\(\s*'([a-z0-9-]+)'/g)])
    .map(([, code]) => code);
  const rows = readFileSync(join(root, 'docs/doctor.md'), 'utf8').matchAll(/^\| (`[a-z0-9`, -]+`) \|/gm);
  const listed = [...rows].flatMap(([, codes]) => codes.split(', ').map((code) => code.replaceAll('`', '')));
  assert.ok(told.length > 40);
  assert.deepEqual([...new Set(listed)].sort(), [...new Set(told)].sort());
});
