/**
 * The load of case `forwarding`, a process of its own inside the near namespace: the kernel's generator floods the veth for
 * the given time, and an XDP program on the same end counts and drops what comes back.
 * Arguments: SECONDS FLOWS DESTINATION_MAC. Prints JSON: { sent, returned, seconds }.
 */
import { loadProgram, XDP_DROP } from '../io/bpf.ts';
import { alu, assemble, exit } from '../io/bpf-assembler.ts';
import { createBpfCounters } from '../io/bpf-counters.ts';
import { createGenerator } from '../io/packet-generator.ts';
import { attachXdp, requireLink } from '../io/xdp.ts';
import { parseMac } from '../wire/address.ts';
import { ackFrame } from './balancer.ts';

/** Frames a call: many, because the kernel takes some 25 ms to begin and end one, in which nothing is sent. */
const FRAMES_A_CALL = 1 << 20;

const [seconds, flows, mac] = process.argv.slice(2);
const link = requireLink('eth0');
const counters = createBpfCounters('bench_sink', ['returned']);
const sink = loadProgram('bench_sink', assemble([counters.increment('returned'), alu('r0', '=', XDP_DROP), exit()]));
const attachment = attachXdp({ programFd: sink, interfaceIndex: link.index, mode: 'native' });
const generator = createGenerator({
  interfaceIndex: link.index,
  frame: ackFrame(parseMac(mac) ?? new Uint8Array(6)),
  flows: Number(flows),
});

/** Load that is not counted: tables fill, code is compiled. */
flood(1500);
const before = counters.read().returned;
const start = performance.now();
const sent = flood(Number(seconds) * 1000);
const elapsed = (performance.now() - start) / 1000;
const { returned } = counters.read();
generator.close();
attachment.detach();
process.stdout.write(`${JSON.stringify({ sent, returned: returned - before, seconds: elapsed })}\n`);

function flood(ms: number): number {
  const end = performance.now() + ms;
  let frames = 0;
  for (; performance.now() < end; frames += FRAMES_A_CALL) generator.run(FRAMES_A_CALL);
  return frames;
}
