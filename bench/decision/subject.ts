/**
 * The TypeScript side of decision-cost, a process of its own for each mode and number of flows. Arguments: MODE FLOWS [DIST], the
 * last where another revision's forwarder is to be driven (decision/revision.ts). Reads lines from stdin, as yardstick/decision.c
 * does: `open N` sends N SYNs, `run N` N ACKs, through the forwarder in batches; each answers with `NANOSECONDS HITS
 * CONNECTIONS`, of its thread's CPU time.
 */
import { createInterface } from 'node:readline';
import { threadNanoseconds } from './cpu-clock.ts';

const [mode, flows, dist = new URL('../..', import.meta.url).pathname] = process.argv.slice(2);

const { widenInlining }: typeof import('../../lb/inlining.ts') = await import(`${dist}/lb/inlining.js`);
widenInlining();
const { createDrive }: typeof import('./drive.ts') = await import(`${dist}/bench/decision/drive.js`);
const { modeNamed }: typeof import('./modes.ts') = await import(`${dist}/bench/decision/modes.js`);
const drive = createDrive(modeNamed(mode), Number(flows));

for await (const line of createInterface({ input: process.stdin })) {
  const [command, packets] = line.split(' ');
  const start = threadNanoseconds();
  const { hits, connections } = drive.send(command === 'open' ? 'open' : 'run', Number(packets));
  process.stdout.write(`${threadNanoseconds() - start} ${hits} ${connections}\n`);
}
