/**
 * A worker thread: one packet device, one forwarder, one plain loop. It waits for frames, walks
 * them, sends them, and between batches takes over a new state and sweeps its tables. Started by lb/workers.ts.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { Allocate } from '../conntrack/table.ts';
import { onlineCpus, pinThread } from '../io/affinity.ts';
import { createClock, elapsed } from '../io/clock.ts';
import type { PacketDevice } from '../io/device.ts';
import { errno, type HugeMapping, mapHuge, SystemCallError } from '../io/ffi.ts';
import { type Leftovers, leftoversOfThread } from '../io/leftovers.ts';
import { adoptState, createForwarder, MOST_SWEPT_PER_MS, sweepTables } from './adopt.ts';
import {
  acknowledgeGeneration,
  announcedGeneration,
  announcedQueries,
  beat,
  type Control,
  isFollowed,
  stopBeating,
  stopRequested,
} from './control.ts';
import type { EntryQuery, EntryReport } from './entry-query.ts';
import { createEntryScan, type EntryScan } from './entry-scan.ts';
import { HushlbError } from './errors.ts';
import { sendResets } from './expiry-reset.ts';
import { createWalk, type Forwarder } from './forwarder.ts';
import type { ForwardingState } from './forwarding-state.ts';
import type { Observations } from './observed-rows.ts';
import { createObserver } from './observer.ts';
import { decodeState, type StateMessage } from './state-message.ts';
import { walkWaiting } from './waiting.ts';
import { type DeviceOptions, openWorkerDevice, type WorkerDevice } from './worker-device.ts';

export interface WorkerInput {
  readonly device: DeviceOptions;
  /** Where the thread stays; null: wherever the kernel likes. */
  readonly cpu: number | null;
  readonly control: Control;
  /** This worker's counter slots (metrics/counters.ts), on shared memory. */
  readonly counters: Float64Array;
  /** A row of device counters (`DEVICE_COUNTERS`) for each of its queues, on shared memory. */
  readonly deviceCounters: readonly Float64Array[];
  readonly state: ForwardingState;
  /** Questions come by it, and a WorkerReport each goes back. */
  readonly port: MessagePort;
}

export type WorkerReport =
  | { readonly kind: 'entries'; readonly entries: EntryReport }
  | { readonly kind: 'observed'; readonly observed: Observations };

export type WorkerMessage =
  /** `leftovers`: what is to be given back when the thread has ended, if it does not get to `closed`. */
  | { readonly kind: 'ready'; readonly zeroCopy: boolean; readonly leftovers: Leftovers }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string }
  /** Its sockets are closed; `leftovers` is the rest. */
  | { readonly kind: 'closed'; readonly leftovers: Leftovers };

/** How long a quiet worker sleeps in poll(2) before it looks at its tables; a stop or a new state wakes it. */
const RECEIVE_TIMEOUT_MS = 100;
/** Pause between two sweeps under load. */
const TICK_MS = 20;
function runLoop(
  { device, publishCounters }: WorkerDevice,
  forwarder: Forwarder,
  input: WorkerInput,
  mapped: Set<HugeMapping>,
): void {
  const walk = createWalk(forwarder);
  const { control } = input;
  const report = (message: WorkerReport, rows: ArrayBuffer): void => input.port.postMessage(message, [rows]);
  const scan = createEntryScan(forwarder, (entries) => report({ kind: 'entries', entries }, entries.rows.buffer));
  const observer = createObserver(
    forwarder,
    () => isFollowed(control),
    (observed) => report({ kind: 'observed', observed }, observed.rows.buffer),
  );
  let queries = 0;
  const clock = createClock();
  let ticked = clock.milliseconds();
  while (!stopRequested(control)) {
    beat(control);
    const count = receive(device, scan.isBusy ? 0 : RECEIVE_TIMEOUT_MS);
    const now = clock.milliseconds();
    if (announcedGeneration(control) !== forwarder.state.generation) {
      takeOver(forwarder, control);
      giveBackUnused(mapped, forwarder);
    }
    if (count > 0) {
      observer.before();
      walk(now);
      observer.after(now);
      device.send();
      walkWaiting(forwarder, device, walk, now);
    }
    if (elapsed(ticked, now) >= TICK_MS) {
      sweepTables(forwarder, now, elapsed(ticked, now), MOST_SWEPT_PER_MS);
      publishCounters(input.deviceCounters);
      ticked = now;
    }
    if (forwarder.resets.count > 0) sendResets(forwarder, device);
    if (announcedQueries(control) !== queries) queries = takeQueries(scan, input, queries);
    if (scan.isBusy) scan.work(now);
    if (observer.isDue) observer.flush(now);
  }
}

