/**
 * `node --import ./scripts/give-way.mjs scripts/run-lanes.mjs SKIP_FILE TIMEOUT_MS FILE…`: node:test over the files, the live ones
 * one at a time, and beside them the quiet ones (lanes.mjs), two at a time, which give way to them: a live one waits for most of
 * its time. It is one run with one closing summary. run-tests.mjs starts it as a process of its own.
 *
 * What the quiet lane has to say is told after the live one's. Each lane ends with node:test's numbers (`tests 12`, `pass 12`,
 * …). They are held back and put together, so that the last lines count all tests.
 */
import { createWriteStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { lanesOf } from './lanes.mjs';
import skips from './skips.mjs';

const TOTAL = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/;

const [skipFile, timeoutMs, ...files] = process.argv.slice(2);
const { quiet, live } = lanesOf(files);
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    process.exitCode = 1;
    interrupted.abort();
  });
}

function start(files, concurrency, timeout) {
  if (files.length === 0) return [];
  const events = run({ files, concurrency, timeout, signal: interrupted.signal });
  // As much as comes: while one lane is told of, the other one goes on.
  return events.pipe(new PassThrough({ objectMode: true, highWaterMark: Number.MAX_SAFE_INTEGER }));
}

/** Of both lanes, which begin at the same time. */
function together(what, one, other) {
  return what === 'duration_ms' ? Math.max(one, other) : one + other;
}

async function* lanes() {
  const totals = new Map();
  const timeout = Number(timeoutMs);
  // Who gives way may need longer.
  for (const lane of [start(live, 1, timeout), start(quiet, 2, 2 * timeout)]) {
    for await (const event of lane) {
      if (event.type === 'test:fail' && event.data.todo === undefined) process.exitCode = 1;
      const total = event.type === 'test:diagnostic' && event.data.nesting === 0 && TOTAL.exec(event.data.message);
      if (total) totals.set(total[1], together(total[1], totals.get(total[1]) ?? 0, Number(total[2])));
      // With numbers of the lane alone, in newer versions of Node.
      else if (event.type !== 'test:summary') yield event;
    }
  }
  for (const [what, count] of totals) {
    yield { type: 'test:diagnostic', data: { nesting: 0, message: `${what} ${Number(count.toFixed(3))}` } };
  }
}

const events = Readable.from(lanes());
const toTerminal = events.pipe(new PassThrough({ objectMode: true })).compose(new spec());
const toFile = events.pipe(new PassThrough({ objectMode: true })).compose(skips);
toTerminal.pipe(process.stdout, { end: false });
const list = toFile.pipe(createWriteStream(skipFile));
// That what is composed has been read to its end: its other side ends unseen in newer versions of Node.
await Promise.all([finished(toTerminal, { writable: false }), finished(list)]);
