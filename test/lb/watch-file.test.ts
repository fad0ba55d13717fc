/**
 * The watched file by itself: which names on the way to it matter, and what a look at it leads to. Real files and real
 * notifications of the kernel, over a control plane that only notes what it is asked.
 */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import type { ControlPlane } from '../../lb/control-plane.ts';
import { type FileWatch, followFile, namesOnTheWay } from '../../lb/watch-file.ts';

const PATIENCE_MS = 60_000;
const logger = pino({ level: 'silent' });

let directory: string;
let file: string;
let watch: FileWatch | undefined;

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'hushlb-test-watch-')));
  file = join(directory, 'hushlb.yaml');
});
afterEach(() => {
  watch?.close();
  rmSync(directory, { recursive: true });
});

/** Takes over every text that does not begin with "bad", and counts how often somebody looked. */
function follow(): { readonly taken: string[]; looks(): number; refusals(): number; setWatch(on: boolean): void } {
  const taken: string[] = [];
  let [looks, refusals, isOn, text] = [0, 0, true, 'first'];
  const config = {
    get watch() {
      looks++;
      return isOn;
    },
  };
  const control = {
    file,
    parts: { prepared: { config } },
    fileText: () => text,
    async change() {
      const next = readFileSync(file, 'utf8');
      if (next.startsWith('bad')) {
        refusals++;
        throw new Error('refused');
      }
      text = next;
      taken.push(next);
    },
  } as unknown as ControlPlane;
  watch = followFile(control, logger);
  return {
    taken,
    looks: () => looks,
    refusals: () => refusals,
    setWatch(on) {
      isOn = on;
    },
  };
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, 'it did not happen');
    await pause(5);
  }
}

/** Writes, and waits until somebody has looked at it. */
async function write(text: string, looks: () => number): Promise<void> {
  const before = looks();
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
  await until(() => looks() > before);
}

test('a text that is another is taken over, the same one is not', async () => {
  writeFileSync(file, 'first');
  const { taken, looks } = follow();
  await until(() => looks() === 1);
  await write('second', looks);
  await until(() => taken.length === 1);
  await write('second', looks);
  await write('third', looks);
  await until(() => taken.length === 2);
  assert.deepEqual(taken, ['second', 'third']);
});

test('what was written before the watch began is taken over, too', async () => {
  writeFileSync(file, 'written while it started');
  const { taken } = follow();
  await until(() => taken.length === 1);
});

test('a bad text is refused once, until there was another', async () => {
  writeFileSync(file, 'first');
  const { looks, refusals } = follow();
  await until(() => looks() === 1);
  for (const text of ['bad', 'bad', 'bad']) await write(text, looks);
  await until(() => refusals() === 1);
  await write('first', looks);
  await write('bad', looks);
  await until(() => refusals() === 2);
});

test('nothing is taken over while watch is false', async () => {
  writeFileSync(file, 'first');
  const { taken, looks, setWatch } = follow();
  await until(() => looks() === 1);
  setWatch(false);
  await write('second', looks);
  setWatch(true);
  await write('third', looks);
  await until(() => taken.length > 0);
  assert.deepEqual(taken, ['third']);
});

test('a file that is away for a moment is waited for', async () => {
  writeFileSync(file, 'first');
  const { taken, looks } = follow();
  await until(() => looks() === 1);
  rmSync(file);
  await until(() => looks() === 2);
  await write('second', looks);
  await until(() => taken.length === 1);
});

test('every link on the way counts, in the middle of a path as at its end', () => {
  for (const version of ['one', 'two']) mkdirSync(join(directory, version));
  writeFileSync(join(directory, 'one', 'hushlb.yaml'), 'x');
  symlinkSync('one', join(directory, '..data'));
  symlinkSync('..data/hushlb.yaml', file);
  const names = namesOnTheWay(file);
  assert.deepEqual([...(names.get(directory) ?? [])].sort(), ['..data', 'hushlb.yaml']);
  assert.deepEqual([...(names.get(join(directory, 'one')) ?? [])], ['hushlb.yaml']);
  rmSync(join(directory, '..data'));
  symlinkSync('hushlb.yaml', join(directory, '..data'));
  assert.ok(namesOnTheWay(file).size > 0, 'a loop ends');
});
