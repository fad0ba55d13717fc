/**
 * Drives packets of a mode's flows through the forwarder, as worker and device would: a batch of frames appears, then the walk.
 * To be made once a thread, because V8 compiles a walk best that was made once. For decision/subject.ts (a process) and
 * workers/worker.ts (a thread).
 */
import { SERVICE_HITS } from '../../metrics/counters.ts';
import { ackFrame, ackFrameIpv6 } from '../balancer.ts';
import { createDecisionBalancer } from './balancer.ts';
import {
  BATCH,
  type DecisionMode,
  decisionConfig,
  FRAME_SIZE,
  FRAMES,
  HEADROOM,
  portsWord,
  rewritesFrames,
  SMALLEST_CAPACITY,
  sourceWord,
  strideOf,
} from './modes.ts';

const ETHERTYPE_AT = 12;
/** The EtherType loaded little-endian, and what a flow changes in its frame: of IPv6, the last word of the source address. */
const IPV4 = { type: 0x0008, sourceAt: 26, destinationAt: 30, portsAt: 34, flagsAt: 46 } as const;
const IPV6 = { type: 0xdd86, sourceAt: 34, destinationAt: 50, portsAt: 54, flagsAt: 66 } as const;
/** The two bytes from the data offset on, loaded little-endian. */
const ACK_BYTES = 0x1050;
const SYN_BYTES = 0x0250;
const FRAMES_MASK = FRAMES * FRAME_SIZE - 1;

export interface Driven {
  /** Packets that the connection table knew, and connections in it afterwards. */
  readonly hits: number;
  readonly connections: number;
}

export interface Drive {
  /** Sends SYNs (`open`) or ACKs (`run`), a multiple of `BATCH`, of the next flows in turn. */
  send(command: 'open' | 'run', packets: number): Driven;
}

export function createDrive(mode: DecisionMode, flows: number): Drive {
  const config = decisionConfig(mode, Math.max(flows, SMALLEST_CAPACITY));
  const { memory, view, batch, forwarder, walk } = createDecisionBalancer(config);
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 2);
  const frame = mode.family === 6 ? ackFrameIpv6(mac) : ackFrame(mac);
  const { type, sourceAt, destinationAt, portsAt, flagsAt } = mode.family === 6 ? IPV6 : IPV4;
  for (let i = 0; i < FRAMES; i++) memory.set(frame, i * FRAME_SIZE + HEADROOM);
  const vip = new DataView(frame.buffer).getInt32(destinationAt, true);
  const hitsAt = forwarder.state.services[0].serviceBase + SERVICE_HITS;
  const stride = strideOf(flows);
  let nextFlow = 0;
  let nextFrame = 0;

  /** Filling the frames is counted in, here and in C. */
  function run(packets: number, flagBytes: number, restores: boolean): void {
    const { offset: offsets, length: lengths } = batch;
    const frameLength = frame.length;
    let flow = nextFlow;
    let offset = nextFrame;
    for (let done = 0; done < packets; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const at = offset + HEADROOM;
        offset = (offset + FRAME_SIZE) & FRAMES_MASK;
        // The outer header of the frame's last use lies over its Ethernet header.
        view.setUint16(at + ETHERTYPE_AT, type, true);
        view.setInt32(at + sourceAt, sourceWord(flow), true);
        view.setInt32(at + portsAt, portsWord(flow), true);
        if (restores) {
          view.setInt32(at + destinationAt, vip, true);
          view.setUint16(at + flagsAt, flagBytes, true);
        }
        flow += stride;
        if (flow >= flows) flow -= flows;
        offsets[i] = at;
        lengths[i] = frameLength;
      }
      batch.count = BATCH;
      walk(1);
    }
    nextFlow = flow;
    nextFrame = offset;
  }

  function resetFlags(): void {
    for (let i = 0; i < FRAMES; i++) view.setUint16(i * FRAME_SIZE + HEADROOM + flagsAt, ACK_BYTES, true);
  }

  return {
    send(command, packets) {
      const opens = command === 'open';
      const before = forwarder.counters[hitsAt];
      run(packets, opens ? SYN_BYTES : ACK_BYTES, opens || rewritesFrames(mode));
      if (opens) resetFlags();
      const connections = forwarder.tables[0]?.size ?? 0;
      return { hits: forwarder.counters[hitsAt] - before, connections };
    },
  };
}
