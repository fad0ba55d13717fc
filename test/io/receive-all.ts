/**
 * Receiving with patience: where the machine is busy, the kernel hands packets over on its own thread, a little later. Not a
 * test.
 */
import assert from 'node:assert/strict';
import type { PacketDevice } from '../../io/device.ts';

const PATIENCE_MS = 30_000;
const NOTHING = new Int32Array(new SharedArrayBuffer(4));

/** Receives `count` frames, batch by batch, handing each batch to `work`, which must send it. */
export function receiveAll(device: PacketDevice, count: number, work: () => void): void {
  for (let received = 0; received < count; ) {
    const got = device.receive(PATIENCE_MS);
    assert.notEqual(got, 0, `${received} of ${count} frames came`);
    received += got;
    work();
  }
}

/** Blocks the thread until `condition` holds. */
export function arrived(what: string, condition: () => boolean): void {
  for (const end = performance.now() + PATIENCE_MS; !condition(); ) {
    assert.ok(performance.now() < end, `waited in vain: ${what}`);
    Atomics.wait(NOTHING, 0, 0, 1);
  }
}

/**
 * Blocks the thread until frames that the kernel has counted lie in the ring: it shows all of a poll's frames together, when
 * it ends the poll, which it does not leave before.
 */
export function afterPoll(): void {
  Atomics.wait(NOTHING, 0, 0, 20);
}
