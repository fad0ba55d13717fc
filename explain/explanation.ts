/**
 * What one packet of a flow met in the forwarder, decision by decision, as data: explain/explain.ts makes one for what is and
 * one for what would be, explain/text.ts puts them into words. All of it was read from what the walk did (explain/stage.ts).
 */
import type { ServiceConfig } from '../lb/config.ts';
import { EXITS, type Verdict } from '../lb/exits.ts';
import { portText } from '../lb/ports.ts';
import { backendKey } from '../lb/service-table.ts';
import type { Finding } from '../replay/witness.ts';
import type { Flow } from './flow.ts';
import { type OuterHeader, readOuterHeader } from './outer-header.ts';
import type { Trial } from './stage.ts';

export interface ServiceFacts {
  readonly name: string;
  readonly vip: string;
  readonly protocol: string;
  /** As the configuration writes them. */
  readonly ports: string;
}

export interface Explanation {
  /** Null where no service has the packet; `others` are the VIP's services then. */
  readonly service: ServiceFacts | null;
  readonly others: readonly ServiceFacts[];
  readonly table: { readonly finding: Finding; readonly entry: EntryFacts | null } | null;
  /** What the hash is taken of, with which seed, and the number itself; null where the hash has no say. */
  readonly hash: { readonly by: string; readonly seed: number; readonly value: number } | null;
  /** Of how many, and whose it is, whether or not it was asked; null with round-robin. */
  readonly slot: { readonly number: number; readonly of: number; readonly backend: string | null } | null;
  /** Null where none was chosen, or where it is not known which. */
  readonly backend: BackendFacts | null;
  /** With round-robin: one of these, by whose turn it is, which only the workers know. */
  readonly anyOf: readonly string[];
  readonly outer: OuterHeader | null;
  /** Of the way to the backend: its MTU, and the largest packet of a client that fits; null where it is not known. */
  readonly room: { readonly mtu: number; readonly largest: number } | null;
  /** As in the metrics: `forward`, `forwarded`. */
  readonly verdict: Verdict;
  readonly reason: string;
  /** What else there is to know, one sentence each without a full stop. */
  readonly notes: readonly string[];
}

export interface EntryFacts {
  /** Null: whoever had the turn, with round-robin, when its first packet came. */
  readonly backend: string | null;
  /** The table was asked; else it is what the connection's first packet would have left. */
  readonly isKnown: boolean;
  readonly worker: number | null;
  readonly idleMs: number | null;
  readonly remainingMs: number | null;
}

export interface BackendFacts {
  readonly name: string;
  readonly address: string;
  readonly weight: number;
  readonly state: 'active' | 'draining';
  readonly isDown: boolean;
}

/** What the trial's walk cannot know. */
export interface Around {
  readonly flow: Flow;
  readonly opens: boolean;
  /** What the table had before the packet came. */
  readonly entry: EntryFacts | null;
  isMadeUp(address: string): boolean;
  readonly workers: number | null;
}

export function explanationOf(trial: Trial, around: Around): Explanation {
  const { decision, prepared, exit } = trial;
  const { verdict, reason } = EXITS[exit];
  const { services, hashSeed } = prepared.config;
  if (decision === undefined) {
    const others = services.filter(({ vip }) => vip === around.flow.to.address).map(factsOf);
    return { ...NOBODYS, others, verdict, reason };
  }
  const service = services[decision.service];
  const { entry } = around;
  const isUncertain = dependsOnTurns(trial, around, service);
  const backend = isUncertain ? undefined : service.backends.find(({ name }) => name === trial.backend);
  const isDown = backend !== undefined && prepared.down.has(backendKey(service.name, backend.name));
  const anyOf = trial.turns.length > 0 ? trial.turns : prepared.tables[decision.service].serving;
  const outer =
    trial.sent === undefined || isUncertain
      ? null
      : readOuterHeader(trial.sent, trial.length, service, around.isMadeUp(backend?.address ?? ''));
  const { name = '', address = '', weight = 1, state = 'active' } = backend ?? {};
  return {
    service: factsOf(service),
    others: [],
    table: { finding: decision.finding, entry },
    hash: decision.slot < 0 ? null : { by: service.hash, seed: hashSeed, value: decision.flowHash },
    slot: decision.slot < 0 ? null : { number: decision.slot, of: decision.tableSize, backend: trial.ofSlot ?? null },
    backend: backend === undefined ? null : { name, address, weight, state, isDown },
    anyOf: isUncertain ? anyOf : [],
    outer,
    room: outer === null ? null : { mtu: trial.largest + outer.bytes, largest: trial.largest },
    verdict,
    reason,
    notes: notesOf(service, trial, around, isDown),
  };
}

/** Whose turn it was, or is, only the workers know. */
function dependsOnTurns({ decision, turns }: Trial, { entry, opens }: Around, { conntrack }: ServiceConfig): boolean {
  const isFromTurns = entry !== null && entry.backend === null;
  if (decision?.finding === 'hit') return isFromTurns;
  return turns.length > 1 || (isFromTurns && !opens && conntrack.enabled);
}

const NOBODYS = {
  service: null,
  table: null,
  hash: null,
  slot: null,
  backend: null,
  anyOf: [],
  outer: null,
  room: null,
  notes: [],
};

function factsOf({ name, vip, protocol, ports }: ServiceConfig): ServiceFacts {
  return { name, vip, protocol, ports: portText(ports) };
}

function notesOf(service: ServiceConfig, { decision }: Trial, around: Around, isDown: boolean): string[] {
  const { entry, opens, workers } = around;
  const asksTable = !opens && service.conntrack.enabled;
  const notes: string[] = [];
  if (asksTable && entry !== null && entry.backend !== null && decision?.finding !== 'hit') {
    notes.push(`${entry.backend}, which the entry names, takes none of its connections any more: it is gone, or down`);
  }
  if (asksTable && workers !== null && workers > 1) {
    notes.push(`which of the ${workers} workers the packet comes to is not known, and each has a table of its own`);
  }
  if (service.quic !== null) notes.push('a datagram whose QUIC connection id names a backend goes to that one instead');
  if (isDown && decision?.finding !== 'hit') {
    notes.push('all backends are down, and allDown: keep has the last ones serve on');
  }
  return notes;
}
