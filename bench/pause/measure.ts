/**
 * What case `pause` measures, inside namespaces: a subject on core 1 that takes all that the load on core 0 sends it, and tells
 * the gaps between its batches. Subjects come and go, the wire and the load stay.
 */
import { inNamespace } from '../../io/namespace.ts';
import { buildBenchNetwork } from '../forwarding/network.ts';
import { pinned } from '../forwarding/subjects.ts';
import { type LineProcess, startLineProcess } from '../line-process.ts';
import type { Gaps } from './gaps.ts';
import type { PauseResult } from './worker.ts';

export interface PauseBench {
  /** A worker's loop, in a thread of its own as `hushlb run` has it. */
  worker(warmUpMs: number, measureMs: number): Promise<PauseResult>;
  /** The loop of yardstick/reflect.c, compiled as `program`, which only reflects. */
  yardstick(program: string, warmUpMs: number, measureMs: number): Promise<Gaps>;
  close(): Promise<void>;
}

const FLOWS = 100_000;
const FRAME_LENGTH = 60;

const WORKER = new URL('./subject.js', import.meta.url).pathname;
const REFLECTOR = new URL('../forwarding/c-subject.js', import.meta.url).pathname;
const LOAD = new URL('../forwarding/load.js', import.meta.url).pathname;

/** Leaves nothing behind when it throws. */
export async function openPauseBench(): Promise<PauseBench> {
  const network = buildBenchNetwork(1);
  const start = (namespace: string, core: number, script: string, args: readonly string[]): LineProcess => {
    const command = pinned(core, [process.execPath, script, ...args]);
    return inNamespace(namespace, () => startLineProcess(script, command));
  };
  const load = start(network.near, 0, LOAD, network.wires);
  const flood = (ms: number): Promise<string> => load.ask(`${network.wires[0]} ${FLOWS} ${FRAME_LENGTH} ${ms}`);
  const close = async (): Promise<void> => {
    await load.end();
    network.remove();
  };

  async function measure<T>(script: string, args: readonly string[], warmUpMs: number, measureMs: number): Promise<T> {
    const subject = start(network.far[0], 1, script, [...args, `${warmUpMs}`, `${measureMs}`]);
    try {
      await subject.next();
      // The first flood tells the load how many frames are a second; the second is one call of the kernel's, without a break.
      await flood(warmUpMs / 4);
      const rest = flood(warmUpMs + measureMs);
      const result = JSON.parse(await subject.next()) as T;
      // It may flood on for a moment; the next subject needs a load that is ready.
      await rest;
      return result;
    } finally {
      await subject.end();
    }
  }

  try {
    await load.next();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    worker: (warmUpMs, measureMs) => measure<PauseResult>(WORKER, [], warmUpMs, measureMs),
    yardstick: (program, warmUpMs, measureMs) => measure<Gaps>(REFLECTOR, [program], warmUpMs, measureMs),
    close,
  };
}
