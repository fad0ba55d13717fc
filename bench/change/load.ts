/**
 * The load of case `change-under-load`, a process of its own inside the near namespace: the kernel's generator sends numbered
 * frames at a rate, the sink (change/sink.ts) on the same end of the wire looks at what comes back. Argument: the near end of
 * the wire. Reads lines `RATE MS` from stdin, rate in packets a second or `Infinity`, and answers each with a `LoadResult`.
 */
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { attachXdp, requireLink } from '../../io/xdp.ts';
import { parseMac } from '../../wire/address.ts';
import { ackFrame } from '../balancer.ts';
import { FAR_MAC } from '../forwarding/network.ts';
import { GUEST } from './configurations.ts';
import { createPacedGenerator } from './generator.ts';
import { createSink, SINK_COUNTERS, type SinkCounts } from './sink.ts';

/** What one line's packets came to. */
export interface LoadResult extends SinkCounts {
  readonly sent: number;
  readonly seconds: number;
}

/** At any time; and a new one after so many packets: at 100,000 packets a second 3,000 connections begin and end. */
const FLOWS = 4096;
const NEW_FLOW_EVERY = 32;
const FRAME_LENGTH = 60;

/** Runs of the program in one call of the kernel's, until it is known how many are a second. */
const FIRST_RUNS = 1 << 17;
/** When none has come back for this long, none is on its way. */
const PATIENCE_MS = 300;

const { index: interfaceIndex } = requireLink(process.argv[2]);
const sink = createSink(GUEST);
attachXdp({ programFd: sink.programFd, interfaceIndex, mode: 'native' });
const frame = ackFrame(parseMac(FAR_MAC) ?? new Uint8Array(6), FRAME_LENGTH);
const generator = createPacedGenerator({ interfaceIndex, frame, flows: FLOWS, newFlowEvery: NEW_FLOW_EVERY });
let runsAMs = 0;

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [rate, ms] = line.split(' ').map(Number);
  process.stdout.write(`${JSON.stringify(await send(rate, ms))}\n`);
}

async function send(rate: number, ms: number): Promise<LoadResult> {
  generator.setRate(rate);
  const before = { ...sink.read(), sent: generator.sent() };
  const start = performance.now();
  const end = start + ms;
  for (let now = start; now < end; ) {
    const runs = Math.max(FIRST_RUNS, Math.ceil(runsAMs * (end - now)));
    generator.run(runs);
    const after = performance.now();
    runsAMs = runs / (after - now);
    now = after;
  }
  const seconds = (performance.now() - start) / 1000;
  const sent = generator.sent() - before.sent;
  let after = sink.read();
  let lastCame = performance.now();
  while (after.returned - before.returned < sent && performance.now() - lastCame < PATIENCE_MS) {
    await pause(1);
    const now = sink.read();
    if (now.returned > after.returned) lastCame = performance.now();
    after = now;
  }
  const counts = SINK_COUNTERS.map((name) => [name, after[name] - before[name]] as const);
  return { ...(Object.fromEntries(counts) as SinkCounts), sent, seconds };
}
