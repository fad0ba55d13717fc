/** The AF_XDP device where hushlb has it: on a thread of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { inNamespace } from '../../io/namespace.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { createSteering } from '../../io/xdp-steering.ts';
import { tcpFrame } from '../packets.ts';
import { echoOf } from './device-cases.ts';
import type { EchoWorkerData } from './echo-worker.ts';
import { openPacketSocket } from './packet-socket.ts';
import { web } from './steering-rows.ts';
import { makeTwoHosts, needsRoot, until } from './two-hosts.ts';

test('in a worker thread, with ping-pong between both sides', { skip: needsRoot }, async () => {
  const hosts = makeTwoHosts();
  const peer = openPacketSocket(hosts.right, 'right');
  const steering = createSteering({ queueCount: 1 });
  const { programFd, socketMapFd } = steering;
  steering.setServices([web]);
  const interfaceIndex = inNamespace(hosts.left, () => requireLink('left').index);
  const state = new SharedArrayBuffer(4);
  const flag = new Int32Array(state);
  const workerData: EchoWorkerData = { namespace: hosts.left, interfaceIndex, socketMapFd, state };
  const worker = new Worker(new URL('./echo-worker.js', import.meta.url), { workerData });
  const result = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  try {
    await until('the worker to be ready', () => Atomics.load(flag, 0) === 1);
    const attachment = inNamespace(hosts.left, () => attachXdp({ programFd, interfaceIndex, mode: 'auto' }));
    for (let i = 0; i < 500; i++) {
      peer.send(tcpFrame({ sequence: i }));
      assert.deepEqual(peer.receive(), echoOf(tcpFrame({ sequence: i })));
    }
    Atomics.store(flag, 0, 2);
    assert.deepEqual(await result, { echoed: 500, frames: { free: 2048, receiving: 2048, inBatch: 0, sending: 0 } });
    attachment.detach();
  } finally {
    await worker.terminate();
    steering.close();
    peer.close();
    hosts.remove();
  }
});
