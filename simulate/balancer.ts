/**
 * hushlb in virtual time: the forwarder that carries live traffic, with its connection table and its lookup table, on the
 * in-memory device. Nothing of it is modelled. What a worker does by its loop (lb/worker.ts) happens here by events: a
 * frame is a batch of one, and a sweep comes exactly when an entry of the table is due. simulate/world.ts carries the
 * frames to and fro.
 */
import { CLOSING_TIMEOUT_MS } from '../conntrack/table.ts';
import { createMemoryDevice } from '../io/memory-device.ts';
import { sweepTables } from '../lb/adopt.ts';
import type { Config } from '../lb/config.ts';
import { EXITS } from '../lb/exits.ts';
import { sendResets } from '../lb/expiry-reset.ts';
import { createWalk } from '../lb/forwarder.ts';
import type { Hop } from '../lb/forwarding-state.ts';
import { createOfflineBalancer } from '../lb/offline.ts';
import { SERVICE_NON_SYN_MISSES, SERVICE_RESETS_SENT } from '../metrics/counters.ts';
import { FIN, RST } from '../wire/tcp.ts';
import type { VirtualClock } from './clock.ts';
import { formatDuration } from './duration.ts';
import { readFrame } from './segment.ts';
import type { Story } from './story.ts';

export interface BalancerOptions {
  readonly config: Config;
  readonly clock: VirtualClock;
  readonly story: Story;
  readonly ownMac: Uint8Array;
  hopOf(address: string): Hop;
  /** A frame leaves; `isOwn` where the balancer made it, and did not merely forward it. */
  transmit(frame: Uint8Array, isOwn: boolean): void;
}

export interface SimulatedBalancer {
  receive(frame: Uint8Array): void;
  /** As a reload does, between two packets. */
  takeOver(config: Config): void;
  facts(): BalancerFacts;
}

/** The balancer's own counters, under the names that its metrics have. */
export interface BalancerFacts {
  readonly expired: number;
  readonly entriesAtPeak: number;
  readonly entries: number;
  readonly nonSynMisses: number;
  readonly resetsSent: number;
  /** Frames that left the walk by a drop. */
  readonly dropped: number;
}

export function createBalancer(options: BalancerOptions): SimulatedBalancer {
  const { config, clock, story, ownMac, hopOf, transmit } = options;
  const device = createMemoryDevice({ frameCount: 64, batchSize: 64 });
  const [service] = config.services;
  // One backend may be added.
  const room = { services: 1, backends: service.backends.length + 1 };
  const { forwarder, takeOver } = createOfflineBalancer({ config, device, ownMac, room, hopOf });
  const walk = createWalk(forwarder);
  const { idleTimeoutMs } = service.conntrack;
  const base = forwarder.state.services[0].serviceBase;
  const table = forwarder.tables[0];
  /** When a connection's entry is due, by the client's port; those that have seen FIN or RST are no longer told of. */
  const due = new Map<number, { readonly timeMs: number; readonly closing: boolean }>();
  const idleText = formatDuration(idleTimeoutMs);
  const manner = service.onExpiry === 'reset' ? 'and tells both sides by RST' : 'silently';
  let entriesAtPeak = 0;
  let dropped = 0;

  /** Tells of the entries that a look-up or a sweep has just let go. */
  function tellForgotten(expiredBefore: number): void {
    if (table === null || table.expired === expiredBefore) return;
    for (const [clientPort, { timeMs, closing }] of due) {
      if (timeMs > clock.now) continue;
      due.delete(clientPort);
      if (!closing)
        story.tell(clientPort, 'balancer', 'forget', `forgets the connection, idle for ${idleText}, ${manner}`);
    }
  }

  /** An entry should be due, if no packet has come since. */
  function sweepDue(clientPort: number): void {
    if (table === null || (due.get(clientPort)?.timeMs ?? Number.POSITIVE_INFINITY) > clock.now) return;
    const expiredAtFirst = table.expired;
    let expiredBefore: number;
    // A whole period passes every slot, but one sweep does not reset any number of connections.
    do {
      expiredBefore = table.expired;
      sweepTables(forwarder, Math.trunc(clock.now), Math.max(1000, idleTimeoutMs));
      sendExpiryResets();
    } while (table.expired > expiredBefore);
    tellForgotten(expiredAtFirst);
  }

  function sendExpiryResets(): void {
    if (forwarder.resets.count > 0) sendResets(forwarder, device);
    flush(true);
  }

  function flush(isOwn: boolean): void {
    for (const frame of device.sent.splice(0)) transmit(frame, isOwn);
  }

  function noteEntry(clientPort: number, flags: number, now: number): void {
    if (table === null) return;
    entriesAtPeak = Math.max(entriesAtPeak, table.size);
    const closing = (flags & (FIN | RST)) !== 0 || due.get(clientPort)?.closing === true;
    const timeoutMs = closing ? Math.min(idleTimeoutMs, CLOSING_TIMEOUT_MS) : idleTimeoutMs;
    due.set(clientPort, { timeMs: now + timeoutMs, closing });
    // The clock may be a fraction of a millisecond past `now`.
    clock.after(Math.max(0, now + timeoutMs - clock.now), () => sweepDue(clientPort));
  }

  return {
    receive(frame) {
      const now = Math.trunc(clock.now);
      const missesBefore = forwarder.counters[base + SERVICE_NON_SYN_MISSES];
      const expiredBefore = table === null ? 0 : table.expired;
      device.inject(frame);
      device.receive(0);
      walk(now);
      const { verdict, reason } = EXITS[forwarder.exit[0]];
      device.send();
      tellForgotten(expiredBefore);
      const segment = readFrame(frame);
      if (segment !== undefined) {
        const missed = forwarder.counters[base + SERVICE_NON_SYN_MISSES] > missesBefore;
        tellVerdict(segment.sourcePort, verdict, reason, missed);
        if (verdict === 'forward') noteEntry(segment.sourcePort, segment.flags, now);
      }
      if (verdict === 'drop') dropped++;
      flush(verdict === 'reset');
      sendExpiryResets();
    },
    takeOver: (next) => takeOver(next, Math.trunc(clock.now)),
    facts: () => ({
      expired: table === null ? 0 : table.expired,
      entriesAtPeak,
      entries: table === null ? 0 : table.size,
      nonSynMisses: forwarder.counters[base + SERVICE_NON_SYN_MISSES],
      resetsSent: forwarder.counters[base + SERVICE_RESETS_SENT],
      dropped,
    }),
  };

  function tellVerdict(clientPort: number, verdict: string, reason: string, missed: boolean): void {
    if (verdict === 'reset') {
      story.tell(clientPort, 'balancer', 'reset', 'does not know the connection and answers RST itself');
    } else if (verdict === 'drop') {
      story.tell(clientPort, 'balancer', 'drop', `drops it (${reason})`);
    } else if (missed && table !== null) {
      const how = service.scheduler === 'maglev' ? 'hashes it again' : 'gives it to the next backend in turn';
      story.tell(clientPort, 'balancer', 'pick-up', `does not know the connection and ${how}`);
    }
  }
}
