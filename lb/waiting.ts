/**
 * Frames that come back into the walk between two batches: pieces of a datagram that overtook their first, once that has come
 * (lb/fragments.ts), and packets to be cut that found no room in their batch for the pieces (lb/fragmenting.ts). The worker
 * calls `walkWaiting` behind each batch.
 *
 * ```
 *   walk ─► batch full, or first piece not here yet ─► copied aside
 *                                                         │ between batches, the device's batch is empty
 *   device.append ◄───────────────────────────────────────┘
 *        └─► walk ─► device.send
 * ```
 */
// Hot path: no allocation, no throw, no closure, no await.
import type { PacketDevice } from '../io/device.ts';
import { copyBytes } from '../wire/bytes.ts';
import * as exits from './exits.ts';
import type { Forwarder, Walk } from './forwarder.ts';
import { expireHeld, FRAGMENTS_EXPIRED, heldLength, NOTHING_HELD, nextDue, release } from './fragments.ts';

/** Packets that wait for room: more than that in one batch are dropped as too big. */
const FRAMES = 16;
/** The longest frame of any device. */
const FRAME_LENGTH = 4096;

export interface WaitingFrames {
  readonly bytes: DataView;
  readonly lengths: Int32Array;
  count: number;
  /** A first piece came, for which others are held. */
  isDue: boolean;
  /** Pieces given up that have been counted. */
  expired: number;
}

export function createWaitingFrames(): WaitingFrames {
  return {
    bytes: new DataView(new ArrayBuffer(FRAMES * FRAME_LENGTH)),
    lengths: new Int32Array(FRAMES),
    count: 0,
    isDue: false,
    expired: 0,
  };
}

/** Copies the frame of row `i` aside; false where there is no room. */
export function keepWaiting({ view, batch, waiting }: Forwarder, i: number): boolean {
  const { bytes, lengths, count } = waiting;
  const length = batch.length[i];
  if (count === FRAMES || length > FRAME_LENGTH) return false;
  copyBytes(view, batch.offset[i], bytes, count * FRAME_LENGTH, length);
  lengths[count] = length;
  waiting.count++;
  return true;
}

/** Walks and sends what is due, mostly nothing. The device's batch is empty before and after it. */
export function walkWaiting(
  forwarder: Forwarder,
  device: Pick<PacketDevice, 'append' | 'send'>,
  walk: Walk,
  now: number,
): void {
  const { view, batch, fragments, waiting } = forwarder;
  while (waiting.isDue) {
    let place = nextDue(fragments, now);
    for (; place !== NOTHING_HELD && batch.count < batch.capacity; place = nextDue(fragments, now)) {
      const row = device.append(heldLength(fragments, place));
      if (row < 0) break;
      release(fragments, place, view, batch.offset[row]);
    }
    if (place === NOTHING_HELD || batch.count === 0) waiting.isDue = false;
    if (batch.count === 0) break;
    walk(now);
    device.send();
  }
  const { count } = waiting;
  waiting.count = 0;
  for (let k = 0; k < count; k++) {
    const row = device.append(waiting.lengths[k]);
    if (row < 0) continue;
    copyBytes(waiting.bytes, k * FRAME_LENGTH, view, batch.offset[row], waiting.lengths[k]);
    walk(now);
    device.send();
  }
}

/** Gives up pieces whose first has not come in time, and counts them. Called with the sweep of the tables. */
export function expireWaiting({ fragments, waiting, counters, state }: Forwarder, now: number): void {
  expireHeld(fragments, now);
  const expired = fragments.counters[FRAGMENTS_EXPIRED];
  counters[state.strayExitBase + exits.LATE_FRAGMENT] += expired - waiting.expired;
  waiting.expired = expired;
}
