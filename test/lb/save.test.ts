/** What a saved file stays: a link, a file with its rights; and what is never replaced. Edits of others: control-plane.test.ts. */
import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { saveFile } from '../../lb/save.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-save-'));
after(() => rmSync(directory, { recursive: true }));

test('a symbolic link stays one, and the file that it leads to keeps its rights', () => {
  const file = join(directory, 'real.yaml');
  const link = join(directory, 'link.yaml');
  writeFileSync(file, 'old', { mode: 0o640 });
  symlinkSync('real.yaml', link);
  saveFile(link, 'new', 'old');
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.equal(readFileSync(file, 'utf8'), 'new');
  assert.equal(statSync(file).mode & 0o777, 0o640);
});

test('what is no file is left alone', () => {
  const folder = join(directory, 'folder');
  mkdirSync(folder);
  const device = join(directory, 'device');
  symlinkSync('/dev/null', device);
  for (const path of [folder, device]) {
    assert.throws(() => saveFile(path, 'new', null), {
      code: 'SAVE_FAILED',
      message: `${path} is there already and is no file: nothing was saved`,
    });
  }
  assert.ok(statSync('/dev/null').isCharacterDevice());
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.endsWith('.new')),
    [],
  );
});
