/**
 * The packet device of a replay: one received frame at a time, so that each can be told apart, and the frames that the
 * balancer makes itself. replay/replay.ts loads and sends.
 */
import { createFrameBatch, type FrameBatch, TRANSMIT } from '../io/device.ts';
import { MAX_LENGTH } from '../io/pcap.ts';

/** Bytes in front of each frame, as XDP leaves them. */
const HEADROOM = 256;
/** Row 0 holds a received frame; the others those that the balancer makes, one behind the other in memory of their own. */
const ROWS = 64;
const OWN_START = HEADROOM + MAX_LENGTH;
const OWN_MEMORY = 2 * MAX_LENGTH + ROWS * HEADROOM;

export interface FrameDevice {
  readonly view: DataView;
  readonly batch: FrameBatch;
  /** Makes `frame` the batch. It has at most MAX_LENGTH bytes, as every packet of a capture. */
  load(frame: Uint8Array): void;
  /** As those of PacketDevice (io/device.ts). */
  append(length: number): number;
  send(): void;
}

/** `transmit` gets each frame that goes out, good until it returns. */
export function createFrameDevice(transmit: (frame: Uint8Array) => void): FrameDevice {
  const memory = new Uint8Array(OWN_START + OWN_MEMORY);
  const batch = createFrameBatch(ROWS);
  /** Of the last own frame. */
  let end = OWN_START;
  return {
    view: new DataView(memory.buffer),
    batch,
    load(frame) {
      memory.set(frame, HEADROOM);
      batch.offset[0] = HEADROOM;
      batch.length[0] = frame.length;
      batch.count = 1;
    },
    append(length) {
      const row = batch.count;
      const start = end + HEADROOM;
      if (row === ROWS || start + length > memory.length) return -1;
      batch.offset[row] = start;
      end = start + length;
      batch.length[row] = length;
      batch.action[row] = TRANSMIT;
      batch.count++;
      return row;
    },
    send() {
      for (let row = 0; row < batch.count; row++) {
        if (batch.action[row] !== TRANSMIT) continue;
        transmit(memory.subarray(batch.offset[row], batch.offset[row] + batch.length[row]));
      }
      batch.count = 0;
      end = OWN_START;
    },
  };
}
