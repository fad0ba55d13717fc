/**
 * What every packet device offers: frames in, frames out, in batches, over one long-lived view.
 *
 * A device owns the memory that its frames lie in. `receive` fills the batch with the frames' places, the forwarder
 * works on them where they are and writes for each what shall become of it, `send` carries that out. Nothing here is
 * allocated after start-up.
 */

/** What becomes of a frame of the batch: its memory is reused, it goes out, or the kernel gets it. */
export const RELEASE = 0;
export const TRANSMIT = 1;
export const PASS = 2;

/** The frames of one `receive`, as columns. Offsets are bytes into the device's memory. */
export interface FrameBatch {
  readonly capacity: number;
  count: number;
  /** First byte of the Ethernet header; the forwarder moves it when it prepends an outer header. */
  readonly offset: Int32Array;
  /** Bytes of the frame, without FCS. */
  readonly length: Int32Array;
  /** RELEASE, TRANSMIT or PASS. */
  readonly action: Int32Array;
}

export interface PacketDevice {
  readonly name: string;
  /** Over all frame memory; the same object for the device's life. */
  readonly view: DataView;
  readonly batch: FrameBatch;
  /** Bytes that are free in front of every received frame, for outer headers. */
  readonly headroom: number;
  /** Waits up to `timeoutMs` for frames, fills `batch`, returns its count; 0 after the timeout. */
  receive(timeoutMs: number): number;
  /** Carries out `batch.action`. Frames of the batch are not to be touched afterwards. */
  send(): void;
  /**
   * Adds a frame of `length` bytes to the batch, to be written by the caller and sent by `send`, and returns its row;
   * its bytes are undefined, its action is TRANSMIT, the headroom is free in front of it. -1 where the batch is full, no
   * frame is free or the length is more than a frame holds.
   */
  append(length: number): number;
  close(): void;
}

export function createFrameBatch(capacity: number): FrameBatch {
  return {
    capacity,
    count: 0,
    offset: new Int32Array(capacity),
    length: new Int32Array(capacity),
    action: new Int32Array(capacity),
  };
}
