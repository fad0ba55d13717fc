/**
 * The process of case `workers`: some worker threads, each with a forwarder and tables of its own, as the daemon has one a
 * receive queue. Arguments: FLOWS THREADS WARM_UP_PACKETS. Prints `ready`; reads lines `THREADS PACKETS` from stdin, has so many
 * of them decide about so many packets each at the same time, and answers with the nanoseconds until the last is done.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { widenInlining } from '../../lb/inlining.ts';
import { MODES } from '../decision/modes.ts';
import type { WorkerOrder } from './worker.ts';

widenInlining();
const [flows, threads, warmUpPackets] = process.argv.slice(2).map(Number);
const workers = Array.from({ length: threads }, (_, core) => {
  const workerData: WorkerOrder = { mode: MODES[0].name, flows, warmUpPackets, core };
  return new Worker(new URL('./worker.js', import.meta.url), { workerData });
});
await Promise.all(workers.map((worker) => once(worker, 'message')));
process.stdout.write('ready\n');

for await (const line of createInterface({ input: process.stdin })) {
  const [count, packets] = line.split(' ').map(Number);
  const busy = workers.slice(0, count);
  const start = process.hrtime.bigint();
  const done = busy.map((worker) => once(worker, 'message'));
  for (const worker of busy) worker.postMessage(packets);
  await Promise.all(done);
  process.stdout.write(`${process.hrtime.bigint() - start}\n`);
}
process.exit(0);
