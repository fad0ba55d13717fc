/** The cases of the benchmark suite, in the order in which they run. bench/case.ts says how to add one. */
import type { BenchCase } from './case.ts';
import { changeUnderLoad } from './cases/change-under-load.ts';
import { connectionTable } from './cases/connection-table.ts';
import { decisionCost } from './cases/decision-cost.ts';
import { forwarding } from './cases/forwarding.ts';
import { lookupTable } from './cases/lookup-table.ts';
import { pause } from './cases/pause.ts';
import { realTcp } from './cases/real-tcp.ts';
import { statefulStateless } from './cases/stateful-stateless.ts';
import { workers } from './cases/workers.ts';

export const CASES: readonly BenchCase[] = [
  decisionCost,
  forwarding,
  realTcp,
  statefulStateless,
  lookupTable,
  connectionTable,
  pause,
  workers,
  changeUnderLoad,
];
