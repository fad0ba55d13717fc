/**
 * `onExpiry: reset`: when a connection idles out, the balancer sends an RST to the client and one to the backend, as
 * several products do. Nothing of this is called, and no memory taken, for services with `onExpiry: silent`.
 *
 * An RST counts only with the sequence number that its receiver expects (RFC 9293, 3.10.7.4; RFC 5961, section 3.2). So
 * what the client sent last is remembered beside its entry in the connection table, a row for each slot:
 *
 * ```
 * row   SEQ + LEN | ACK | source address | both ports | MAC low | MAC high, state    24 bytes a slot, 48 a connection
 * state 0 not live; the low half says whether it has ended │ n live, at backend n - 1
 * ```
 *
 * Only an ACK from the client makes a row live: else every SYN of a flood would be answered, some time later, to whoever's
 * address was forged. A connection that has sent FIN or RST ends by itself and gets none either.
 *
 * Entries are found to have idled out by the sweep, by the look-up of their next packet, or by an insertion that takes
 * their slot. Their rows go to a queue, which is sent between batches (`sendResets`).
 */
// Hot path: no allocation, no throw, no closure, no await.
import { type Allocate, type ConnectionTable, lastSlot, slotOf, sweep } from '../conntrack/table.ts';
import { encapsulate, largestPacket } from '../dsr/encap.ts';
import { connectionHash } from '../hashing/flow-hash.ts';
import type { PacketDevice } from '../io/device.ts';
import { SERVICE_EXPIRY_RESETS_SENT, SERVICE_RESETS_SENT } from '../metrics/counters.ts';
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  setDestinationMac,
  setEtherType,
  setSourceMac,
  sourceMacHigh,
  sourceMacLow,
} from '../wire/ethernet.ts';
import { ACK, acknowledgement, destinationPortOf, FIN, RST, swapPort } from '../wire/tcp.ts';
import type { Forwarder } from './forwarder.ts';
import type { ServiceState } from './forwarding-state.ts';
import { RESET_FRAME_LENGTH, RESET_PACKET_LENGTH, sequenceEnd, writeResetPacket } from './reset.ts';

const SEQUENCE_END = 0;
const ACKNOWLEDGED = 1;
const SOURCE = 2;
const PORTS = 3;
const MAC_LOW = 4;
/** MAC high in the low half, state in the high half; or one of the next two. */
const STATE = 5;
const ROW = 6;

const NOTHING = 0;
const ENDED = 1;

/** Connections that one sweep of all tables resets at most: with a sweep every 20 ms, 12,800 a second and worker. */
const RESETS_A_SWEEP = 256;
/** Beside a sweep's: for each packet of a batch its own connection, and the one whose slot it took. */
const QUEUE_CAPACITY = RESETS_A_SWEEP + 128;
/** A row, its service's index, and whether the client is to be told. */
const SERVICE = ROW;
const TELLS_CLIENT = ROW + 1;
const QUEUE_ROW = ROW + 2;

/** One service's rows, by slot of its connection table. */
export type ExpiryRows = Int32Array;

/** Connections that wait for their resets; one a forwarder. */
export interface ResetQueue {
  readonly rows: Int32Array;
  count: number;
  /** Where a sweep writes the slots that it has emptied. */
  readonly swept: Int32Array;
}

type ResetDevice = Pick<PacketDevice, 'batch' | 'append' | 'send'>;

/** In what `allocate` gives, which is zeroed, or in JavaScript's memory. */
export function createExpiryRows(
  { slotCount }: ConnectionTable,
  allocate: Allocate = (bytes) => new ArrayBuffer(bytes),
): ExpiryRows {
  return new Int32Array(allocate(slotCount * ROW * Int32Array.BYTES_PER_ELEMENT));
}

/**
 * Connections from which on rows are fetched ahead: those of fewer are in the core's cache anyway, and looking for them twice
 * costs 15 ns a packet. At a million it saves 100 (measured 2026-11, 2 MiB of cache a core).
 */
export const WORTH_PREFETCHING = 32_768;

/**
 * Fetches the row that `noteSegment` will look into, which lies on one cache line or on two. For a whole batch between the
 * passes, as `prefetch` of the connection table; the number has no meaning either.
 */
export function prefetchRow(
  rows: ExpiryRows,
  table: ConnectionTable,
  hash: number,
  source: number,
  ports: number,
): number {
  const slot = slotOf(table, hash, source, ports);
  return slot < 0 ? 0 : rows[slot * ROW] ^ rows[slot * ROW + STATE];
}

