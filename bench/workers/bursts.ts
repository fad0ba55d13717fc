/**
 * The load of case `workers` on the wire, a process of its own inside the near namespace: it stops a balancer, fills its receive
 * rings, rests, lets it go on, and takes the time until all has come back. So the load takes no core from the workers while they
 * work, and two cores are enough for two of them.
 *
 * veth hands the generator's frames to the queue of the core that it runs on. An XDP program on the near end of each wire counts
 * and drops what comes back. Arguments: the near ends. Reads lines `WIRE PID QUEUES FRAMES` (frames for each queue) from stdin
 * and answers each with JSON: { returned, ns }.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pinThread } from '../../io/affinity.ts';
import { loadProgram, XDP_DROP } from '../../io/bpf.ts';
import { alu, assemble, exit } from '../../io/bpf-assembler.ts';
import { createBpfCounters } from '../../io/bpf-counters.ts';
import { createGenerator } from '../../io/packet-generator.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { parseMac } from '../../wire/address.ts';
import { ackFrame } from '../balancer.ts';
import { FAR_MAC } from '../forwarding/network.ts';

export interface BurstResult {
  readonly returned: number;
  /** Until the last of them. */
  readonly ns: number;
}

const FLOWS = 10_000;
/** A hundredth of what a burst takes. */
const LOOK_EVERY_MS = 0.2;
/** When nothing more has come back for so long, nothing will. */
const PATIENCE_NS = 50_000_000;

const counters = createBpfCounters('bench_sink', ['returned']);
const sink = loadProgram('bench_sink', assemble([counters.increment('returned'), alu('r0', '=', XDP_DROP), exit()]));
const frame = ackFrame(parseMac(FAR_MAC) ?? new Uint8Array(6));
const generators = new Map(
  process.argv.slice(2).map((wire) => {
    const interfaceIndex = requireLink(wire).index;
    attachXdp({ programFd: sink, interfaceIndex, mode: 'native' });
    return [wire, createGenerator({ interfaceIndex, frame, flows: FLOWS })];
  }),
);
const never = new Int32Array(new SharedArrayBuffer(4));
const sleep = (ms: number): void => void Atomics.wait(never, 0, 0, ms);

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [wire, pid, queues, frames] = line.split(' ');
  const result = burst(wire, Number(pid), Number(queues), Number(frames));
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

function burst(wire: string, pid: number, queues: number, frames: number): BurstResult {
  process.kill(pid, 'SIGSTOP');
  while (!/^State:\s*T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) sleep(LOOK_EVERY_MS);
  for (let queue = 0; queue < queues; queue++) {
    pinThread(queue);
    generators.get(wire)?.run(frames);
  }
  const before = counters.read().returned;
  const start = process.hrtime.bigint();
  process.kill(pid, 'SIGCONT');
  let returned = 0;
  let ns = 0;
  for (let elapsed = 0; returned < queues * frames && elapsed - ns < PATIENCE_NS; ) {
    sleep(LOOK_EVERY_MS);
    elapsed = Number(process.hrtime.bigint() - start);
    const now = counters.read().returned - before;
    if (now === returned) continue;
    returned = now;
    ns = elapsed;
  }
  return { returned, ns };
}
