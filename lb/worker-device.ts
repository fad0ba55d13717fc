/**
 * A worker's packet device, whichever it is: opened from plain options, and its own counters in one form. Called by
 * lb/worker.ts on the worker's thread; lb/portable-worker.ts opens its own.
 */
import { type AfPacketDevice, type AfPacketOptions, createAfPacketDevice } from '../io/af-packet-device.ts';
import { type AfXdpDevice, type AfXdpOptions, createAfXdpDevice } from '../io/af-xdp-device.ts';
import type { PacketDevice } from '../io/device.ts';
import type { PortableDevice } from '../io/portable-device.ts';

export type DeviceOptions =
  | { readonly io: 'af-xdp'; readonly options: AfXdpOptions }
  | { readonly io: 'af-packet'; readonly options: AfPacketOptions };

export interface WorkerDevice {
  readonly device: PacketDevice;
  readonly zeroCopy: boolean;
  /** Writes what the device counts by itself: a row of `DEVICE_COUNTERS` for each of its queues. */
  publishCounters(rows: readonly Float64Array[]): void;
}

/** What a device counts by itself, in the order of its row. */
export const DEVICE_COUNTERS = ['rx_dropped', 'rx_ring_full', 'fill_ring_empty', 'tx_dropped'] as const;

export const RX_DROPPED = 0;
const RX_RING_FULL = 1;
const FILL_RING_EMPTY = 2;
const TX_DROPPED = 3;

/** Throws SystemCallError with advice. */
export function openWorkerDevice(wanted: DeviceOptions): WorkerDevice {
  if (wanted.io === 'af-xdp') {
    const device = createAfXdpDevice(wanted.options);
    return { device, zeroCopy: device.zeroCopy, publishCounters: (rows) => publishXdp(device, rows) };
  }
  const device = createAfPacketDevice(wanted.options);
  return { device, zeroCopy: false, publishCounters: ([row]) => publishPacket(device, row) };
}

function publishXdp({ queues }: AfXdpDevice, rows: readonly Float64Array[]): void {
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    const statistics = queues[i].statistics();
    row[RX_DROPPED] = statistics.rxDropped;
    row[RX_RING_FULL] = statistics.rxRingFull;
    row[FILL_RING_EMPTY] = statistics.fillRingEmpty;
    row[TX_DROPPED] = queues[i].txDropped;
  }
}

/** A packet socket has one ring and nothing to fill; what it drops beside that is longer than a slot. */
function publishPacket(device: AfPacketDevice, row: Float64Array): void {
  const { rxTooLong, rxRingFull, txDropped } = device.statistics();
  row[RX_DROPPED] = rxTooLong;
  row[RX_RING_FULL] = rxRingFull;
  row[TX_DROPPED] = txDropped;
}

/** What libpcap's buffer has no room for `cap` does not tell. */
export function publishPortable(device: PortableDevice, row: Float64Array): void {
  const { rxTooLong, txDropped } = device.statistics();
  row[RX_DROPPED] = rxTooLong;
  row[TX_DROPPED] = txDropped;
}
