/**
 * How far V8 may inline the walk, which is many small functions: with its ordinary bounds a packet costs a third more
 * (measured 2026-11 with Node 20). All three bounds count. Where one of them is reached, V8 leaves out what it looks at last,
 * and that may be what every packet calls: the walk grows, so there is room above what it needs today. For the whole process;
 * called before a forwarder compiles anything, by lb/workers.ts for the workers and by the benchmark that measures a walk on
 * its own thread.
 */
import { setFlagsFromString } from 'node:v8';

export function widenInlining(): void {
  setFlagsFromString('--max-inlined-bytecode-size=1500');
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=12000');
  setFlagsFromString('--max-inlined-bytecode-size-absolute=20000');
}
