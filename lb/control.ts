/**
 * The few words of shared memory between the main thread and one worker. The main thread writes what it wants, the worker
 * reads it between two batches and writes what it runs. States themselves travel by `postMessage`; the generation says that
 * one waits to be taken.
 */

const GENERATION = 0;
const STOP = 1;
const RUNNING = 2;
const QUERIES = 3;
const FOLLOWED = 4;
const BEATS = 5;
const WORDS = 6;

/** Shared words; make one with `createControl`, post its buffer to the worker. */
export type Control = Int32Array;

export function createControl(): Control {
  return new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
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

/** Questions about its connection tables wait on the worker's port (lb/ask.ts). */
export function announceQuery(control: Control): void {
  Atomics.add(control, QUERIES, 1);
}

/** How many were asked since the start, modulo 2^32. */
export function announcedQueries(control: Control): number {
  return Atomics.load(control, QUERIES);
}

/** Whether somebody follows what becomes of packets (lb/observer.ts). */
export function setFollowed(control: Control, isFollowed: boolean): void {
  Atomics.store(control, FOLLOWED, isFollowed ? 1 : 0);
}

export function isFollowed(control: Control): boolean {
  return Atomics.load(control, FOLLOWED) === 1;
}

/** The worker has come round its loop once more. */
export function beat(control: Control): void {
  Atomics.add(control, BEATS, 1);
}

/** The worker is not in its loop any more. */
export function stopBeating(control: Control): void {
  Atomics.store(control, BEATS, 0);
}

/** How often it came round, modulo 2^32; 0 before it is in its loop and after. */
export function beatsOf(control: Control): number {
  return Atomics.load(control, BEATS);
}
