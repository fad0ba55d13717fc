/**
 * `onExpiry: reset`: when a connection idles out, the balancer sends an RST to the client and one to the backend, as
 * several products do. Nothing of this is called, and no memory taken, for services with `onExpiry: silent`.
 *
 * An RST counts only with the sequence number that its receiver expects (RFC 9293, 3.10.7.4; RFC 5961, section 3.2). So
 * what the client sent last is remembered beside its entry in the connection table (lb/expiry-rows.ts).
 *
 * Only an ACK from the client makes a row live: else every SYN of a flood would be answered, some time later, to whoever's
 * address was forged. A connection that has sent FIN or RST ends by itself and gets none either.
 *
 * Entries are found to have idled out by the sweep, by the look-up of their next packet, or by an insertion that takes
 * their slot. Their rows go to a queue, which is sent between batches (`sendResets`): made from nothing, without the VLAN tags
 * that the client's frames may have had.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { type ConnectionTable, lastSlot, sweep } from '../conntrack/table.ts';
import { encapsulate, largestPacket } from '../dsr/encap.ts';
import { connectionHash } from '../hashing/flow-hash.ts';
import { addressDigest, connectionHashIpv6 } from '../hashing/flow-hash-ipv6.ts';
import type { PacketDevice } from '../io/device.ts';
import { SERVICE_EXPIRY_RESETS_SENT, SERVICE_RESETS_SENT } from '../metrics/counters.ts';
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  setDestinationMac,
  setEtherType,
  setSourceMac,
} from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { destinationPortOf, RST, swapPort } from '../wire/tcp.ts';
import {
  ACKNOWLEDGED,
  ADDRESS,
  type ExpiryRows,
  LONGEST_ROW,
  MAC_LOW,
  NOTHING,
  noteInRow,
  PORTS,
  SEQUENCE_END,
  SOURCE,
  STATE,
} from './expiry-rows.ts';
import type { Forwarder } from './forwarder.ts';
import type { ServiceState } from './forwarding-state.ts';
import { RESET_PACKET_LENGTH, RESET_PACKET_LENGTH_IPV6, writeResetPacket, writeResetPacketIpv6 } from './reset.ts';

/** Connections that one sweep of all tables resets at most: with a sweep every 20 ms, 12,800 a second and worker. */
const RESETS_A_SWEEP = 256;
/** Beside a sweep's: for each packet of a batch its own connection, and the one whose slot it took. */
const QUEUE_CAPACITY = RESETS_A_SWEEP + 128;
/** A row of either family, its service's index, and whether the client is to be told. */
const SERVICE = LONGEST_ROW;
const TELLS_CLIENT = LONGEST_ROW + 1;
const QUEUE_ROW = LONGEST_ROW + 2;

/** Connections that wait for their resets; one a forwarder. */
export interface ResetQueue {
  readonly rows: Int32Array;
  count: number;
  /** Where a sweep writes the slots that it has emptied. */
  readonly swept: Int32Array;
}

type ResetDevice = Pick<PacketDevice, 'batch' | 'append' | 'send'>;

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
  const { flows } = forwarder;
  const table = forwarder.tables[serviceIndex] as ConnectionTable;
  const rows = forwarder.expiryRows[serviceIndex] as ExpiryRows;
  const slot = lastSlot(table);
  if (slot < 0) return;
  const { words } = rows;
  const row = slot * rows.rowWords;
  if (isNew) {
    // A SYN on the ports of the old connection: the client has given that up, and its backend will see.
    const isSame = words[row + SOURCE] === flows.source[i] && words[row + PORTS] === flows.ports[i];
    if (isSame) table.lastExpired = -1;
    else takeExpired(forwarder, serviceIndex, true);
    words[row + STATE] = NOTHING;
  }
  noteInRow(forwarder, rows, row, i, backend);
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
  const { words, rowWords } = forwarder.expiryRows[serviceIndex] as ExpiryRows;
  const { resets } = forwarder;
  const row = slot * rowWords;
  const isLive = words[row + STATE] >>> 16 !== 0;
  // It is full only where the device has had no free frame for a while: then the RST is lost, as any packet may be.
  if (isLive && resets.count < QUEUE_CAPACITY) {
    const place = resets.count++ * QUEUE_ROW;
    for (let word = 0; word < rowWords; word++) resets.rows[place + word] = words[row + word];
    resets.rows[place + SERVICE] = serviceIndex;
    resets.rows[place + TELLS_CLIENT] = tellsClient ? 1 : 0;
  }
  words[row + STATE] = NOTHING;
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
  const service = forwarder.state.services[rows[place + SERVICE]];
  const packetLength = service.isIpv6 ? RESET_PACKET_LENGTH_IPV6 : RESET_PACKET_LENGTH;
  if (device.batch.count + 2 > device.batch.capacity) device.send();
  if (rows[place + TELLS_CLIENT] !== 0) {
    const i = device.append(ETHERNET_HEADER_LENGTH + packetLength);
    if (i < 0) return false;
    writeToClient(forwarder, service, place, i);
    rows[place + TELLS_CLIENT] = 0;
  }
  const backend = (rows[place + STATE] >>> 16) - 1;
  if (largestPacket(service.hops, backend) < packetLength) return true;
  const i = device.append(ETHERNET_HEADER_LENGTH + packetLength);
  if (i < 0) return false;
  writeToBackend(forwarder, service, place, i, backend, packetLength);
  return true;
}

