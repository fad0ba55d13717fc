/**
 * A minute of fuzzing (test/fuzz/run.ts), another one in each run; `npm run fuzz` takes ten. FUZZ_SEED=N does one again,
 * FUZZ_SECONDS=N takes another time.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { tcpFrame } from '../packets.ts';
import { writeFoundPacket } from './found.ts';
import { mutate } from './mutations.ts';
import { benchOf, walkOne } from './packets.ts';
import { createRandom } from './random.ts';
import { runFuzz } from './run.ts';

const SECONDS = Number(process.env.FUZZ_SECONDS ?? 60);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 32);

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
after(() => rmSync(directory, { recursive: true }));

test(`nothing is found, seed ${SEED}`, async (context) => {
  const found = join(directory, 'found');
  const result = await runFuzz({ seed: SEED, seconds: SECONDS, directory: found });
  context.diagnostic(`${result.packets} packets, ${result.files} captures`);
  assert.equal(result.found, undefined, `${result.found?.error}\n${result.found && readFileSync(result.found.path)}`);
  assert.ok(result.packets > 100 * SECONDS && result.files > SECONDS, 'it did something');
});

test('a seed does the same again, and another one does not', () => {
  const [one, other] = [tcpFrame(), tcpFrame({ flags: 'S', payload: 'another' })];
  const mutations = (seed: number) => {
    const random = createRandom(seed);
    return Array.from({ length: 500 }, () => Buffer.from(mutate(one, random, [other], 3000)).toString('hex'));
  };
  assert.deepEqual(mutations(7), mutations(7));
  assert.notDeepEqual(mutations(7), mutations(8));
  const all = new Set(mutations(9));
  assert.ok(all.size > 450, `${all.size} different ones`);
});

test('a found case becomes a file of rows, with no more of the packet than shows it', () => {
  const row = { name: 'any', service: 'encap: l2', in: tcpFrame(), exit: 'forward' };
  // No packet is a find here: the whole history is kept.
  const path = writeFoundPacket(
    { row, frames: [tcpFrame(), tcpFrame({ flags: 'S' })], error: new Error('why') },
    42,
    directory,
  );
  const text = readFileSync(path, 'utf8');
  assert.match(text, /--seed 42`: Error: why$/m);
  assert.match(text, /^ {4}service: "encap: l2",$/m);
  assert.equal(text.match(/frame\('[0-9a-f]+'\)/g)?.length, 2);
  assert.ok(readdirSync(directory).includes('found-42.ts'));
});

test('a good packet keeps every promise', () => {
  walkOne(benchOf({ name: 'any', in: tcpFrame(), exit: 'forward' }), tcpFrame(), 0);
});
