/**
 * The watched file by itself: which names on the way to it matter, and what a look at it leads to. Real files and real
 * notifications of the kernel, over a control plane that only notes what it is asked.
 */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
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

/** How many directories this process watches: the lines of inotify in proc_pid_fdinfo(5). */
function watchedDirectories(): number {
  const infos = readdirSync('/proc/self/fdinfo').flatMap((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').split('\n');
    } catch {
      // That of the directory that was read.
      return [];
    }
  });
  return infos.filter((line) => line.startsWith('inotify wd:')).length;
}

/** Takes over every text that does not begin with "bad", and counts how often somebody looked. */
function follow(isOn = true): {
  readonly taken: string[];
  looks(): number;
  refusals(): number;
  setWatch(on: boolean): void;
} {
  const taken: string[] = [];
  let [reads, refusals, text] = [0, 0, 'first'];
  /** Who begins to watch asks once where the file is. */
  let begun = isOn ? 1 : 0;
  let inForce: (config: { watch: boolean }) => void = () => {};
  const control = {
    get file() {
      reads++;
      return file;
    },
    parts: { prepared: { config: { watch: isOn } } },
    fileText: () => text,
    onInForce(listener: typeof inForce) {
      inForce = listener;
      return () => (inForce = () => {});
    },
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
    looks: () => reads - begun,
    refusals: () => refusals,
    setWatch(on) {
      if (on) begun++;
      inForce({ watch: on });
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

test('while watch is false nothing is watched; what was written meanwhile is taken over once it is true', async () => {
  writeFileSync(file, 'first');
  const { taken, looks, setWatch } = follow(false);
  assert.equal(watchedDirectories(), 0);
  setWatch(true);
  assert.ok(watchedDirectories() > 0);
  await until(() => looks() === 1);
  setWatch(false);
  assert.equal(watchedDirectories(), 0);
  writeFileSync(file, 'second');
  setWatch(true);
  await until(() => taken.length === 1);
  assert.deepEqual(taken, ['second']);
  watch?.close();
  setWatch(true);
  assert.equal(watchedDirectories(), 0);
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
