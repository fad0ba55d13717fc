/** The device that tests stand on: it must notice every mistake of a forwarder. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { PASS, RELEASE, TRANSMIT } from '../../io/device.ts';
import { createMemoryDevice, type MemoryDevice } from '../../io/memory-device.ts';

const frame = (...bytes: number[]) => Uint8Array.from(bytes);

function receivedFrames(device: MemoryDevice): Uint8Array[] {
  return Array.from({ length: device.batch.count }, (_, i) =>
    new Uint8Array(device.view.buffer).slice(device.batch.offset[i], device.batch.offset[i] + device.batch.length[i]),
  );
}

describe('memory device', () => {
  test('frames come in order, in batches, with their headroom', () => {
    const device = createMemoryDevice({ frameCount: 8, batchSize: 2 });
    for (const byte of [1, 2, 3]) assert.equal(device.inject(frame(byte, byte)), true);
    assert.equal(device.receive(1000), 2);
    assert.deepEqual(receivedFrames(device), [frame(1, 1), frame(2, 2)]);
    for (let i = 0; i < 2; i++) assert.equal(device.batch.offset[i] % 2048, 256);
    assert.equal(device.headroom, 256);
    device.batch.action.fill(RELEASE);
    device.send();
    assert.equal(device.receive(1000), 1);
    assert.deepEqual(receivedFrames(device), [frame(3, 3)]);
    device.batch.action.fill(RELEASE);
    device.send();
    assert.equal(device.receive(1000), 0);
    assert.equal(device.released, 3);
  });

  test('each action has its place, and what was sent is a copy', () => {
    const device = createMemoryDevice({ frameCount: 3 });
    for (const byte of [1, 2, 3]) device.inject(frame(byte));
    device.receive(0);
    device.batch.action.set([TRANSMIT, PASS, RELEASE]);
    device.send();
    for (const byte of [7, 8, 9]) assert.equal(device.inject(frame(byte)), true);
    assert.deepEqual([device.sent, device.passed, device.released], [[frame(1)], [frame(2)], 1]);
  });

  test('a frame may grow into the headroom and shrink', () => {
    const device = createMemoryDevice({ frameCount: 1 });
    device.inject(frame(5, 6, 7));
    device.receive(0);
    device.batch.offset[0] -= 256;
    device.batch.length[0] = 256 + 2;
    device.view.setUint8(device.batch.offset[0], 0xee);
    device.batch.action[0] = TRANSMIT;
    device.send();
    const [sent] = device.sent;
    assert.equal(sent.length, 258);
    assert.deepEqual([sent[0], sent[256], sent[257]], [0xee, 5, 6]);
  });

  test('around a frame lies filler, never an older frame', () => {
    const device = createMemoryDevice({ frameCount: 1, frameSize: 512 });
    for (const length of [256, 3]) {
      device.inject(new Uint8Array(length));
      device.receive(0);
      if (length === 256) device.batch.action[0] = RELEASE;
      if (length === 256) device.send();
    }
    const memory = [...new Uint8Array(device.view.buffer)];
    assert.deepEqual(memory, [...Array(256).fill(0xa5), 0, 0, 0, ...Array(253).fill(0xa5)]);
  });

  test('no frame longer than a chunk has room, none when all chunks are taken', () => {
    const device = createMemoryDevice({ frameCount: 2, frameSize: 300 });
    assert.equal(device.inject(new Uint8Array(45)), false);
    assert.equal(device.inject(new Uint8Array(44)), true);
    assert.equal(device.inject(new Uint8Array(0)), true);
    assert.equal(device.inject(new Uint8Array(0)), false);
    assert.equal(device.receive(0), 2);
    assert.equal(device.inject(new Uint8Array(0)), false, 'frames of the batch still own their chunks');
    assert.deepEqual([...device.batch.length.subarray(0, 2)], [44, 0]);
    assert.throws(() => createMemoryDevice({ frameCount: 1, frameSize: 256 }), RangeError);
  });

  test('appended frames go out behind the others; -1 where the batch is full or no chunk is free', () => {
    const device = createMemoryDevice({ frameCount: 4, frameSize: 300, batchSize: 3 });
    device.inject(frame(1));
    device.inject(frame(2));
    assert.equal(device.receive(0), 2);
    assert.equal(device.append(45), -1, 'longer than a chunk has room');
    assert.equal(device.append(44), 2);
    assert.deepEqual([device.batch.count, device.batch.length[2], device.batch.action[2]], [3, 44, TRANSMIT]);
    for (let i = 0; i < 44; i++) assert.equal(device.view.getUint8(device.batch.offset[2] + i), 0xa5);
    assert.equal(device.append(1), -1, 'the batch is full');
    device.batch.action.set([RELEASE, TRANSMIT]);
    device.send();
    assert.deepEqual(device.sent, [frame(2), new Uint8Array(44).fill(0xa5)]);

    device.inject(frame(3));
    device.inject(frame(4));
    for (const row of [0, 1]) {
      assert.equal(device.append(2), row);
      device.view.setUint16(device.batch.offset[row], row);
    }
    assert.equal(device.append(2), -1, 'two wait, two are appended');
    device.send();
    assert.deepEqual(device.sent.slice(2), [frame(0, 0), frame(0, 1)]);
    assert.equal(device.receive(0), 2);
  });

  test("the forwarder's mistakes are thrown", () => {
    const device = createMemoryDevice({ frameCount: 4 });
    const one = () => {
      device.batch.count = 0;
      device.inject(frame(1));
      device.receive(0);
    };
    one();
    assert.throws(() => device.send(), /frame 0 of the batch has no action/);
    assert.throws(() => device.receive(0), /the last batch was not sent/);
    one();
    device.batch.action[0] = TRANSMIT;
    device.batch.offset[0] -= 257;
    assert.throws(() => device.send(), { name: 'RangeError', message: /lies at -1 to 0 of 2048 bytes/ });
    one();
    device.batch.action[0] = PASS;
    device.batch.length[0] = 2048 - 255;
    assert.throws(() => device.send(), { name: 'RangeError', message: /lies at 256 to 2049 of 2048 bytes/ });
  });

  test('against a model: whatever is injected comes out once, in order, in the place that its action names', () => {
    const inject = fc.uint8Array({ maxLength: 60 });
    const actions = fc.array(fc.constantFrom(RELEASE, TRANSMIT, PASS), { minLength: 3, maxLength: 3 });
    const property = fc.property(fc.array(fc.oneof(inject, actions), { maxLength: 60 }), (steps) => {
      const device = createMemoryDevice({ frameCount: 5, frameSize: 256 + 48, batchSize: 3 });
      const waiting: Uint8Array[] = [];
      const model: Record<number, Uint8Array[]> = { [RELEASE]: [], [TRANSMIT]: [], [PASS]: [] };
      for (const step of steps) {
        if (step instanceof Uint8Array) {
          const fits = waiting.length < 5 && step.length <= 48;
          assert.equal(device.inject(step), fits);
          if (fits) waiting.push(step);
        } else {
          assert.equal(device.receive(0), Math.min(3, waiting.length));
          const batch = waiting.splice(0, 3);
          assert.deepEqual(receivedFrames(device), batch);
          device.batch.action.set(step);
          device.send();
          for (const [i, bytes] of batch.entries()) model[step[i]].push(bytes);
        }
      }
      assert.deepEqual(device.sent, model[TRANSMIT]);
      assert.deepEqual(device.passed, model[PASS]);
      assert.equal(device.released, model[RELEASE].length);
    });
    fc.assert(property, { numRuns: 300 });
  });
});
