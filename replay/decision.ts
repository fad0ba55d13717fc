/**
 * Why a packet went where it went: what the connection table and the lookup table say of it, asked before the walk, and told
 * in one line after it. replay/replay.ts calls it for each packet; the walk alone decides.
 */
import { type ConnectionTable, find, MISS } from '../conntrack/table.ts';
import { connectionHash, flowSlot } from '../hashing/flow-hash.ts';
import { NO_BACKEND } from '../hashing/lookup-table.ts';
import type { Config, ServiceConfig } from '../lb/config.ts';
import { EXITS, FORWARDED, NO_NEIGHBOUR, TOO_BIG, TOO_BIG_ANSWERED } from '../lb/exits.ts';
import type { Forwarder } from '../lb/forwarder.ts';
import { findService } from '../lb/service-index.ts';
import { createFlowBatch, FLOW, parseFlow } from '../wire/flow.ts';
import { ACK, destinationPortOf, FIN, RST, SYN } from '../wire/tcp.ts';

/** Of a packet for a service: in the table; a new connection; neither, because it was forgotten or was never there. */
export type Finding = 'hit' | 'syn' | 'forgotten' | 'unknown' | 'no-table';

export interface Prospect {
  /** Place in the configuration. */
  readonly service: number;
  readonly finding: Finding;
  /** Of the lookup table; -1 where round-robin is in force. */
  readonly slot: number;
  readonly tableSize: number;
  /** Place in the service's list; -1 where there is none. */
  readonly backend: number;
  /** Closes the connection: its entry lives shorter from now on. */
  readonly ends: boolean;
}

const flows = createFlowBatch(1);

/**
 * What the walk will find for the frame in row 0; undefined for a packet of no service. Looks into the connection table as
 * the walk will at the same time: what the first look changes (an entry was seen, or has idled out), the second leaves.
 */
export function lookAhead(forwarder: Forwarder, now: number): Prospect | undefined {
  const { view, batch, state, tables, cursors } = forwarder;
  if (parseFlow(view, batch.offset[0], batch.length[0], flows, 0) !== FLOW) return undefined;
  const [source, destination, ports, flags] = [
    flows.source[0],
    flows.destination[0],
    flows.ports[0],
    flows.tcpFlags[0],
  ];
  const service = findService(state.index, destination, destinationPortOf(ports), flows.protocol[0]);
  if (service < 0) return undefined;

  const { lookupTable, rotation, hashKind } = state.services[service];
  const opens = (flags & (SYN | ACK | RST | FIN)) === SYN;
  const table = tables[service];
  const known = { backend: MISS, finding: 'no-table' as Finding };
  if (table !== null) Object.assign(known, opens ? { finding: 'syn' } : lookUp(table, source, ports, forwarder, now));

  const tableSize = lookupTable.length;
  const isInTurn = rotation.length > 0;
  const slot = isInTurn
    ? -1
    : flowSlot(tableSize, hashKind, source, destination, ports, flows.protocol[0], state.hashSeed);
  const chosen = isInTurn ? rotation[cursors[service]] : lookupTable[slot];
  const backend = known.backend !== MISS ? known.backend : chosen === NO_BACKEND ? -1 : chosen;
  return { service, finding: known.finding, slot, tableSize, backend, ends: (flags & (FIN | RST)) !== 0 };
}

function lookUp(
  table: ConnectionTable,
  source: number,
  ports: number,
  { state }: Forwarder,
  now: number,
): { backend: number; finding: Finding } {
  const { expired } = table;
  const backend = find(table, connectionHash(source, ports, state.hashSeed), source, ports, now);
  if (backend !== MISS) return { backend, finding: 'hit' };
  return { backend, finding: table.expired > expired ? 'forgotten' : 'unknown' };
}

/** `web: miss (SYN) → slot 12345 of 65537 → b2; IPIP to 198.18.2.2`, or the like, for the exit that the packet left by. */
export function decisionText(config: Config, exit: number, prospect: Prospect | undefined): string {
  const { verdict, reason } = EXITS[exit];
  const service = prospect === undefined ? undefined : config.services[prospect.service];
  if (prospect === undefined || service === undefined) return `${verdict}: ${reason}`;
  const found = `${service.name}: ${findingText(prospect, service)}`;
  if (exit === FORWARDED) return `${found} → ${choiceText(prospect, service)}; ${wayText(prospect, service)}`;
  if (exit === TOO_BIG || exit === TOO_BIG_ANSWERED || exit === NO_NEIGHBOUR) {
    return `${found} → ${choiceText(prospect, service)}; ${verdict}: ${reason}`;
  }
  return `${found}; ${verdict}: ${reason}`;
}

function findingText({ finding }: Prospect, { conntrack }: ServiceConfig): string {
  switch (finding) {
    case 'hit':
      return 'hit';
    case 'syn':
      return 'miss (SYN)';
    case 'forgotten':
      return `miss (not SYN, forgotten: idle for ${conntrack.idleTimeoutMs / 1000}s or closed)`;
    case 'unknown':
      return 'miss (not SYN)';
    case 'no-table':
      return 'no connection table';
  }
}

function choiceText({ finding, slot, tableSize, backend }: Prospect, { backends }: ServiceConfig): string {
  const name = backends[backend]?.name ?? 'nobody';
  if (slot < 0) return finding === 'hit' ? name : `${name}, whose turn it is`;
  return finding === 'hit' ? `${name} (slot ${slot} of ${tableSize})` : `slot ${slot} of ${tableSize} → ${name}`;
}

function wayText({ backend }: Prospect, { encap, backends }: ServiceConfig): string {
  return `${encap === 'l2' ? 'L2' : 'IPIP'} to ${backends[backend]?.address}`;
}
