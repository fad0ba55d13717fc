/**
 * Mutated packets through the real forwarder: those of the packet rows, in the rows' configurations. Whatever comes, each
 * packet has an exit and is counted by it, nothing outside of its frame is touched, and what is forwarded is a packet as
 * it came, behind headers that add up.
 */
import assert from 'node:assert/strict';
import { createMemoryDevice, type MemoryDevice } from '../../io/memory-device.ts';
import { sweepTables } from '../../lb/adopt.ts';
import { EXITS } from '../../lb/exits.ts';
import { sendResets } from '../../lb/expiry-reset.ts';
import { createWalk, type Forwarder, type Walk } from '../../lb/forwarder.ts';
import { walkWaiting } from '../../lb/waiting.ts';
import { ROWS } from '../lb/packet-rows.ts';
import { BACKENDS, backendYaml, balancerOn } from '../lb/rig.ts';
import { configOf, type PacketRow } from '../lb/rows/row.ts';
import { internetChecksum } from '../packets.ts';
import { mutate } from './mutations.ts';
import { createRandom, type Random } from './random.ts';

/** Room of a chunk: 256 bytes of headroom, and more than any frame. */
const FRAME_SIZE = 4096;
const LONGEST_IN = 3000;
const HEADROOM = 256;
const FILLER = Buffer.alloc(FRAME_SIZE, 0xa5);
const ETHERNET = 14;
/** Of a frame with two tags, whose next hop takes 1500 bytes. */
const LONGEST_OUT = ETHERNET + 8 + 1500;
/** Bytes that an encapsulation may put in front: none, IPIP, GRE and GUE, over either family. */
const OVERHEADS = [0, 20, 24, 28, 32, 40, 44, 48, 52];
const MAX_BATCH = 64;

/** What no row has, or not together: all rows' packets come to these. */
const PLAIN = {
  top: '',
  vip: '198.18.10.1',
  backends: Object.keys(BACKENDS).map((name) => backendYaml(name)),
  others: [],
};
const MORE_SERVICES = [
  'tooBig: fragment\n    ipOptions: accept',
  'tooBig: fragment\n    encap: l2\n    scheduler: round-robin',
  'onExpiry: reset\n    conntrack: { idleTimeout: 9ms, capacity: 8 }',
  'varySource: true\n    outerTtl: copy\n    hash: five-tuple',
  'mssClamp: auto\n    encap: gue\n    ipOptions: accept',
];

/** A balancer of one configuration, and the packets of its rows. */
interface Bench {
  readonly row: PacketRow;
  readonly seeds: readonly Uint8Array[];
  readonly device: MemoryDevice;
  readonly forwarder: Forwarder;
  readonly walk: Walk;
}

/** What went wrong, with what it takes to see it again. */
export interface FoundPacket {
  readonly row: PacketRow;
  /** In the order in which they were walked, one at a time or in one batch; the last one showed it. */
  readonly frames: readonly Uint8Array[];
  readonly error: unknown;
}

export interface PacketFuzzer {
  /** Some hundred packets; undefined: all kept the promises. */
  step(): FoundPacket | undefined;
  readonly packets: number;
}

export function createPacketFuzzer(seed: number): PacketFuzzer {
  const random = createRandom(seed);
  const benches = createBenches();
  const others = ROWS.map((row) => row.in);
  let packets = 0;
  let now = 0;

  function step(): FoundPacket | undefined {
    const bench = random.pick(benches);
    now += random.pick([0, 1, 1, 1000, 70_000]);
    for (let turn = 0; turn < 16; turn++) {
      const count = random.oneIn(4) ? 1 + random.below(MAX_BATCH) : 1;
      const frames = Array.from({ length: count }, () => frameFor(bench, random, others));
      packets += count;
      const error = failureOf(() => (count === 1 ? walkOne(bench, frames[0], now) : walkBatch(bench, frames, now)));
      if (error !== undefined) return { row: bench.row, frames, error };
    }
    sweepTables(bench.forwarder, now, 100_000);
    const error = failureOf(() => {
      sendResets(bench.forwarder, bench.device);
      walkDue(bench, now);
    });
    return error === undefined ? undefined : { row: bench.row, frames: [], error };
  }

  return {
    step,
    get packets() {
      return packets;
    },
  };
}

function failureOf(work: () => void): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

function frameFor(bench: Bench, random: Random, others: readonly Uint8Array[]): Uint8Array {
  const seed = random.oneIn(8) ? random.pick(others) : random.pick(bench.seeds);
  // The good ones among them make connections that the others meet.
  return random.oneIn(8) ? seed : mutate(seed, random, others, LONGEST_IN);
}

function createBenches(): Bench[] {
  const byConfiguration = new Map<string, PacketRow[]>();
  for (const row of ROWS) {
    const { top, service, vip, backends, others } = row;
    const key = JSON.stringify([top, service, vip, backends, others]);
    byConfiguration.set(key, [...(byConfiguration.get(key) ?? []), row]);
  }
  const more = MORE_SERVICES.map((service) => [...ROWS.map((row) => ({ ...row, ...PLAIN, service }))]);
  return [...byConfiguration.values(), ...more].map((rows) => benchOf(rows[0], rows));
}

export function benchOf(row: PacketRow, rows: readonly PacketRow[] = [row]): Bench {
  const device = createMemoryDevice({ frameCount: 2 * MAX_BATCH, frameSize: FRAME_SIZE, batchSize: MAX_BATCH });
  const { forwarder } = balancerOn(device, configOf(row));
  const seeds = rows.flatMap(({ before = [], in: frame }) => [...before, frame]);
  return { row, seeds, device, forwarder, walk: createWalk(forwarder) };
}

