/** What a saved file stays: a link, a file with its rights, whole; and what is never replaced. Edits of others: control-plane.test.ts. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
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
import { setTimeout as pause } from 'node:timers/promises';
import { saveFile } from '../../lb/save.ts';
import { needsRoot } from '../io/two-hosts.ts';

const NOBODY = 65_534;

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

test("another user's file stays one: who cannot give it back does not replace it", { skip: needsRoot }, () => {
  const folder = join(directory, 'shared');
  mkdirSync(folder);
  chmodSync(directory, 0o755);
  chownSync(folder, NOBODY, 0);
  const file = join(folder, 'hushlb.yaml');
  writeFileSync(file, 'old', { mode: 0o644 });
  process.seteuid?.(NOBODY);
  try {
    const what = `${file} belongs to 0:0, and hushlb, which runs as ${NOBODY}:0, would take it away`;
    assert.throws(() => saveFile(file, 'new', 'old'), {
      code: 'SAVE_FAILED',
      message: `${what}: chown ${NOBODY}:0 ${file}; nothing was saved`,
    });
  } finally {
    process.seteuid?.(0);
  }
  assert.deepEqual([readdirSync(folder), readFileSync(file, 'utf8')], [['hushlb.yaml'], 'old']);
});

/** Saves one text after the other, each many times longer than a pipe or a page, until it is killed. */
const SAVER = `
  const { saveFile } = await import(process.argv[1]);
  for (let i = 0; ; i++) {
    saveFile(process.argv[2], 'AB'[i % 2].repeat(1 << 21), null);
    if (i === 0) console.log('saved');
  }`;
const KILLS = 8;
/** Two saves or so. */
const WITHIN_MS = 20;

test('killed in the middle, seeded: the file is the text before or the one after, and the next save is not in its way', async () => {
  const file = join(directory, 'killed.yaml');
  const [before, after] = ['A', 'B'].map((letter) => letter.repeat(1 << 21));
  const code = new URL('../../lb/save.js', import.meta.url).href;
  let moment = 0x2545_f491;
  let cutOff = 0;
  for (let round = 0; round < KILLS; round++) {
    const words = ['--input-type=module', '-e', SAVER, code, file];
    const saver = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(saver.stdout, 'data');
    moment = (Math.imul(moment, 1_664_525) + 1_013_904_223) >>> 0;
    await pause((moment >>> 8) % WITHIN_MS);
    saver.kill('SIGKILL');
    await once(saver, 'exit');
    const text = readFileSync(file, 'utf8');
    assert.ok(text === before || text === after, `${text.length} bytes`);
    const left = join(directory, `killed.yaml.${saver.pid}.new`);
    cutOff += Number(existsSync(left));
    rmSync(left, { force: true });
  }
  assert.ok(cutOff > 0, 'some were killed in the middle');

  writeFileSync(`${file}.${process.pid}.new`, 'half a fi');
  saveFile(file, 'new', null);
  assert.equal(readFileSync(file, 'utf8'), 'new');
});
