/**
 * The few words of shared memory between the main thread and one worker: the main thread writes, the worker reads between
 * two batches. States themselves travel by `postMessage`; the generation says that one waits to be taken.
 */

const GENERATION = 0;
const STOP = 1;

/** Shared words; make one with `createControl`, post its buffer to the worker. */
export type Control = Int32Array;

export function createControl(): Control {
  return new Int32Array(new SharedArrayBuffer(8));
}

export function announceGeneration(control: Control, generation: number): void {
  Atomics.store(control, GENERATION, generation);
}

export function announcedGeneration(control: Control): number {
  return Atomics.load(control, GENERATION);
}

export function requestStop(control: Control): void {
  Atomics.store(control, STOP, 1);
}

export function stopRequested(control: Control): boolean {
  return Atomics.load(control, STOP) === 1;
}
