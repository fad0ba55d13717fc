/**
 * What this thread has of the process and JavaScript does not know of: descriptors and mapped memory. They outlive the
 * thread, and memory that is mapped from a socket keeps the socket. So a worker tells the main thread what it has, which
 * gives back what is left when the worker has ended (lb/workers.ts). Written by io/ffi.ts, one of each thread.
 */

export interface Leftovers {
  readonly descriptors: readonly number[];
  readonly mappings: readonly { readonly start: bigint; readonly length: number }[];
}

export const NOTHING_LEFT: Leftovers = { descriptors: [], mappings: [] };

const descriptors = new Set<number>();
const mappings = new Map<bigint, number>();

/** At this moment. */
export function leftoversOfThread(): Leftovers {
  return { descriptors: [...descriptors], mappings: [...mappings].map(([start, length]) => ({ start, length })) };
}

export function noteOpened(fd: number): number {
  descriptors.add(fd);
  return fd;
}

export function noteClosed(fd: number): void {
  descriptors.delete(fd);
}

export function noteMapped(start: bigint, length: number): void {
  mappings.set(start, length);
}

export function noteUnmapped(start: bigint): void {
  mappings.delete(start);
}
