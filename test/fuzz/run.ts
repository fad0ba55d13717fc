/** Both fuzzers in turn for as long as they are given, until one finds something. */
import { setImmediate as turn } from 'node:timers/promises';
import { createCaptureFuzzer } from './captures.ts';
import { writeFoundCapture, writeFoundPacket } from './found.ts';
import { createPacketFuzzer } from './packets.ts';

export interface FuzzOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Where a found case is written. */
  readonly directory: string;
  /** Called about once a second. */
  progress?: ((state: FuzzState) => void) | undefined;
  readonly signal?: AbortSignal;
}

export interface FuzzState {
  readonly seconds: number;
  readonly packets: number;
  readonly files: number;
}

export interface FuzzResult extends FuzzState {
  readonly found?: { readonly path: string; readonly error: unknown };
}

/** Of the time, for packets; the rest is for captures. */
const SHARE_OF_PACKETS = 0.75;
const SLICE_MS = 200;

export async function runFuzz({ seed, seconds, directory, progress, signal }: FuzzOptions): Promise<FuzzResult> {
  const packets = createPacketFuzzer(seed);
  const captures = createCaptureFuzzer(seed);
  const start = performance.now();
  let told = start;
  const state = () => ({
    seconds: (performance.now() - start) / 1000,
    packets: packets.packets,
    files: captures.files,
  });
  try {
    while (performance.now() - start < seconds * 1000 && signal?.aborted !== true) {
      const packet = during(SLICE_MS * SHARE_OF_PACKETS, packets.step);
      if (packet !== undefined) {
        return { ...state(), found: { path: writeFoundPacket(packet, seed, directory), error: packet.error } };
      }
      const capture = during(SLICE_MS * (1 - SHARE_OF_PACKETS), captures.step);
      if (capture !== undefined) {
        return { ...state(), found: { path: writeFoundCapture(capture, seed, directory), error: capture.error } };
      }
      if (performance.now() - told >= 1000) {
        told = performance.now();
        progress?.(state());
      }
      await turn();
    }
    return state();
  } finally {
    captures.close();
  }
}

/** Steps until something is found or the time is over. */
function during<T>(ms: number, step: () => T | undefined): T | undefined {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    const found = step();
    if (found !== undefined) return found;
  }
  return undefined;
}
