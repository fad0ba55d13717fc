/**
 * What becomes of connections, told by the side of the packet's walk while somebody follows (`hushlb events --follow`): from the
 * columns, counters and tables that the walk has written anyway, as replay/witness.ts does for captures. The walk is the same
 * whether anybody looks or not; lb/worker.ts calls `before` and `after` around it, which costs one load a batch if nobody does.
 *
 * ```
 *   before ─► walk ─► after ─► rows ─► post, every 50 ms at most ─► lb/observations.ts: names, sentences, the event log
 *     │                 │
 *     where packets     exits: reset, dropped      counters: pickups, evictions       hash against table: mismatch
 *     begin
 * ```
 *
 * A worker tells 1,000 events a second and looks closely at 20,000 packets; what is above that is counted and told as a
 * number. Resets and drops are counted exactly, from the exits; pick-ups and evictions too, from the counters. Mismatches are
 * told once a connection, of packets that were looked at.
 */
// Hot path: no allocation, no throw, no closure, no await. But for a report, some 20 times a second.
import { createEntry, readEntry } from '../conntrack/entries.ts';
import { type ConnectionTable, slotOf } from '../conntrack/table.ts';
import { flowSlot } from '../hashing/flow-hash.ts';
import { flowSlotIpv6 } from '../hashing/flow-hash-ipv6.ts';
import { elapsed } from '../io/clock.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { ACK, FIN, RST, SYN } from '../wire/tcp.ts';
import { PROTOCOL_UDP } from '../wire/udp.ts';
import * as exits from './exits.ts';
import type { Forwarder } from './forwarder.ts';
import type { ForwardingState, ServiceState } from './forwarding-state.ts';
import * as observed from './observed-rows.ts';
import { OFFSET_MASK } from './offset-mask.ts';
import { startOfIp } from './vlan-tags.ts';

export interface Observer {
  /** The batch as it was received. */
  before(): void;
  /** The same batch, walked at `now` and not sent yet. */
  after(now: number): void;
  /** There is something to post. */
  readonly isDue: boolean;
  /** Posts it, if the last time was long enough ago. */
  flush(now: number): void;
}

const FLUSH_MS = 50;
const SECOND_MS = 1000;
/** Connections of which a mismatch was told: a direct-mapped cache by their hash. */
const TOLD = 4096;

/** Exits of packets that opened nothing and that the table didn't know, by number. */
const MISSES = new Uint8Array(exits.EXITS.length);
for (const exit of [exits.RESET_UNKNOWN, exits.UNKNOWN_RESET, exits.UNKNOWN_DROPPED, exits.RESET_EXPIRED])
  MISSES[exit] = 1;

