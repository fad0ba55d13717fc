/**
 * A worker thread of case `workers`: decides as the subject of decision-cost does, when it is told to. Receives a number of
 * packets, answers with 'done'; the first answer means that it is warm.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { pinThread } from '../../io/affinity.ts';
import { createDrive } from '../decision/drive.ts';
import { BATCH, modeNamed } from '../decision/modes.ts';

export interface WorkerOrder {
  readonly mode: string;
  readonly flows: number;
  readonly warmUpPackets: number;
  /** The core that it stays on, from 0. */
  readonly core: number;
}

/** Left to itself the kernel may keep two threads of a process on one core for seconds. Where it refuses, it has its way. */
function pinTo(core: number): void {
  try {
    pinThread(core);
  } catch {}
}

export function wholeBatches(packets: number): number {
  return Math.ceil(packets / BATCH) * BATCH;
}

if (parentPort !== null) {
  const port = parentPort;
  const { mode, flows, warmUpPackets, core } = workerData as WorkerOrder;
  pinTo(core);
  const drive = createDrive(modeNamed(mode), flows);
  drive.send('open', wholeBatches(flows));
  drive.send('run', wholeBatches(warmUpPackets));
  port.on('message', (packets: number) => {
    drive.send('run', wholeBatches(packets));
    port.postMessage('done');
  });
  port.postMessage('done');
}
