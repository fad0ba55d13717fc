/**
 * The process of case `pause` inside its namespace: attaches the steering program, starts the worker (pause/worker.ts) and
 * prints what it measured as a line of JSON. Arguments: WARM_UP_MS MEASURE_MS. Prints `ready` first.
 */
import { Worker } from 'node:worker_threads';
import { widenInlining } from '../../lb/inlining.ts';
import { prepare } from '../../lb/prepare.ts';
import { allocateCounters } from '../../metrics/counters.ts';
import { benchConfig } from '../balancer.ts';
import { decisionState } from '../decision/balancer.ts';
import { BACKENDS } from '../decision/modes.ts';
import { steerService } from '../forwarding/steer.ts';
import type { PauseInput, PauseResult } from './worker.ts';

widenInlining();
const { link, socketMapFd, attach } = steerService();
const config = benchConfig({ backends: BACKENDS });
const [warmUpMs, measureMs] = process.argv.slice(2).map(Number);
const workerData: PauseInput = {
  interfaceIndex: link.index,
  socketMapFd,
  counters: allocateCounters(prepare(config).layout),
  state: decisionState(config),
  warmUpMs,
  measureMs,
};
const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData });
worker.on('message', (message: 'ready' | PauseResult) => {
  if (message === 'ready') attach();
  process.stdout.write(`${message === 'ready' ? message : JSON.stringify(message)}\n`);
});
process.once('SIGTERM', () => process.exit(0));
