/**
 * Keeping a thread on one CPU: a worker that asks for it (lb/worker.ts), and what benchmarks and tests must know the place of.
 * Left to itself the kernel may keep two busy threads of a process on one core for seconds.
 */
import { readFileSync } from 'node:fs';
import { SystemCallError, setThreadAffinity } from './ffi.ts';

/**
 * Moves the calling thread to the CPU, for good; threads that it starts from then on inherit that. Throws SystemCallError:
 * EINVAL when there is no such CPU, or when this process may not use it (cpusets of containers).
 */
export function pinThread(cpu: number): void {
  // A cpu_set_t: longs of the machine's order. The kernel takes what a short one leaves out for 0.
  const mask = new BigUint64Array((cpu >>> 6) + 1);
  mask[cpu >>> 6] = 1n << BigInt(cpu & 63);
  try {
    setThreadAffinity(new Uint8Array(mask.buffer));
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new SystemCallError(`pin thread to CPU ${cpu}`, error.errno, `online are ${onlineCpus()}`);
  }
}

/** As the kernel writes them, such as `0-3,6`. */
export function onlineCpus(): string {
  return readFileSync('/sys/devices/system/cpu/online', 'utf8').trim();
}
