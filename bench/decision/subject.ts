/**
 * The TypeScript side of decision-cost, a process of its own for each mode and number of flows. Arguments: MODE FLOWS. Reads
 * lines from stdin, as yardstick/decision.c does: `open N` sends N SYNs, `run N` N ACKs, through the forwarder in batches;
 * each answers with `NANOSECONDS HITS CONNECTIONS`.
 */
import { createInterface } from 'node:readline';
import { widenInlining } from '../../lb/inlining.ts';
import { createDrive } from './drive.ts';
import { modeNamed } from './modes.ts';

widenInlining();
const [mode, flows] = process.argv.slice(2);
const drive = createDrive(modeNamed(mode), Number(flows));

for await (const line of createInterface({ input: process.stdin })) {
  const [command, packets] = line.split(' ');
  const { ns, hits, connections } = drive.send(command === 'open' ? 'open' : 'run', Number(packets));
  process.stdout.write(`${ns} ${hits} ${connections}\n`);
}