/** Returns how many have come since the start, `before` of them earlier. */
function takeQueries(scan: EntryScan, { port }: WorkerInput, before: number): number {
  let taken = before;
  for (;;) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) return taken;
    scan.accept(received.message as EntryQuery);
    taken = (taken + 1) | 0;
  }
}

/**
 * While the interface is down nothing arrives, and the worker keeps its table for when it is up again. Anything else that
 * goes wrong with it is thrown: a socket does not come back from the interface's end.
 */
function receive(device: PacketDevice, timeoutMs: number): number {
  try {
    return device.receive(timeoutMs);
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.ENETDOWN) return 0;
    throw error;
  }
}

/** Takes over the last of the states that wait: those before it are out of date already. */
function takeOver(forwarder: Forwarder, control: Control): void {
  if (parentPort === null) return;
  let state = forwarder.state;
  for (;;) {
    const received = receiveMessageOnPort(parentPort);
    if (received === undefined) break;
    state = decodeState(received.message as StateMessage, state);
  }
  if (state === forwarder.state) return;
  adoptState(forwarder, state);
  acknowledgeGeneration(control, state.generation);
}

function stayOn(cpu: number): void {
  try {
    pinThread(cpu);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new HushlbError(
      'CPU_UNAVAILABLE',
      `cpus: CPU ${cpu} does not exist, or this process may not use it; online are ${onlineCpus()}`,
    );
  }
}

/**
 * Connections of all tables together, up to which they are kept resident on huge pages: 256 MiB a worker. What
 * `onExpiry: reset` remembers of a connection takes one and a half times as much again, of IPv6 two and a half times.
 */
const RESIDENT_CAPACITY = 8 * 1024 * 1024;
const HUGE_PAGE = 2 * 1024 * 1024;
const CAPACITY_WITH_RESETS = 2.5;
const CAPACITY_WITH_RESETS_IPV6 = 3.5;

/** For the tables of the start, noted in `mapped`. A thousand services with room to spare use ordinary memory. */
function tableMemory({ services }: ForwardingState, mapped: Set<HugeMapping>): Allocate | undefined {
  const capacity = services.reduce((sum, { conntrack, resetsOnExpiry, isIpv6 }) => {
    const withResets = isIpv6 ? CAPACITY_WITH_RESETS_IPV6 : CAPACITY_WITH_RESETS;
    return sum + (conntrack?.capacity ?? 0) * (resetsOnExpiry ? withResets : 1);
  }, 0);
  if (capacity > RESIDENT_CAPACITY) return undefined;
  return (bytes) => {
    // It would take a whole one: 2 GB for a thousand services.
    if (bytes < HUGE_PAGE) return new ArrayBuffer(bytes);
    const mapping = mapHuge(bytes);
    mapped.add(mapping);
    return mapping.buffer;
  };
}

/** Of services that a reload has removed. Never unmapped: nobody could tell whether V8 still has a view of it. */
function giveBackUnused(mapped: Set<HugeMapping>, { tables, expiryRows }: Forwarder): void {
  const inUse = new Set([
    ...tables.map((table) => table?.words.buffer),
    ...expiryRows.map((rows) => rows?.words.buffer),
  ]);
  for (const mapping of mapped) {
    if (inUse.has(mapping.buffer)) continue;
    mapping.discard();
    mapped.delete(mapping);
  }
}

function main(input: WorkerInput, post: (message: WorkerMessage) => void): void {
  let opened: WorkerDevice | undefined;
  try {
    // Before anything is allocated: memory comes from the node of the CPU that touches it first.
    if (input.cpu !== null) stayOn(input.cpu);
    opened = openWorkerDevice(input.device);
    const mapped = new Set<HugeMapping>();
    const forwarder = createForwarder(opened.device, input.counters, input.state, tableMemory(input.state, mapped));
    acknowledgeGeneration(input.control, input.state.generation);
    post({ kind: 'ready', zeroCopy: opened.zeroCopy, leftovers: leftoversOfThread() });
    runLoop(opened, forwarder, input, mapped);
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    // Without a code it is a bug: thrown on, it reaches the main thread with its stack.
    if (code === undefined) throw error;
    post({ kind: 'failed', message, code });
  } finally {
    stopBeating(input.control);
    opened?.device.close();
    post({ kind: 'closed', leftovers: leftoversOfThread() });
  }
}

if (parentPort !== null) {
  const port = parentPort;
  main(workerData as WorkerInput, (message) => port.postMessage(message));
}