/** Throws where a promise is broken. */
export function walkOne(bench: Bench, frame: Uint8Array, now: number): void {
  const { device, forwarder, walk } = bench;
  const { batch, view, exit } = forwarder;
  assert.ok(device.inject(frame));
  assert.equal(device.receive(0), 1);
  const chunk = batch.offset[0] - HEADROOM;
  const before = countOf(forwarder);
  walk(now);
  assert.ok(countOf(forwarder) > before, 'the packet is counted');
  const end = Math.max(chunk + HEADROOM + frame.length, batch.offset[0] + batch.length[0]);
  const behind = Buffer.from(view.buffer, view.byteOffset + end, chunk + FRAME_SIZE - end);
  assert.ok(behind.equals(FILLER.subarray(0, behind.length)), 'nothing is written behind the frame');
  assert.ok(Buffer.from(view.buffer, view.byteOffset + chunk, 64).equals(FILLER.subarray(0, 64)), 'nor far in front');
  const left = EXITS[exit[0]];
  assert.ok(left !== undefined, `exit ${exit[0]}`);
  device.send();
  const sent = device.sent.splice(0);
  walkDue(bench, now);
  const leaves = left.verdict === 'forward' || left.verdict === 'reset' || left.verdict === 'answer';
  assert.equal(sent.length > 0, leaves, `${left.verdict}: ${sent.length} frames left`);
  for (const out of sent) checkOut(bench.row, frame, out, left.verdict === 'forward' && sent.length === 1);
}

function walkBatch({ device, forwarder, walk }: Bench, frames: readonly Uint8Array[], now: number): void {
  for (const frame of frames) assert.ok(device.inject(frame));
  const before = countOf(forwarder);
  assert.equal(device.receive(0), frames.length);
  walk(now);
  assert.ok(countOf(forwarder) >= before + frames.length, 'each packet is counted');
  device.send();
  for (const out of device.sent.splice(0)) assert.ok(out.length <= LONGEST_OUT, `${out.length} bytes left`);
  walkDue({ device, forwarder, walk }, now);
}

/** What was held and may go now: pieces whose first has come, and packets that had no room to be cut. */
function walkDue({ device, forwarder, walk }: Pick<Bench, 'device' | 'forwarder' | 'walk'>, now: number): void {
  walkWaiting(forwarder, device, walk, now);
  for (const out of device.sent.splice(0)) assert.ok(out.length <= LONGEST_OUT, `${out.length} bytes left`);
  device.passed.length = 0;
}

const countOf = ({ counters }: Forwarder): number => counters.reduce((sum, value) => sum + value, 0);

const word = (bytes: Uint8Array, at: number): number => (bytes[at] << 8) | bytes[at + 1];

/** Bytes of VLAN tags behind the MACs, of two at most. */
function tagsOf(frame: Uint8Array): number {
  const isTag = (at: number) => word(frame, at) === 0x8100 || word(frame, at) === 0x88a8;
  if (!isTag(12)) return 0;
  return isTag(16) ? 8 : 4;
}

/** What the IP header at `at` says of its packet's length. */
const lengthOf = (bytes: Uint8Array, at: number): number =>
  bytes[at] >> 4 === 4 ? word(bytes, at + 2) : 40 + word(bytes, at + 4);

const sumOf = (bytes: Uint8Array, at: number): number =>
  internetChecksum([...bytes.subarray(at, at + (bytes[at] & 15) * 4)]);

function checkOut(row: PacketRow, frame: Uint8Array, out: Uint8Array, isForwarded: boolean): void {
  assert.ok(out.length <= LONGEST_OUT, `${out.length} bytes left`);
  const tags = tagsOf(frame);
  assert.deepEqual(out.subarray(12, 12 + tags), frame.subarray(12, 12 + tags), 'tags are kept');
  const at = ETHERNET + tags;
  assert.equal(lengthOf(out, at), out.length - at, 'the outer length is that of the frame');
  const length = lengthOf(frame, at);
  const isAsItCame = isForwarded && out.length - at === length;
  // What came in wrong is not made right: an echo's answer is the request with a few bytes changed.
  if (out[at] >> 4 === 4 && !isAsItCame && (isForwarded || sumOf(frame, at) === 0)) {
    assert.equal(sumOf(out, at), 0, 'the outer header has its checksum');
  }
  if (!isForwarded) return;
  assert.ok(OVERHEADS.includes(out.length - at - length), `${out.length - at - length} bytes of headers`);
  if (row.service?.includes('mssClamp')) {
    checkClamped(frame.subarray(at, at + length), out.subarray(-length));
    return;
  }
  assert.ok(Buffer.from(out.subarray(-length)).equals(frame.subarray(at, at + length)), 'the packet is as it came');
}

/** Nothing but the MSS of a segment's options was changed, and its checksum with it; told of IPv4 alone. */
function checkClamped(packet: Uint8Array, left: Uint8Array): void {
  if (packet[0] >> 4 !== 4) return;
  const l4 = (packet[0] & 15) * 4;
  const end = Math.max(l4 + 20, Math.min(packet.length, l4 + (packet[l4 + 12] >> 4) * 4));
  const options = [l4 + 20, end] as const;
  if (l4 + 20 > packet.length) return;
  const without = (bytes: Uint8Array) =>
    Buffer.from(bytes)
      .fill(0, l4 + 16, l4 + 18)
      .fill(0, ...options);
  assert.ok(without(left).equals(without(packet)), 'nothing but MSS and checksum are changed');
  const optionsOf = (bytes: Uint8Array) => Buffer.from(bytes.subarray(...options));
  if (optionsOf(left).equals(optionsOf(packet))) assert.ok(Buffer.from(left).equals(packet), 'no checksum by itself');
}
