/**
 * The way of datagrams whose QUIC connection id names their backend (`quic` of a service; lb/quic-lb.ts has the layout). Between
 * the two passes, and only where a service is so configured, `route` looks at its packets and takes those aside that are
 * routable; lb/detours.ts brings them back here in the second pass. All others go by table and hash, as any datagram: the
 * first packets of a connection, whose id the client has made up, among them.
 */
// Hot path: no allocation, no throw, no closure, no await.
import { find, insert } from '../conntrack/table.ts';
import { SERVICE_QUIC_ROUTED } from '../metrics/counters.ts';
import { FLOW } from '../wire/flow.ts';
import { lengthField, UDP_HEADER_LENGTH } from '../wire/udp.ts';
import type { SendTo } from './detours.ts';
import type { Forwarder } from './forwarder.ts';
import type { ForwardingState } from './forwarding-state.ts';
import { findServer, NO_SERVER } from './quic-lb.ts';

/** A way through the second pass, as those of lb/arrivals.ts. */
export const BY_SERVER_ID = -5;

export interface QuicWays {
  /** Names the backend of each routable packet of the batch, and BY_SERVER_ID as its way. */
  route(state: ForwardingState, count: number): void;
  /** Packet `i` to the backend that `route` has named; returns the exit. */
  leave(state: ForwardingState, i: number, now: number): number;
}

/** The ways of one forwarder. Cold; what it returns is hot. */
export function createQuicWays(forwarder: Forwarder, sendTo: SendTo): QuicWays {
  const { view, flows, counters, service, hash, exit, backend } = forwarder;
  const { source, ports, l4 } = flows;

  function route({ services }: ForwardingState, count: number): void {
    for (let i = 0; i < count; i++) {
      if (exit[i] !== FLOW) continue;
      const routes = services[service[i]].quic;
      if (routes === null) continue;
      const payload = l4[i] + UDP_HEADER_LENGTH;
      const server = findServer(routes, view, payload, lengthField(view, l4[i]) - UDP_HEADER_LENGTH);
      if (server === NO_SERVER) continue;
      backend[i] = server;
      exit[i] = BY_SERVER_ID;
    }
  }

  /**
   * The table learns of the way too: for ICMP errors, and for packets from the same address whose id names nobody. A draining
   * backend keeps what names it: it is a connection that it has.
   */
  function leave(state: ForwardingState, i: number, now: number): number {
    const ownerIndex = service[i];
    const owner = state.services[ownerIndex];
    const table = forwarder.tables[ownerIndex];
    const server = backend[i];
    if (table !== null && find(table, hash[i], source[i], ports[i], now) !== server) {
      insert(table, hash[i], source[i], ports[i], server, now);
    }
    counters[owner.serviceBase + SERVICE_QUIC_ROUTED]++;
    return sendTo(state, owner, ownerIndex, server, i, now);
  }

  return { route, leave };
}