/** From the VIP, with SEQ = what the client expects next. */
function writeToClient(forwarder: Forwarder, service: ServiceState, place: number, i: number): void {
  const { view, batch, state } = forwarder;
  const { rows } = forwarder.resets;
  const frame = batch.offset[i];
  setDestinationMac(view, frame, rows[place + MAC_LOW], rows[place + STATE] & 0xffff);
  setSourceMac(view, frame, state.ownMacLow, state.ownMacHigh);
  writePacket(forwarder, service, place, frame, true);
  countReset(forwarder, service);
}

/** As from the client, by the service's encapsulation, with SEQ = what the backend expects next. */
function writeToBackend(
  forwarder: Forwarder,
  service: ServiceState,
  place: number,
  i: number,
  backend: number,
  packetLength: number,
): void {
  const { view, batch, state } = forwarder;
  const { rows } = forwarder.resets;
  const { encap, hops, isIpv6 } = service;
  const frame = batch.offset[i];
  writePacket(forwarder, service, place, frame, false);
  // As of the connection's own packets, so that the RST takes their way.
  const client = frame + ETHERNET_HEADER_LENGTH + ipv6.SOURCE;
  const ports = rows[place + PORTS];
  const hash = isIpv6
    ? connectionHashIpv6(addressDigest(view, client, state.hashSeed), ports)
    : connectionHash(rows[place + SOURCE], ports, state.hashSeed);
  const grown = encapsulate(view, frame, packetLength, encap, hops, backend, hash);
  batch.offset[i] -= grown;
  batch.length[i] += grown;
  countReset(forwarder, service);
}

/** The EtherType too: `l2` keeps what the frame has. */
function writePacket(
  { view, resets }: Forwarder,
  { vip, isIpv6 }: ServiceState,
  place: number,
  frame: number,
  toClient: boolean,
): void {
  const { rows } = resets;
  const ip = frame + ETHERNET_HEADER_LENGTH;
  const ports = rows[place + PORTS];
  const clientPort = swapPort(ports & 0xffff);
  const servicePort = swapPort(destinationPortOf(ports));
  const from = toClient ? servicePort : clientPort;
  const to = toClient ? clientPort : servicePort;
  const sequence = rows[place + (toClient ? ACKNOWLEDGED : SEQUENCE_END)];
  setEtherType(view, frame, isIpv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  if (!isIpv6) {
    const client = rows[place + SOURCE];
    writeResetPacket(view, ip, toClient ? vip[0] : client, toClient ? client : vip[0], from, to, sequence, 0, RST);
    return;
  }
  const vipAt = toClient ? 0 : 4;
  const clientAt = 4 - vipAt;
  for (let k = 0; k < 4; k++) {
    addresses[vipAt + k] = vip[k];
    addresses[clientAt + k] = rows[place + ADDRESS + k];
  }
  writeResetPacketIpv6(view, ip, addresses, from, to, sequence, 0, RST);
}

/** Source and destination, four words each; used within one call. */
const addresses = new Int32Array(8);

function countReset(forwarder: Forwarder, service: ServiceState): void {
  forwarder.counters[service.serviceBase + SERVICE_RESETS_SENT]++;
  forwarder.counters[service.serviceBase + SERVICE_EXPIRY_RESETS_SENT]++;
}
