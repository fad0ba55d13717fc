/**
 * What the walk decided of one packet, told from what it wrote: its columns, its counters, its connection tables. Nothing is
 * decided here a second time but the slot of the lookup table, which the walk keeps no record of. replay/replay.ts asks
 * before and after each packet, replay/decision.ts puts the answer into words.
 */
import { type ConnectionTable, lastSlot, MISS, peek } from '../conntrack/table.ts';
import { flowSlot } from '../hashing/flow-hash.ts';
import { flowSlotIpv6 } from '../hashing/flow-hash-ipv6.ts';
import { EXITS, NO_BACKEND_LEFT } from '../lb/exits.ts';
import type { Forwarder } from '../lb/forwarder.ts';
import type { ServiceState } from '../lb/forwarding-state.ts';
import { startOfIp } from '../lb/vlan-tags.ts';
import { SERVICE_HITS, SERVICE_QUIC_ROUTED, SERVICE_SYN_MISSES } from '../metrics/counters.ts';
import { PROTOCOL_ICMP } from '../wire/icmp.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { FIN, RST } from '../wire/tcp.ts';

/**
 * Of a packet for a service. In the table; a new connection; neither, because it was forgotten or was never there. An ICMP
 * error about a connection that the table knows or doesn't know; a ping for a backend; a fragment that was sent after its
 * first; a datagram whose QUIC connection id names its backend.
 */
export type Finding =
  | 'hit'
  | 'syn'
  | 'forgotten'
  | 'unknown'
  | 'no-table'
  | 'error-hit'
  | 'error-miss'
  | 'ping'
  | 'fragment'
  | 'server-id';

export interface Decision {
  /** Place in the configuration. */
  readonly service: number;
  readonly finding: Finding;
  /** Of the lookup table; -1 where it has no say. */
  readonly slot: number;
  /** The flow's hash, of which the slot is the remainder; -1 where there is no slot. */
  readonly flowHash: number;
  readonly tableSize: number;
  /** Place in the service's list; it means something where the packet left by an exit behind the choice. */
  readonly backend: number;
  /** The connection table was asked, or written to. */
  readonly looked: boolean;
  /** Closes the connection: its entry lives shorter from now on. */
  readonly ends: boolean;
}

export interface Witness {
  /** The frame to be walked is in row 0. */
  before(): void;
  /** It was walked at `now`; undefined for a packet of no service. */
  after(now: number): Decision | undefined;
}

const OF_TABLE: readonly Finding[] = ['hit', 'syn', 'forgotten', 'unknown', 'server-id'];
const WITHOUT_SLOT: readonly Finding[] = ['fragment', 'server-id'];

/** The forwarder takes over no other state meanwhile. */
export function createWitness(forwarder: Forwarder): Witness {
  const { view, batch, counters, flows, state, tables, hash } = forwarder;
  const seen = new Float64Array(counters);
  const expired = tables.map(() => 0);
  // By table and slot: the hash of the connection that was last there.
  const owners = tables.map(() => new Map<number, number>());
  let ip = 0;

  function hasRisen(counter: number): boolean {
    const rose = counters[counter] > seen[counter];
    seen[counter] = counters[counter];
    return rose;
  }

  function findingOf(service: number, now: number): Finding {
    const { serviceBase, missSlot } = state.services[service];
    const [hits, opens, misses] = [serviceBase + SERVICE_HITS, serviceBase + SERVICE_SYN_MISSES, missSlot].map(
      hasRisen,
    );
    const table = tables[service];
    if (hits) return 'hit';
    if (hasRisen(serviceBase + SERVICE_QUIC_ROUTED)) return 'server-id';
    if (opens || misses) {
      if (table === null) return 'no-table';
      return opens ? 'syn' : wasForgotten(service, table) ? 'forgotten' : 'unknown';
    }
    const protocol = flows.protocol[0];
    if (protocol !== PROTOCOL_ICMP && protocol !== ipv6.PROTOCOL_ICMPV6) return 'fragment';
    if (flows.ports[0] === 0) return 'ping';
    const isKnown = table !== null && peek(table, hash[0], flows.source[0], flows.ports[0], now) !== MISS;
    return isKnown ? 'error-hit' : 'error-miss';
  }

  /** An entry idled out: this connection's own, when it was looked up, or another's, to make room for the new one. */
  function wasForgotten(service: number, table: ConnectionTable): boolean {
    const count = table.expired - expired[service];
    if (count !== 1 || table.lastPlace < 0) return count > 0;
    return owners[service].get(table.lastExpired) === hash[0];
  }

  function noteOwner(service: number, table: ConnectionTable): void {
    const slot = lastSlot(table);
    if (slot >= 0) owners[service].set(slot, hash[0]);
  }

  /**
   * The slot in a table of `size`; of 2^32 it is the hash itself. The client's address of an IPv6 flow is in the packet, or in
   * the one that an error quotes.
   */
  function slotOf({ hashKind, protocol, isIpv6 }: ServiceState, finding: Finding, size: number): number {
    const { source, destination, ports } = flows;
    const { hashSeed } = state;
    if (!isIpv6) return flowSlot(size, hashKind, source[0], destination[0], ports[0], protocol, hashSeed);
    const isError = finding === 'error-hit' || finding === 'error-miss';
    const client = isError ? forwarder.client[0] : ip + ipv6.SOURCE;
    return flowSlotIpv6(size, hashKind, view, client, ip + ipv6.DESTINATION, ports[0], protocol, hashSeed);
  }

  return {
    before() {
      ip = startOfIp(view, batch.offset[0], batch.length[0]);
      for (const [i, table] of tables.entries()) expired[i] = table?.expired ?? 0;
    },
    after(now) {
      const service = forwarder.service[0];
      const exit = forwarder.exit[0];
      if (service < 0 || !EXITS[exit].ofService) return undefined;
      const owner = state.services[service];
      const table = tables[service];
      const finding = findingOf(service, now);
      const looked = OF_TABLE.includes(finding) && exit !== NO_BACKEND_LEFT;
      if (looked && table !== null) noteOwner(service, table);
      const hasSlot = owner.rotation.length === 0 && !WITHOUT_SLOT.includes(finding);
      return {
        service,
        finding,
        slot: hasSlot ? slotOf(owner, finding, owner.lookupTable.length) : -1,
        flowHash: hasSlot ? slotOf(owner, finding, 2 ** 32) : -1,
        tableSize: owner.lookupTable.length,
        backend: forwarder.backend[0],
        looked,
        ends: (flows.tcpFlags[0] & (FIN | RST)) !== 0,
      };
    },
  };
}
