/**
 * The few words of shared memory between the main thread and one worker. The main thread writes what it wants, the worker
 * reads it between two batches and writes what it runs. States themselves travel by `postMessage`; the generation says that
 * one waits to be taken.
 */

const GENERATION = 0;
const STOP = 1;
const RUNNING = 2;

/** Shared words; make one with `createControl`, post its buffer to the worker. */
export type Control = Int32Array;

export function createControl(): Control {
  return new Int32Array(new SharedArrayBuffer(12));
}

export function announceGeneration(control: Control, generation: number): void {
  Atomics.store(control, GENERATION, generation);
}

export function announcedGeneration(control: Control): number {
  return Atomics.load(control, GENERATION);
}

/** The worker walks its packets by this generation from now on. */
export function acknowledgeGeneration(control: Control, generation: number): void {
  Atomics.store(control, RUNNING, generation);
}

export function runningGeneration(control: Control): number {
  return Atomics.load(control, RUNNING);
}

export function requestStop(control: Control): void {
  Atomics.store(control, STOP, 1);
}

export function stopRequested(control: Control): boolean {
  return Atomics.load(control, STOP) === 1;
}
