/**
 * Loaded into `hushlb run` by `node --import`, ahead of it: breaks its worker threads from outside, as a bug in one of them
 * would, when a file asks for it. The file's text is what is to happen, `throw`, `exit`, `always-throw` or `hold` (it
 * stands still while the file says so, and there is another one, `….holds`), and the receive queue of whom. Not a test.
 */
import { existsSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

const file = process.env.BREAK_WORKER_FILE ?? '';
const LOOK_EVERY_MS = 5;

/** What is asked for; nothing where the worker that it was meant for has just taken it away. */
function order(): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

function breakDown(queues: readonly number[]): void {
  const [how, queue] = order().split(' ');
  if (!queues.includes(Number(queue))) return;
  if (how === 'hold') {
    writeFileSync(`${file}.holds`, '');
    while (order() === `hold ${queue}`) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY_MS);
    rmSync(`${file}.holds`);
    return;
  }
  if (how !== 'always-throw') unlinkSync(file);
  if (how === 'exit') process.exit(3);
  throw new Error('broken by a test');
}

const queues: readonly number[] | undefined = workerData?.device?.options.queues;
if (!isMainThread && queues !== undefined) {
  // What the worker's loop calls at every turn.
  const load = Atomics.load.bind(Atomics) as (array: Int32Array, index: number) => number;
  let due = 0;
  Object.defineProperty(Atomics, 'load', {
    value(array: Int32Array, index: number): number {
      if (performance.now() > due) {
        due = performance.now() + LOOK_EVERY_MS;
        if (existsSync(file)) breakDown(queues);
      }
      return load(array, index);
    },
  });
}
