/**
 * The real forwarder on the in-memory device, for tests: frames in, exits and frames out, the clock in the caller's hand.
 */
import { createMemoryDevice } from '../../io/memory-device.ts';
import { sweepTables } from '../../lb/adopt.ts';
import { parseConfig } from '../../lb/config-file.ts';
import { EXITS } from '../../lb/exits.ts';
import { sendResets } from '../../lb/expiry-reset.ts';
import { createWalk, type Forwarder } from '../../lb/forwarder.ts';
import type { Hop } from '../../lb/forwarding-state.ts';
import { createOfflineBalancer } from '../../lb/offline.ts';
import { bytesOfIp, bytesOfMac, OWN_MAC } from '../packets.ts';

export const BACKENDS: Record<string, { address: string; mac: string }> = {
  b1: { address: '198.18.2.1', mac: '02:00:00:00:02:01' },
  b2: { address: '198.18.2.2', mac: '02:00:00:00:02:02' },
  b3: { address: '198.18.2.3', mac: '02:00:00:00:02:03' },
};
export const BALANCER_ADDRESS = '198.18.2.10';

export interface Outcome {
  /** 'forward', 'drop: fragment' … */
  exit: string;
  /** The frame that left, if one did. */
  frame: Uint8Array | undefined;
}

export interface Rig {
  readonly forwarder: Forwarder;
  /** Walks one frame at time `now` (ms). */
  walk(frame: Uint8Array, now?: number): Outcome;
  sweep(now: number, elapsedMs: number): void;
  /** Sends the resets that wait and returns their frames. */
  resets(): Uint8Array[];
  /** A counter of the first service. */
  count(slot: number): number;
  /** Which backend a forwarded frame went to, by its destination MAC. */
  backendOf(outcome: Outcome): string | undefined;
}

/** A service `web` on 198.18.10.1:80 with three backends; `overrides` are lines of YAML for the top level and the service. */
export function createRig(
  options: {
    top?: string;
    service?: string;
    hopOf?: (address: string) => Partial<Hop> | null;
    frameSize?: number;
    batchSize?: number;
    frameCount?: number;
  } = {},
): Rig {
  const { config } = parseConfig(
    `
interface: eth0
${options.top ?? ''}
services:
  - name: web
    vip: 198.18.10.1
    port: 80
    ${options.service ?? ''}
    backends:
${Object.entries(BACKENDS)
  .map(([name, { address }]) => `      - { name: ${name}, address: ${address} }`)
  .join('\n')}
`,
    'rig',
  );
  const device = createMemoryDevice({
    frameCount: options.frameCount ?? 128,
    frameSize: options.frameSize ?? 4096,
    batchSize: options.batchSize ?? 64,
  });
  const { forwarder } = createOfflineBalancer({
    config,
    device,
    ownMac: Uint8Array.from(bytesOfMac(OWN_MAC)),
    hopOf(address) {
      const overridden = options.hopOf?.(address);
      if (overridden === null) return undefined;
      const backend = Object.values(BACKENDS).find((candidate) => candidate.address === address);
      const mac = Uint8Array.from(bytesOfMac(backend?.mac ?? '02:00:00:00:ff:ff'));
      return { mac, source: Uint8Array.from(bytesOfIp(BALANCER_ADDRESS)), mtu: 1500, ...overridden };
    },
  });

  const walkBatch = createWalk(forwarder);
  return {
    forwarder,
    walk(frame, now = 0) {
      device.inject(frame);
      device.receive(0);
      walkBatch(now);
      const { verdict, reason } = EXITS[forwarder.exit[0]];
      const before = device.sent.length;
      device.send();
      return { exit: verdict === 'forward' ? verdict : `${verdict}: ${reason}`, frame: device.sent[before] };
    },
    sweep: (now, elapsedMs) => sweepTables(forwarder, now, elapsedMs),
    resets() {
      const before = device.sent.length;
      sendResets(forwarder, device);
      return device.sent.slice(before);
    },
    count: (slot) => forwarder.counters[forwarder.state.services[0].serviceBase + slot],
    backendOf({ frame }) {
      if (frame === undefined) return undefined;
      const mac = [...frame.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
      return Object.keys(BACKENDS).find((name) => BACKENDS[name].mac === mac);
    },
  };
}
