/**
 * The forwarder that carries live traffic, on the packets of a capture: one at a time, in the capture's own time, so that
 * hours of idling pass in a moment and are still hours to the connection table. `hushlb replay` feeds it; nothing of the
 * packets is kept.
 */

import { TRANSMIT } from '../io/device.ts';
import type { ReadPacket } from '../io/pcapng-reader.ts';
import type { Config } from '../lb/config.ts';
import { EXIT_ACTION, EXITS, type Verdict } from '../lb/exits.ts';
import { sendResets } from '../lb/expiry-reset.ts';
import { createWalk } from '../lb/forwarder.ts';
import { createOfflineBalancer } from '../lb/offline.ts';
import { expireWaiting, walkWaiting } from '../lb/waiting.ts';
import { decisionText } from './decision.ts';
import { createExpiry } from './expiry.ts';
import { createFrameDevice } from './frame-device.ts';
import { type HopSettings, hopsOf } from './made-up-hops.ts';
import { expiryResetText } from './reset-text.ts';
import { type Facts, factsOf, type Tally } from './summary.ts';
import { createWitness, type Decision } from './witness.ts';

const NS_PER_MS = 1_000_000n;

/** What became of a packet. */
export interface ReplayedPacket {
  readonly verdict: Verdict;
  readonly isSent: boolean;
  /** The frame that goes out, or of a packet that isn't sent the one that came in. Good until the callback returns. */
  readonly bytes: Uint8Array;
  readonly timestampNs: bigint;
  /** One line: service, hit or miss, slot, backend. */
  readonly comment: string;
}

export interface ReplayOptions {
  readonly config: Config;
  readonly hops: HopSettings;
  /** Takes packets that the file marks as sent by the captured host, too. */
  readonly outbound: boolean;
  onPacket(packet: ReplayedPacket): void;
}

export interface Replay {
  take(packet: ReadPacket): void;
  /** The end: what it came to. */
  finish(): Facts;
}

export function createReplay({ config, hops, outbound, onPacket }: ReplayOptions): Replay {
  const tally: Tally = { packets: 0, cut: 0, outbound: 0, backwards: 0, sent: 0, firstNs: 0n, lastNs: 0n };
  let timestampNs = 0n;
  let comment: string | undefined;
  let verdict: Verdict = 'reset';

  const device = createFrameDevice((bytes) => {
    tally.sent++;
    onPacket({ verdict, isSent: true, bytes, timestampNs, comment: comment ?? expiryResetText(config, bytes) });
  });
  const balancer = createOfflineBalancer({ config, device, ownMac: hops.ownMac, hopOf: hopsOf(hops) });
  const { forwarder } = balancer;
  const walk = createWalk(forwarder);
  const expiry = createExpiry(forwarder);
  const witness = createWitness(forwarder);

  const nowMs = (): number => Number((tally.lastNs - tally.firstNs) / NS_PER_MS);

  /** Sends the RSTs of connections that have idled out. */
  function sendWaiting(): void {
    comment = undefined;
    verdict = 'reset';
    while (forwarder.resets.count > 0) sendResets(forwarder, device);
  }

  function sendDue(atMs: number): void {
    timestampNs = tally.firstNs + BigInt(atMs) * NS_PER_MS;
    sendWaiting();
  }

  return {
    take(packet) {
      if (tally.packets++ === 0) tally.firstNs = tally.lastNs = packet.timestampNs;
      // Time never goes back for a connection table: it stands until the capture has caught up.
      if (packet.timestampNs < tally.lastNs) tally.backwards++;
      else tally.lastNs = packet.timestampNs;
      if (packet.direction === 'out' && !outbound) tally.outbound++;
      else if (packet.bytes.length < packet.originalLength) tally.cut++;
      else forward(packet);
    },
    finish() {
      expiry.until(nowMs(), sendDue);
      expiry.finish(nowMs(), sendDue);
      expireWaiting(forwarder, nowMs());
      return factsOf(config, balancer.layout(), forwarder.counters, tally);
    },
  };

  function forward(packet: ReadPacket): void {
    const now = nowMs();
    expiry.until(now, sendDue);
    device.load(packet.bytes);
    timestampNs = packet.timestampNs;
    const decision = walkAndTell(now);
    device.send();
    if (EXIT_ACTION[forwarder.exit[0]] !== TRANSMIT) {
      onPacket({ verdict, isSent: false, bytes: packet.bytes, timestampNs, comment: comment ?? '' });
    }
    if (decision?.looked === true) expiry.note(decision.service, now, decision.ends);
    if (forwarder.resets.count > 0) sendWaiting();
    // All that waited for this packet is of its datagram: what is said of the first of them is true of all.
    walkWaiting(forwarder, device, walkAndTell, now);
  }

  function walkAndTell(now: number): Decision | undefined {
    witness.before();
    walk(now);
    const decision = witness.after(now);
    const exit = forwarder.exit[0];
    verdict = EXITS[exit].verdict;
    comment = decisionText(config, exit, decision);
    return decision;
  }
}
