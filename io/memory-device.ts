/**
 * A packet device without a network: frames are injected by the caller and collected in arrays. For tests, fuzzing and
 * benchmarks of whatever stands on a PacketDevice.
 *
 * It is stricter than a network card. A frame that was not given an action, that left its chunk of memory, or a batch
 * received before the last one was sent is the forwarder's mistake and throws. Around each injected frame its chunk
 * holds 0xa5, so a read outside of the frame never meets a plausible older frame.
 */
import { createFrameBatch, PASS, type PacketDevice, RELEASE, TRANSMIT } from './device.ts';

/** Bytes in front of each frame, as XDP leaves them. */
const HEADROOM = 256;
const FILLER = 0xa5;
const UNDECIDED = 0xff;

export interface MemoryDeviceOptions {
  /** Frames that can be waiting or in the batch at the same time. */
  readonly frameCount: number;
  /** Bytes of memory for each frame, the headroom of 256 included. */
  readonly frameSize?: number;
  readonly batchSize?: number;
}

export interface MemoryDevice extends PacketDevice {
  /** Queues a copy of `frame`, which may be empty; false when it is longer than a chunk's room or no chunk is free. */
  inject(frame: Uint8Array): boolean;
  /** Copies of the frames that went out and of those given to the kernel, in order. The caller may empty them. */
  readonly sent: Uint8Array[];
  readonly passed: Uint8Array[];
  /** Frames whose memory was reused without going anywhere. */
  readonly released: number;
}

/** `receive` never waits. Throws RangeError when `frameSize` leaves no room for a frame. */
export function createMemoryDevice(options: MemoryDeviceOptions): MemoryDevice {
  const { frameCount, frameSize = 2048, batchSize = 64 } = options;
  if (frameSize <= HEADROOM) throw new RangeError(`frameSize: expected more than ${HEADROOM}, got ${frameSize}`);

  const memory = new Uint8Array(frameCount * frameSize);
  const batch = createFrameBatch(batchSize);
  const chunkOfBatch = new Uint32Array(batchSize);
  const free = Uint32Array.from({ length: frameCount }, (_, chunk) => chunk);
  let freeCount = frameCount;
  const waiting = new Uint32Array(frameCount);
  const waitingLength = new Uint32Array(frameCount);
  let head = 0;
  let waitingCount = 0;

  const sent: Uint8Array[] = [];
  const passed: Uint8Array[] = [];
  let released = 0;

  function frameBytes(index: number): Uint8Array {
    const begin = batch.offset[index];
    const end = begin + batch.length[index];
    const chunk = chunkOfBatch[index] * frameSize;
    if (begin < chunk || end > chunk + frameSize) {
      throw new RangeError(
        `frame ${index} of the batch lies at ${begin - chunk} to ${end - chunk} of ${frameSize} bytes`,
      );
    }
    return memory.slice(begin, end);
  }

  return {
    name: 'memory',
    view: new DataView(memory.buffer),
    batch,
    headroom: HEADROOM,
    sent,
    passed,
    get released() {
      return released;
    },

    inject(frame) {
      if (freeCount === 0 || frame.length > frameSize - HEADROOM) return false;
      const chunk = free[--freeCount];
      const start = chunk * frameSize;
      memory.fill(FILLER, start, start + frameSize);
      memory.set(frame, start + HEADROOM);
      const slot = (head + waitingCount++) % frameCount;
      waiting[slot] = chunk;
      waitingLength[slot] = frame.length;
      return true;
    },

    receive() {
      if (batch.count !== 0) throw new Error('receive: the last batch was not sent');
      const count = Math.min(waitingCount, batchSize);
      for (let i = 0; i < count; i++) {
        chunkOfBatch[i] = waiting[head];
        batch.offset[i] = waiting[head] * frameSize + HEADROOM;
        batch.length[i] = waitingLength[head];
        batch.action[i] = UNDECIDED;
        head = (head + 1) % frameCount;
      }
      waitingCount -= count;
      batch.count = count;
      return count;
    },

    send() {
      for (let i = 0; i < batch.count; i++) {
        const action = batch.action[i];
        if (action === TRANSMIT) sent.push(frameBytes(i));
        else if (action === PASS) passed.push(frameBytes(i));
        else if (action === RELEASE) released++;
        else throw new Error(`frame ${i} of the batch has no action`);
        free[freeCount++] = chunkOfBatch[i];
      }
      batch.count = 0;
    },

    append(frameLength) {
      if (batch.count === batchSize || freeCount === 0 || frameLength > frameSize - HEADROOM) return -1;
      const chunk = free[--freeCount];
      const start = chunk * frameSize;
      memory.fill(FILLER, start, start + frameSize);
      const row = batch.count++;
      chunkOfBatch[row] = chunk;
      batch.offset[row] = start + HEADROOM;
      batch.length[row] = frameLength;
      batch.action[row] = TRANSMIT;
      return row;
    },

    close() {
      waitingCount = 0;
      batch.count = 0;
    },
  };
}
