/**
 * The load of case `forwarding`, a process of its own inside the near namespace: the kernel's generator floods one wire for a
 * time, and an XDP program on the same end counts and drops what comes back. Arguments: the near ends of all wires. Reads lines
 * `WIRE FLOWS LENGTH MS` from stdin (frame length in bytes, without FCS) and answers each with JSON: { sent, returned, seconds }.
 */
import { createInterface } from 'node:readline';
import { loadProgram, XDP_DROP } from '../../io/bpf.ts';
import { alu, assemble, exit } from '../../io/bpf-assembler.ts';
import { createBpfCounters } from '../../io/bpf-counters.ts';
import { createGenerator } from '../../io/packet-generator.ts';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { parseMac } from '../../wire/address.ts';
import { ackFrame } from '../balancer.ts';
import { FAR_MAC } from './network.ts';

export interface LoadResult {
  readonly sent: number;
  readonly returned: number;
  readonly seconds: number;
}

const FIRST_FRAMES = 1 << 17;
/** One call of a minute. */
const MAX_FRAMES = 1 << 28;

const counters = createBpfCounters('bench_sink', ['returned']);
const sink = loadProgram('bench_sink', assemble([counters.increment('returned'), alu('r0', '=', XDP_DROP), exit()]));
for (const wire of process.argv.slice(2)) {
  attachXdp({ programFd: sink, interfaceIndex: requireLink(wire).index, mode: 'native' });
}
/** Frames a second that each wire took last. */
const rates = new Map<string, number>();

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [wire, flows, length, ms] = line.split(' ');
  const result = flood(wire, Number(flows), Number(length), Number(ms));
  rates.set(wire, result.sent / result.seconds);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** As few calls as may be: the kernel takes some 25 ms to begin and end one, in which nothing is sent. */
function flood(wire: string, flows: number, length: number, ms: number): LoadResult {
  const frame = ackFrame(parseMac(FAR_MAC) ?? new Uint8Array(6), length);
  const generator = createGenerator({ interfaceIndex: requireLink(wire).index, frame, flows });
  try {
    const before = counters.read().returned;
    const start = performance.now();
    const end = start + ms;
    let sent = 0;
    for (let now = start; now < end; now = performance.now()) {
      const wanted = Math.ceil((rates.get(wire) ?? 0) * ((end - now) / 1000));
      const frames = Math.min(Math.max(wanted, FIRST_FRAMES), MAX_FRAMES);
      generator.run(frames);
      sent += frames;
    }
    const seconds = (performance.now() - start) / 1000;
    return { sent, returned: counters.read().returned - before, seconds };
  } finally {
    generator.close();
  }
}