/** The observer of one forwarder, whose batches it looks at while `isFollowed`. Cold; what it returns is hot. */
export function createObserver(
  forwarder: Forwarder,
  isFollowed: () => boolean,
  post: (observations: observed.Observations) => void,
): Observer {
  const { view, batch, flows, counters, service, hash, exit, backend } = forwarder;
  const { source, destination, ports, tcpFlags, protocol } = flows;
  const entry = createEntry();
  const rows = new Int32Array(observed.EVENTS_A_SECOND * observed.OBSERVED_ROW);
  const leftOut = new Float64Array(observed.KINDS);
  const ipAt = new Int32Array(batch.capacity);
  const told = new Int32Array(TOLD);
  const touched = new Int32Array(batch.capacity);
  let state: ForwardingState | undefined;
  // By service: the counters as they were, what they have risen by in this batch, and whether that is known yet.
  let seenMisses = new Float64Array(0);
  let seenEvicted = new Float64Array(0);
  let missed = new Int32Array(0);
  let evicted = new Int32Array(0);
  let isTouched = new Uint8Array(0);
  // Packets of this batch that may have opened an entry, and the last of them.
  let inserts = new Int32Array(0);
  let newcomer = new Int32Array(0);
  let received = 0;
  let rowCount = 0;
  let toldInSecond = 0;
  let looked = 0;
  let unseen = 0;
  let second = 0;
  let flushed = 0;
  let isDue = false;
  let isActive = false;

  /** Of a new state, and where nobody has followed for a while. */
  function begin(): void {
    state = forwarder.state;
    const { services } = state;
    if (seenMisses.length !== services.length) {
      seenMisses = new Float64Array(services.length);
      seenEvicted = new Float64Array(services.length);
      missed = new Int32Array(services.length);
      evicted = new Int32Array(services.length);
      isTouched = new Uint8Array(services.length);
      inserts = new Int32Array(services.length);
      newcomer = new Int32Array(services.length);
    }
    for (let s = 0; s < services.length; s++) {
      seenMisses[s] = counters[services[s].missSlot];
      seenEvicted[s] = forwarder.tables[s]?.evicted ?? 0;
    }
    told.fill(0);
  }

  function before(): void {
    if (!isFollowed()) {
      isActive = false;
      return;
    }
    if (!isActive || state !== forwarder.state) begin();
    isActive = true;
    received = batch.count;
    for (let i = 0; i < received; i++) ipAt[i] = startOfIp(view, batch.offset[i] & OFFSET_MASK, batch.length[i]);
  }

  function after(now: number): void {
    if (!isActive || state === undefined) return;
    const { services } = state;
    let touchedCount = 0;
    for (let i = 0; i < received; i++) {
      const s = service[i];
      if (s < 0) continue;
      if (isTouched[s] === 0) {
        touched[touchedCount++] = s;
        noteRise(services[s], s);
      }
      const left = exit[i];
      if (left === exits.FORWARDED) lookAt(services[s], s, i, now);
      else tellExit(services[s], s, i, left);
    }
    for (let k = 0; k < touchedCount; k++) endService(services[touched[k]], touched[k]);
  }

  function noteRise({ missSlot }: ServiceState, s: number): void {
    isTouched[s] = 1;
    inserts[s] = 0;
    const inTable = forwarder.tables[s]?.evicted ?? 0;
    missed[s] = counters[missSlot] - seenMisses[s];
    evicted[s] = inTable - seenEvicted[s];
    seenMisses[s] = counters[missSlot];
    seenEvicted[s] = inTable;
  }

  function endService(owner: ServiceState, s: number): void {
    isTouched[s] = 0;
    // Of packets that waited for this batch (lb/waiting.ts), or that were overtaken by another of their connection.
    if (forwarder.tables[s] !== null && owner.protocol !== PROTOCOL_UDP && missed[s] > 0)
      leaveOut(observed.PICKUP, missed[s]);
    for (; evicted[s] > 0; evicted[s]--) {
      if (!hasRoom()) {
        leaveOut(observed.EVICTION, evicted[s]);
        break;
      }
      addRow(observed.EVICTION, exits.FORWARDED, owner, -1, 0, inserts[s] === 1 ? newcomer[s] : -1);
    }
  }

  function tellExit(owner: ServiceState, s: number, i: number, left: number): void {
    if (MISSES[left] === 1) missed[s]--;
    const { verdict } = exits.EXITS[left];
    if (verdict !== 'reset' && verdict !== 'drop') return;
    const kind = verdict === 'reset' ? observed.RESET : observed.DROPPED;
    if (hasRoom())
      addRow(kind, left, owner, left === exits.NO_NEIGHBOUR || left === exits.TOO_BIG ? backend[i] : -1, 0, i);
    else leaveOut(kind, 1);
  }

  /** A packet that went on: did the table know its connection, and does the hash agree? */
  function lookAt(owner: ServiceState, s: number, i: number, now: number): void {
    const table = forwarder.tables[s];
    const opens = (tcpFlags[i] & (SYN | ACK | RST | FIN)) === SYN;
    if (table === null || owner.quic !== null || !isWhole(i)) return;
    if (opens) noteNewcomer(s, i);
    else compare(owner, s, i, now, table);
  }

  function compare(owner: ServiceState, s: number, i: number, now: number, table: ConnectionTable): void {
    if (looked >= observed.LOOKS_A_SECOND) {
      unseen++;
      isDue = true;
      return;
    }
    looked++;
    if (missed[s] > 0 && protocol[i] !== PROTOCOL_UDP) {
      const slot = slotOf(table, hash[i], source[i], ports[i]);
      const isKnown = slot >= 0 && readEntry(table, slot, now, entry) && (entry.isProven || entry.idleMs > 0);
      if (!isKnown) {
        missed[s]--;
        noteNewcomer(s, i);
        if (hasRoom()) addRow(observed.PICKUP, exits.FORWARDED, owner, backend[i], slot < 0 ? 1 : 0, i);
        else leaveOut(observed.PICKUP, 1);
        return;
      }
    }
    if (owner.rotation.length > 0) return;
    const choice = choiceOf(owner, i);
    const place = hash[i] >>> 20;
    if (choice === backend[i] || told[place] === hash[i]) return;
    if (!hasRoom()) leaveOut(observed.MISMATCH, 1);
    else {
      told[place] = hash[i];
      addRow(observed.MISMATCH, exits.FORWARDED, owner, backend[i], choice, i);
    }
  }

  function noteNewcomer(s: number, i: number): void {
    inserts[s]++;
    newcomer[s] = i;
  }

  /** No fragment, no ICMP error, no ping: those go by other rules. */
  function isWhole(i: number): boolean {
    const ip = ipAt[i];
    if (ipv4.version(view, ip) === 6) return ipv6.nextHeader(view, ip) === protocol[i];
    return !ipv4.isFragment(view, ip) && ipv4.protocol(view, ip) !== 1;
  }

  function choiceOf({ lookupTable, hashKind, isIpv6, protocol: number }: ServiceState, i: number): number {
    const seed = forwarder.state.hashSeed;
    const size = lookupTable.length;
    const from = ipAt[i] + ipv6.SOURCE;
    const to = ipAt[i] + ipv6.DESTINATION;
    const slot = isIpv6
      ? flowSlotIpv6(size, hashKind, view, from, to, ports[i], number, seed)
      : flowSlot(size, hashKind, source[i], destination[i], ports[i], number, seed);
    return lookupTable[slot];
  }

  function hasRoom(): boolean {
    return toldInSecond < observed.EVENTS_A_SECOND && rowCount < observed.EVENTS_A_SECOND;
  }

  function leaveOut(kind: number, count: number): void {
    leftOut[kind] += count;
    isDue = true;
  }

  /** `i` is the packet that caused it, or -1. */
  function addRow(kind: number, left: number, owner: ServiceState, chosen: number, other: number, i: number): void {
    const at = rowCount++ * observed.OBSERVED_ROW;
    toldInSecond++;
    isDue = true;
    rows[at + observed.ROW_KIND] = kind;
    rows[at + observed.ROW_EXIT] = left;
    rows[at + observed.ROW_CONNECTIONS] = owner.connections;
    rows[at + observed.ROW_BACKEND] = chosen;
    rows[at + observed.ROW_OTHER] = other;
    rows[at + observed.ROW_PORTS] = i < 0 ? 0 : ports[i];
    if (i < 0) return;
    rows[at + observed.ROW_ADDRESS] = source[i];
    if (!owner.isIpv6) return;
    // An RST was written over the packet: the client is its destination.
    const client = ipAt[i] + (kind === observed.RESET ? ipv6.DESTINATION : ipv6.SOURCE);
    for (let k = 0; k < 4; k++) rows[at + observed.ROW_ADDRESS + k] = view.getInt32(client + 4 * k, true);
  }

  function flush(now: number): void {
    const isNewSecond = elapsed(second, now) >= SECOND_MS;
    if (rowCount === 0 && !isNewSecond) return;
    if (!isNewSecond && elapsed(flushed, now) < FLUSH_MS) return;
    const lost = isNewSecond && (unseen > 0 || leftOut.some((count) => count > 0));
    if (rowCount > 0 || lost) {
      post({
        rows: rows.slice(0, rowCount * observed.OBSERVED_ROW),
        leftOut: lost ? [...leftOut] : null,
        unseen: lost ? unseen : 0,
      });
    }
    flushed = now;
    rowCount = 0;
    if (!isNewSecond) return;
    second = now;
    toldInSecond = 0;
    looked = 0;
    unseen = 0;
    leftOut.fill(0);
    isDue = false;
  }

  return {
    before,
    after,
    get isDue() {
      return isDue;
    },
    flush,
  };
}
