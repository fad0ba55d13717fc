/**
 * The process of case `change-under-load` inside its namespace: the parts of `hushlb run` (a worker thread with its AF_XDP
 * device, steering, next hops, `reload`), and a clock around the hand-over. Prints `ready` and reads lines from stdin:
 * `change CHANGES_A_SECOND MS` changes the configuration that often for that long and is answered with a `ChangeResult`,
 * `losses` with what has become of lost packets, `Losses`, since the start.
 */
import { createInterface } from 'node:readline';
import { setTimeout as pause, setImmediate } from 'node:timers/promises';
import pino from 'pino';
import { requireLink } from '../../io/xdp.ts';
import { EXITS, FORWARDED } from '../../lb/exits.ts';
import { buildForwardingState } from '../../lb/forwarding-state.ts';
import { followNextHops } from '../../lb/next-hops.ts';
import { openPacketPath } from '../../lb/packet-path.ts';
import { prepare, ROOM_FOR_CHANGES } from '../../lb/prepare.ts';
import { backendAddresses } from '../../lb/reachability.ts';
import { reload } from '../../lb/reload.ts';
import { publishNext, type Running } from '../../lb/running.ts';
import { DEVICE_COUNTERS } from '../../lb/worker-device.ts';
import { planWorkers } from '../../lb/worker-plan.ts';
import type { Workers } from '../../lb/workers.ts';
import { allocateCounters } from '../../metrics/counters.ts';
import { changingConfigs } from './configurations.ts';

export interface ChangeResult {
  readonly seconds: number;
  /** For each change: milliseconds of the whole reload, and of it from the hand-over until the worker runs by the new state. */
  readonly reloadMs: readonly number[];
  readonly handOverMs: readonly number[];
}

export interface Losses {
  /** The worker did not come in time to take them: no frame was free to receive them into, or the ring was full. */
  readonly notReceived: number;
  /** It took them and did not forward them. */
  readonly notForwarded: number;
}

/** A quiet worker tells what its device counts when its wait for packets ends (lb/worker.ts). */
const COUNTED_WITHIN_MS = 150;

const configs = changingConfigs();
const logger = pino({ level: 'silent' });
const handOverMs: number[] = [];
const deviceCounters = new Float64Array(new SharedArrayBuffer(DEVICE_COUNTERS.length * 8));
const { running, close } = await putUp();
let generation = 0;
process.once('SIGTERM', () => void close().then(() => process.exit(0)));
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [command, changesASecond, ms] = line.split(' ');
  const answer = command === 'change' ? await change(Number(changesASecond), Number(ms)) : await losses();
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

/** As lb/daemon.ts does it. */
async function putUp(): Promise<{ running: Running; close: () => Promise<void> }> {
  const link = requireLink('eth0');
  const ownMac = link.mac ?? new Uint8Array(6);
  const prepared = prepare(configs[0], ROOM_FOR_CHANGES);
  const hops = followNextHops(link, backendAddresses(configs[0]), () => {});
  const counters = [allocateCounters(prepared.layout)];
  const state = buildForwardingState({ prepared, ownMac, hopOf: hops.hopOf, generation: 1 });
  const [config] = configs;
  const plan = planWorkers(1, config);
  const rows = { counters, deviceCounters: [deviceCounters] };
  const onWorkerEnd = (_: number, reason: Error): never => {
    throw reason;
  };
  const path = await openPacketPath({
    config,
    link,
    queueCount: 1,
    plan,
    ...rows,
    state,
    prepared: () => running.prepared,
    logger,
    onWorkerEnd,
  });
  const { steering, workers } = path;
  const running: Running = { prepared, state, ownMac, hops, steering, workers: timed(workers), counters };
  publishNext(running);
  return { running, close: () => path.close() };
}

/** The same workers, their hand-overs timed. */
function timed(workers: Workers): Workers {
  return {
    ...workers,
    publish(state) {
      const start = performance.now();
      workers.publish(state);
      void (async () => {
        while (workers.behind(state.generation).length > 0) await setImmediate();
        handOverMs.push(performance.now() - start);
      })();
    },
  };
}

/** A change that takes longer than its share delays the next ones, which then follow at once. */
async function change(changesASecond: number, ms: number): Promise<ChangeResult> {
  const { signal } = new AbortController();
  const reloadMs: number[] = [];
  handOverMs.length = 0;
  const start = performance.now();
  const end = start + ms;
  for (let due = start; due < end; due += 1000 / changesASecond) {
    await pause(Math.max(0, due - performance.now()));
    const before = performance.now();
    await reload(running, configs[++generation % configs.length], { logger, signal });
    reloadMs.push(performance.now() - before);
  }
  const seconds = (performance.now() - start) / 1000;
  while (handOverMs.length < reloadMs.length) await setImmediate();
  return { seconds, reloadMs, handOverMs: [...handOverMs] };
}

async function losses(): Promise<Losses> {
  await pause(COUNTED_WITHIN_MS);
  const device = (name: (typeof DEVICE_COUNTERS)[number]): number => deviceCounters[DEVICE_COUNTERS.indexOf(name)];
  const { exitBase } = running.prepared.layout;
  const exits = exitBase.flatMap((base) => [...running.counters[0].subarray(base, base + EXITS.length)]);
  const left = exits.reduce((sum, count, i) => sum + (i % EXITS.length === FORWARDED ? 0 : count), 0);
  return { notReceived: device('rx_dropped') + device('rx_ring_full'), notForwarded: left + device('tx_dropped') };
}