export function createResetQueue(): ResetQueue {
  return { rows: new Int32Array(QUEUE_CAPACITY * QUEUE_ROW), count: 0, swept: new Int32Array(RESETS_A_SWEEP) };
}

/** For a new state, in which services have other indexes: -1 for one that is gone, whose resets are not sent. */
export function renumberResets(resets: ResetQueue, indexOf: (serviceIndex: number) => number): void {
  const { rows } = resets;
  const waiting = resets.count;
  resets.count = 0;
  for (let i = 0; i < waiting; i++) {
    const index = indexOf(rows[i * QUEUE_ROW + SERVICE]);
    if (index < 0) continue;
    const place = resets.count++ * QUEUE_ROW;
    rows.copyWithin(place, i * QUEUE_ROW, (i + 1) * QUEUE_ROW);
    rows[place + SERVICE] = index;
  }
}

/** Notes what packet `i` tells of its connection, which was just found in the table or, if `isNew`, inserted. */
export function noteSegment(
  forwarder: Forwarder,
  serviceIndex: number,
  i: number,
  backend: number,
  isNew: boolean,
): void {
  const { view, batch, flows } = forwarder;
  const table = forwarder.tables[serviceIndex] as ConnectionTable;
  const rows = forwarder.expiryRows[serviceIndex] as ExpiryRows;
  const slot = lastSlot(table);
  if (slot < 0) return;
  const row = slot * ROW;
  if (isNew) {
    // A SYN on the ports of the old connection: the client has given that up, and its backend will see.
    const isSame = rows[row + SOURCE] === flows.source[i] && rows[row + PORTS] === flows.ports[i];
    if (isSame) table.lastExpired = -1;
    else takeExpired(forwarder, serviceIndex, true);
    rows[row + STATE] = NOTHING;
  }
  const flags = flows.tcpFlags[i];
  if ((flags & (FIN | RST)) !== 0) rows[row + STATE] = ENDED;
  const state = rows[row + STATE];
  if ((flags & ACK) === 0 || state === ENDED) return;

  const frame = batch.offset[i];
  const segment = flows.l4[i];
  const end = sequenceEnd(view, segment, frame + ETHERNET_HEADER_LENGTH + flows.ipLength[i] - segment, flags);
  const acknowledged = acknowledgement(view, segment);
  // What comes again or out of order takes nothing back: a keep-alive probe's SEQ is one below what was sent.
  if (state === NOTHING || isAfter(end, rows[row + SEQUENCE_END])) rows[row + SEQUENCE_END] = end;
  if (state === NOTHING || isAfter(acknowledged, rows[row + ACKNOWLEDGED])) rows[row + ACKNOWLEDGED] = acknowledged;
  rows[row + SOURCE] = flows.source[i];
  rows[row + PORTS] = flows.ports[i];
  rows[row + MAC_LOW] = sourceMacLow(view, frame);
  rows[row + STATE] = sourceMacHigh(view, frame) | ((backend + 1) << 16);
}

/** Sequence numbers compare modulo 2^32 (RFC 9293, 3.4). */
function isAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/**
 * True where the last `find` or `insert` met an entry that had idled out and was live. Then its resets wait in the queue;
 * the client's is left out where the packet at hand is made into it.
 */
export function takeExpired(forwarder: Forwarder, serviceIndex: number, tellsClient: boolean): boolean {
  const table = forwarder.tables[serviceIndex] as ConnectionTable;
  const slot = table.lastExpired;
  table.lastExpired = -1;
  return slot >= 0 && enqueue(forwarder, serviceIndex, slot, tellsClient);
}

/** Sweeps a table of a service with `onExpiry: reset`; ends early where more has idled out than one sweep resets. */
export function sweepForResets(forwarder: Forwarder, serviceIndex: number, now: number, maxSlots: number): void {
  const { resets } = forwarder;
  const table = forwarder.tables[serviceIndex] as ConnectionTable;
  const count = sweep(table, now, maxSlots, resets.swept, Math.max(0, RESETS_A_SWEEP - resets.count));
  for (let i = 0; i < count; i++) enqueue(forwarder, serviceIndex, resets.swept[i], true);
  table.lastExpired = -1;
}

