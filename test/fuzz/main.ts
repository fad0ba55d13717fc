/** `npm run fuzz`: mutated packets and captures for ten minutes, or `--seconds N`; `--seed N` does the same again. */
import { parseArgs } from 'node:util';
import { type FuzzState, runFuzz } from './run.ts';

const DIRECTORY = 'found';
const USAGE = `npm run fuzz -- [--seconds N] [--seed N]

Sends mutated packets through the forwarder and reads mutated captures, for
ten minutes or --seconds. A case that breaks one of them is written to
${DIRECTORY}/, and ends the run with 1; --seed does the same run again.
`;

function numberOf(name: string, text: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= most) return value;
  process.stderr.write(`hushlb: --${name}: expected a whole number up to ${most}, got ${JSON.stringify(text)}\n`);
  process.exit(2);
}

function optionsOf(): { seconds: number; seed: number } {
  try {
    const { values } = parseArgs({
      options: { seconds: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean' } },
    });
    if (values.help === true) {
      process.stdout.write(USAGE);
      process.exit(0);
    }
    return {
      seconds: numberOf('seconds', values.seconds ?? '600', 86_400 * 7),
      seed: numberOf('seed', values.seed ?? String(Date.now() % 2 ** 32), 2 ** 32 - 1),
    };
  } catch (error) {
    process.stderr.write(`hushlb: ${(error as Error).message.split('\n')[0]}\n`);
    process.exit(2);
  }
}

const { seconds, seed } = optionsOf();
const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => interrupted.abort(name));
process.stdout.write(`fuzz: ${seconds} s; again: npm run fuzz -- --seed ${seed}\n`);
const told = ({ seconds: passed, packets, files }: FuzzState): string =>
  `${passed.toFixed(0)} s: ${packets.toLocaleString('en')} packets, ${files.toLocaleString('en')} captures`;
const result = await runFuzz({
  seed,
  seconds,
  directory: DIRECTORY,
  signal: interrupted.signal,
  progress: process.stderr.isTTY ? (state) => void process.stderr.write(`\r\x1b[Kfuzz: ${told(state)}`) : undefined,
});
if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
process.stdout.write(`fuzz: ${told(result)}, ${result.found === undefined ? 'nothing found' : 'found:'}\n`);
if (result.found !== undefined) {
  process.stdout.write(`${result.found.error}\nfuzz: the case is in ${result.found.path}\n`);
  process.exitCode = 1;
}
if (interrupted.signal.aborted) process.exitCode = 130;
