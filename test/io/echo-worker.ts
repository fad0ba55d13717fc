/** A worker thread that sends every frame back with its MAC addresses swapped, until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import { createAfXdpDevice } from '../../io/af-xdp-device.ts';
import { inNamespace } from '../../io/namespace.ts';
import { echoBatch } from './echo.ts';

export interface EchoWorkerData {
  readonly namespace: string;
  readonly interfaceIndex: number;
  readonly socketMapFd: number;
  /** One 32-bit word: 1 when the worker is ready, 2 to stop it. */
  readonly state: SharedArrayBuffer;
}

const { namespace, interfaceIndex, socketMapFd, state } = workerData as EchoWorkerData;
const flag = new Int32Array(state);
const device = inNamespace(namespace, () => createAfXdpDevice({ interfaceIndex, queues: [0], socketMapFd }));
Atomics.store(flag, 0, 1);
Atomics.notify(flag, 0);
let echoed = 0;
while (Atomics.load(flag, 0) === 1) {
  echoed += device.receive(20);
  echoBatch(device);
}
while (device.queues[0].checkFrames().sending > 0) device.receive(1);
const frames = device.queues[0].checkFrames();
device.close();
parentPort?.postMessage({ echoed, frames });
