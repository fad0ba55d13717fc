/**
 * Case `decision-cost`: nanoseconds a packet from parsing to encapsulation, no device. A batch of 64 frames is filled with
 * the next 64 flows (two stores a packet, counted in) and walked by the real forwarder, as a worker does it. Prints JSON.
 */
import { createFrameBatch } from '../io/device.ts';
import { createWalk } from '../lb/forwarder.ts';
import { widenInlining } from '../lb/inlining.ts';
import { createOfflineBalancer } from '../lb/offline.ts';
import { SERVICE_HITS } from '../metrics/counters.ts';
import { ackFrame, benchConfig, type Spread, spread } from './balancer.ts';

const BATCH = 64;
/** Few, so that they are as warm as frames that the kernel has just written. */
const FRAMES = 256;
const FRAME_SIZE = 2048;
const HEADROOM = 256;
const SOURCE_ADDRESS_AT = 26;
const PORTS_AT = 34;
/** Port 80 as the packet's two bytes, loaded little-endian. */
const DESTINATION_PORT_BYTES = 0x5000;
const ETHERTYPE_AT = 12;

export interface DecisionCost {
  readonly flows: number;
  readonly nsPerPacket: Spread;
}

function measure(flows: number, rounds: number, packets: number): DecisionCost {
  const memory = new Uint8Array(FRAMES * FRAME_SIZE);
  const view = new DataView(memory.buffer);
  const batch = createFrameBatch(BATCH);
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 2);
  const frame = ackFrame(mac);
  for (let i = 0; i < FRAMES; i++) memory.set(frame, i * FRAME_SIZE + HEADROOM);
  const { forwarder } = createOfflineBalancer({
    config: benchConfig({
      backends: 10,
      service: `conntrack: { capacity: ${Math.max(flows, 4096)}, idleTimeout: 1h }`,
    }),
    device: { view, batch },
    ownMac: mac,
    hopOf: () => ({ mac, source: Uint8Array.of(198, 18, 2, 254), mtu: 1500 }),
  });

  const walk = createWalk(forwarder);

  // A stride that is coprime to every power of ten visits all flows in an order that no prefetcher guesses.
  const stride = (7_368_787 % flows) | 1;
  let flow = 0;
  let chunk = 0;
  const run = (count: number): void => {
    for (let done = 0; done < count; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const offset = chunk * FRAME_SIZE + HEADROOM;
        chunk = chunk + 1 === FRAMES ? 0 : chunk + 1;
        // The outer header of the frame's last use lies over its Ethernet header.
        view.setUint16(offset + ETHERTYPE_AT, 0x0008, true);
        view.setInt32(offset + SOURCE_ADDRESS_AT, Math.imul(flow >>> 12, 0x01000193) | 1, true);
        view.setInt32(offset + PORTS_AT, (DESTINATION_PORT_BYTES << 16) | (1024 + (flow & 4095)), true);
        flow += stride;
        if (flow >= flows) flow -= flows;
        batch.offset[i] = offset;
        batch.length[i] = frame.length;
      }
      batch.count = BATCH;
      walk(1);
    }
  };

  run(Math.max(flows, 500_000));
  const hits = forwarder.state.services[0].serviceBase + SERVICE_HITS;
  const figures: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = forwarder.counters[hits];
    const start = process.hrtime.bigint();
    run(packets);
    figures.push(Number(process.hrtime.bigint() - start) / packets);
    if (forwarder.counters[hits] - before < packets * 0.99) throw new Error('the table did not hold the flows');
  }
  return { flows, nsPerPacket: spread(figures) };
}

widenInlining();
const quick = process.argv.includes('--quick');
const results = [1_000, 10_000, 100_000, 1_000_000].map((flows) =>
  measure(flows, quick ? 5 : 15, quick ? 1_000_000 : 2_000_000),
);
process.stdout.write(`${JSON.stringify(results)}\n`);
