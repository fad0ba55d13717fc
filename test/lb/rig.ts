/**
 * The real forwarder on the in-memory device, for tests: frames in, exits and frames out, the clock in the caller's hand.
 */
import { createMemoryDevice } from '../../io/memory-device.ts';
import { type ForwarderDevice, sweepTables } from '../../lb/adopt.ts';
import type { Config } from '../../lb/config.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { EXITS } from '../../lb/exits.ts';
import { sendResets } from '../../lb/expiry-reset.ts';
import { createWalk, type Forwarder } from '../../lb/forwarder.ts';
import type { Hop } from '../../lb/forwarding-state.ts';
import { createOfflineBalancer, type OfflineBalancer } from '../../lb/offline.ts';
import { walkWaiting } from '../../lb/waiting.ts';
import type { CounterLayout } from '../../metrics/counters.ts';
import { bytesOfMac, OWN_MAC } from '../packets.ts';
import { bytesOfAddress } from '../packets6.ts';

export const BACKENDS: Record<string, { address: string; mac: string }> = {
  b1: { address: '198.18.2.1', mac: '02:00:00:00:02:01' },
  b2: { address: '198.18.2.2', mac: '02:00:00:00:02:02' },
  b3: { address: '198.18.2.3', mac: '02:00:00:00:02:03' },
};
/** For configurations that are taken over later. */
const MORE_BACKENDS: typeof BACKENDS = {
  b4: { address: '198.18.2.4', mac: '02:00:00:00:02:04' },
  b5: { address: '198.18.2.5', mac: '02:00:00:00:02:05' },
};
const ALL_BACKENDS = { ...BACKENDS, ...MORE_BACKENDS };
export const BALANCER_ADDRESS = '198.18.2.10';
/** The same hosts by their other address. */
export const BACKENDS_IPV6: typeof BACKENDS = {
  b1: { address: '2001:db8:2::1', mac: BACKENDS.b1.mac },
  b2: { address: '2001:db8:2::2', mac: BACKENDS.b2.mac },
  b3: { address: '2001:db8:2::3', mac: BACKENDS.b3.mac },
};
export const BALANCER_ADDRESS_IPV6 = '2001:db8:2::10';

export interface Outcome {
  /** 'forward', 'drop: fragment' … */
  exit: string;
  /** The frame that left, if one did. */
  frame: Uint8Array | undefined;
}

export interface Rig {
  readonly forwarder: Forwarder;
  /** Takes over a configuration of the same kind, with other lines or backends. */
  takeOver(options: RigConfig, nowMs?: number, down?: readonly string[]): void;
  layout(): CounterLayout;
  /** Walks one frame at time `now` (ms). */
  walk(frame: Uint8Array, now?: number): Outcome;
  /** Walks frames as one batch, then what waits, as a worker does; returns all frames that leave, in their order. */
  walkAll(frames: readonly Uint8Array[], now?: number): Uint8Array[];
  /** Packets that left by an exit, 'hold: early-fragment' and the like, of all services and none. */
  exits(exit: string): number;
  sweep(now: number, elapsedMs: number): void;
  /** Sends the resets that wait and returns their frames. */
  resets(): Uint8Array[];
  /** A counter of `web`. */
  count(slot: number): number;
  /** Which backend a forwarded frame went to, by its destination MAC. */
  backendOf(outcome: Outcome): string | undefined;
}

export interface RigConfig {
  /** Lines of YAML for the top level and the service. */
  top?: string;
  service?: string;
  vip?: string;
  /** YAML by backend; b1, b2 and b3 by default. */
  backends?: readonly string[];
  /** Whole services, as YAML, in front of `web`. */
  others?: readonly string[];
}

/** A backend as YAML. */
export function backendYaml(name: string, settings = ''): string {
  return `{ name: ${name}, address: ${ALL_BACKENDS[name].address}${settings === '' ? '' : `, ${settings}`} }`;
}

type HopConfig = RigConfig & { hopOf?: (address: string) => Partial<Hop> | null };

/** The same balancer on any device. */
export function balancerOn(device: ForwarderDevice, options: HopConfig): OfflineBalancer {
  return createOfflineBalancer({
    config: parsedConfig(options),
    room: { services: 8, backends: 64 },
    device,
    ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)),
    hopOf(address) {
      const overridden = options.hopOf?.(address);
      if (overridden === null) return undefined;
      const candidates = [...Object.values(ALL_BACKENDS), ...Object.values(BACKENDS_IPV6)];
      const backend = candidates.find((candidate) => candidate.address === address);
      const mac = Uint8Array.from(bytesOfMac(backend?.mac ?? '02:00:00:00:ff:ff'));
      const source = Uint8Array.from(bytesOfAddress(address.includes(':') ? BALANCER_ADDRESS_IPV6 : BALANCER_ADDRESS));
      return { mac, source, mtu: 1500, ...overridden };
    },
  });
}

/** A service `web` on 198.18.10.1:80, with three backends unless others are given. */
export function createRig(
  options: HopConfig & {
    frameSize?: number;
    batchSize?: number;
    frameCount?: number;
  } = {},
): Rig {
  const device = createMemoryDevice({
    frameCount: options.frameCount ?? 128,
    frameSize: options.frameSize ?? 4096,
    batchSize: options.batchSize ?? 64,
  });
  const { forwarder, layout, takeOver } = balancerOn(device, options);
  const walkBatch = createWalk(forwarder);
  return {
    forwarder,
    takeOver: (next, nowMs = 0, down) => takeOver(parsedConfig(next), nowMs, down && new Set(down)),
    layout,
    walk(frame, now = 0) {
      device.inject(frame);
      device.receive(0);
      walkBatch(now);
      const { verdict, reason } = EXITS[forwarder.exit[0]];
      const before = device.sent.length;
      device.send();
      return { exit: verdict === 'forward' ? verdict : `${verdict}: ${reason}`, frame: device.sent[before] };
    },
    walkAll(frames, now = 0) {
      const before = device.sent.length;
      for (const frame of frames) device.inject(frame);
      device.receive(0);
      walkBatch(now);
      device.send();
      walkWaiting(forwarder, device, walkBatch, now);
      return device.sent.slice(before);
    },
    exits(wanted) {
      const exit = EXITS.findIndex(({ verdict, reason }) => wanted === verdict || wanted === `${verdict}: ${reason}`);
      return layout().exitBase.reduce((sum, base) => sum + forwarder.counters[base + exit], 0);
    },
    sweep(now, elapsedMs) {
      sweepTables(forwarder, now, elapsedMs);
    },
    resets() {
      const before = device.sent.length;
      sendResets(forwarder, device);
      return device.sent.slice(before);
    },
    count(slot) {
      const web = layout().services.findIndex(({ name }) => name === 'web');
      return forwarder.counters[layout().serviceBase[web] + slot];
    },
    backendOf({ frame }) {
      if (frame === undefined) return undefined;
      const mac = [...frame.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
      return Object.keys(ALL_BACKENDS).find((name) => ALL_BACKENDS[name].mac === mac);
    },
  };
}

export function parsedConfig({
  top = '',
  service = '',
  vip = '198.18.10.1',
  backends,
  others = [],
}: RigConfig): Config {
  const listed = backends ?? Object.keys(BACKENDS).map((name) => backendYaml(name));
  const text = `
interface: eth0
${top}
services:
${others.map((yaml) => `  - ${yaml}`).join('\n')}
  - name: web
    vip: ${vip}
    port: 80
    ${service}
    backends: [${listed.join(', ')}]
`;
  return parseConfig(text, 'rig').config;
}
