/**
 * One backend is added, removed or drained, or dies, while connections live: who is there before and after, what the lookup tables
 * say about it, and how many connections may break. Pure; lab/change-plot.ts acts it out, lab/change-scenarios.ts
 * promises, lab/report.ts prints.
 */
import type { ConfiguredBackend } from './balancer.ts';
import { binomialBounds } from './binomial.ts';
import type { Findings } from './findings.ts';
import type { SlotChange } from './lookup-tables.ts';
import type { BackendChange, Plot } from './scenario.ts';

/** What a plot brings home of its change. */
export interface ChangeEvidence {
  readonly change: BackendChange;
  /** The backend that it is about. */
  readonly backend: string;
  /** Wall clock at which the balancer said that it had reloaded, or the server was dead. */
  readonly timeMs: number;
  /** By backend, from the lookup table before the change to the one after it. */
  readonly slots: Readonly<Record<string, SlotChange>>;
}

export interface ChangeFindings extends ChangeEvidence {
  /** Opened after the change. */
  readonly newConnections: readonly NewConnection[];
}

export interface NewConnection {
  readonly clientPort: number;
  /** Where its first request arrived; null where none was seen to. */
  readonly backend: string | null;
  readonly error: string | null;
}

/** Backends that the lab needs hosts for, where the balancer starts with `count`. */
export function hostsOf(plot: Plot, count: number): number {
  return plot.kind === 'change' && plot.change === 'added' ? count + 1 : count;
}

export interface LineUp {
  readonly backend: string;
  readonly before: readonly ConfiguredBackend[];
  readonly after: readonly ConfiguredBackend[];
}

/** It is always the last of `hosts` that comes, goes, drains or dies. */
export function lineUpOf(change: BackendChange, hosts: readonly string[]): LineUp {
  const all = hosts.map((name) => ({ name }));
  const others = all.slice(0, -1);
  const backend = hosts[hosts.length - 1];
  switch (change) {
    case 'added':
      return { backend, before: others, after: all };
    case 'removed':
      return { backend, before: all, after: others };
    case 'drained':
      return { backend, before: all, after: [...others, { name: backend, state: 'draining' }] };
    case 'died':
      return { backend, before: all, after: all };
  }
}

const HAPPENINGS: Record<BackendChange, string> = {
  added: 'is added',
  removed: 'is removed',
  drained: 'drains',
  died: 'dies',
};

/** 'b4 is added' */
export function describeChange({ backend, change }: Pick<ChangeEvidence, 'backend' | 'change'>): string {
  return `${backend} ${HAPPENINGS[change]}`;
}

/** 0.0002 as '0.02 %': small shares are what a change is about. */
export function percentText(share: number): string {
  const decimals = share === 0 || share >= 0.1 ? 0 : share >= 0.01 ? 1 : 2;
  return `${(share * 100).toFixed(decimals)} %`;
}

/** What is to be expected of some connections or slots, and what came of them. */
export interface Prediction {
  /** Whose connections these are: 'b3', 'the others'; null for everyone's. */
  readonly of: string | null;
  readonly connections: number;
  /** The share, 0 to 1, that would break if packets went by the lookup tables alone: of the slots, those that changed. */
  readonly byTables: number;
  /** The share that is to break with the table that the balancer has, or has not. */
  readonly predicted: number;
  readonly broken: number;
  /** So many broken are within what chance allows. */
  readonly bounds: readonly [low: number, high: number];
}

/** One prediction for the changed backend's connections, where it had any, and one for all others. */
export function predictionsOf(findings: Findings, withTable: boolean): Prediction[] {
  const { change, connections } = findings;
  // A death is in no configuration, and so in no lookup table.
  if (change === undefined || change.change === 'died') return [];
  const { backend, slots } = change;
  const names = Object.keys(slots);
  const predict = (of: string | null, members: readonly string[]): Prediction => {
    const own = connections.filter(({ backendBefore }) => members.includes(backendBefore ?? ''));
    const total = members.reduce((sum, name) => sum + slots[name].before, 0);
    const lost = members.reduce((sum, name) => sum + slots[name].lost, 0);
    const byTables = total === 0 ? 0 : lost / total;
    // An entry is no way to a backend that the configuration has no more.
    const predicted = !withTable || (change.change === 'removed' && of === backend) ? byTables : 0;
    return {
      of,
      connections: own.length,
      byTables,
      predicted,
      broken: own.filter(({ outcome }) => outcome !== 'kept').length,
      bounds: binomialBounds(own.length, predicted),
    };
  };
  if (change.change === 'added') return [predict(null, names)];
  const others = names.filter((name) => name !== backend);
  return [predict(backend, [backend]), predict('the others', others)];
}

/** How many of the new connections met the changed backend, beside its share of the lookup table after the change. */
export function newcomersOf({ change }: Findings): Prediction | undefined {
  if (change === undefined || change.change === 'died') return undefined;
  const { backend, slots, newConnections } = change;
  const total = Object.values(slots).reduce((sum, { after }) => sum + after, 0);
  const share = total === 0 ? 0 : slots[backend].after / total;
  return {
    of: backend,
    connections: newConnections.length,
    byTables: share,
    predicted: share,
    broken: newConnections.filter((each) => each.backend === backend).length,
    bounds: binomialBounds(newConnections.length, share),
  };
}