function enqueue(forwarder: Forwarder, serviceIndex: number, slot: number, tellsClient: boolean): boolean {
  const rows = forwarder.expiryRows[serviceIndex] as ExpiryRows;
  const { resets } = forwarder;
  const row = slot * ROW;
  const isLive = rows[row + STATE] >>> 16 !== 0;
  // It is full only where the device has had no free frame for a while: then the RST is lost, as any packet may be.
  if (isLive && resets.count < QUEUE_CAPACITY) {
    const place = resets.count++ * QUEUE_ROW;
    for (let word = 0; word < ROW; word++) resets.rows[place + word] = rows[row + word];
    resets.rows[place + SERVICE] = serviceIndex;
    resets.rows[place + TELLS_CLIENT] = tellsClient ? 1 : 0;
  }
  rows[row + STATE] = NOTHING;
  return isLive;
}

/** Sends what waits. Called between batches: the device's batch is empty before and after it. */
export function sendResets(forwarder: Forwarder, device: ResetDevice): void {
  const { resets } = forwarder;
  let done = 0;
  while (done < resets.count && appendPair(forwarder, device, done * QUEUE_ROW)) done++;
  device.send();
  resets.rows.copyWithin(0, done * QUEUE_ROW, resets.count * QUEUE_ROW);
  resets.count -= done;
}

/** Both frames of a waiting connection; false where the device has no free frame for the next. */
function appendPair(forwarder: Forwarder, device: ResetDevice, place: number): boolean {
  const { rows } = forwarder.resets;
  if (device.batch.count + 2 > device.batch.capacity) device.send();
  if (rows[place + TELLS_CLIENT] !== 0) {
    const i = device.append(RESET_FRAME_LENGTH);
    if (i < 0) return false;
    writeToClient(forwarder, place, i);
    rows[place + TELLS_CLIENT] = 0;
  }
  const service = forwarder.state.services[rows[place + SERVICE]];
  const backend = (rows[place + STATE] >>> 16) - 1;
  if (largestPacket(service.hops, backend) < RESET_PACKET_LENGTH) return true;
  const i = device.append(RESET_FRAME_LENGTH);
  if (i < 0) return false;
  writeToBackend(forwarder, place, i, backend);
  return true;
}

/** From the VIP, with SEQ = what the client expects next. */
function writeToClient(forwarder: Forwarder, place: number, i: number): void {
  const { view, batch, state } = forwarder;
  const { rows } = forwarder.resets;
  const service = state.services[rows[place + SERVICE]];
  const frame = batch.offset[i];
  const ports = rows[place + PORTS];
  setDestinationMac(view, frame, rows[place + MAC_LOW], rows[place + STATE] & 0xffff);
  setSourceMac(view, frame, state.ownMacLow, state.ownMacHigh);
  setEtherType(view, frame, ETHERTYPE_IPV4);
  const ip = frame + ETHERNET_HEADER_LENGTH;
  const from = swapPort(destinationPortOf(ports));
  const to = swapPort(ports & 0xffff);
  writeResetPacket(view, ip, service.vip[0], rows[place + SOURCE], from, to, rows[place + ACKNOWLEDGED], 0, RST);
  countReset(forwarder, service);
}

/** As from the client, by the service's encapsulation, with SEQ = what the backend expects next. */
function writeToBackend(forwarder: Forwarder, place: number, i: number, backend: number): void {
  const { view, batch, state } = forwarder;
  const { rows } = forwarder.resets;
  const service = state.services[rows[place + SERVICE]];
  const frame = batch.offset[i];
  const ports = rows[place + PORTS];
  const ip = frame + ETHERNET_HEADER_LENGTH;
  const from = swapPort(ports & 0xffff);
  const to = swapPort(destinationPortOf(ports));
  writeResetPacket(view, ip, rows[place + SOURCE], service.vip[0], from, to, rows[place + SEQUENCE_END], 0, RST);
  // `l2` keeps what the frame has.
  setEtherType(view, frame, ETHERTYPE_IPV4);
  const { encap, hops } = service;
  const hash = connectionHash(rows[place + SOURCE], ports, state.hashSeed);
  const grown = encapsulate(view, frame, RESET_PACKET_LENGTH, encap, hops, backend, hash);
  batch.offset[i] -= grown;
  batch.length[i] += grown;
  countReset(forwarder, service);
}

function countReset(forwarder: Forwarder, service: ServiceState): void {
  forwarder.counters[service.serviceBase + SERVICE_RESETS_SENT]++;
  forwarder.counters[service.serviceBase + SERVICE_EXPIRY_RESETS_SENT]++;
}
