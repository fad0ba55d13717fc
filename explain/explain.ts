/**
 * Where a flow goes and why: the five decisions of the walk in their order (service, table, hash, slot, backend with its outer
 * header), now and if something were otherwise. `hushlb explain` asks for a file, admin/explain-routes.ts for the balancer
 * that runs. explain/stage.ts has the forwarder decide; this file asks it and puts the answers together.
 */
import type { Config } from '../lb/config.ts';
import { parseConfig } from '../lb/config-file.ts';
import { prepare, prepareNext, ROOM_FOR_CHANGES } from '../lb/prepare.ts';
import { fixedDifferences } from '../lb/reload.ts';
import { type Effect, effectOf } from './effect.ts';
import { type EntryFacts, type Explanation, explanationOf } from './explanation.ts';
import type { Flow } from './flow.ts';
import { type Change, type KnownEntry, type Scene, type Trial, tryPacket } from './stage.ts';
import { changedBy, type WhatIf, whatIfTexts } from './what-if.ts';

export interface Subject extends Scene {
  /** Also as text, which what-ifs edit: whole, or `narrowed`. The scene may have the services of one VIP alone. */
  readonly config: Config;
  readonly text: string;
  /** The next hop of this backend is not one of a network: nobody has asked for it. */
  isMadeUp(address: string): boolean;
  /** How many; null for a file. */
  readonly workers: number | null;
}

export interface Question {
  readonly flow: Flow;
  /** A SYN, or the first datagram: it opens a connection. Else one of a connection that is under way. */
  readonly opens: boolean;
  /** The table's; null: it has none; undefined: nobody could be asked. */
  readonly entry: EntryFacts | null | undefined;
  readonly whatIf: WhatIf;
}

export interface Answer {
  readonly flow: Flow;
  readonly opens: boolean;
  readonly from: 'file' | 'daemon';
  readonly now: Explanation;
  /** Null where nothing is asked to be otherwise. */
  readonly whatIf: {
    readonly texts: readonly string[];
    readonly would: Explanation;
    readonly effect: Effect;
  } | null;
}

/** A file as a subject for flows to one VIP, its next hops made up. */
export function subjectOf(text: string, config: Config, hops: Pick<Scene, 'ownMac' | 'hopOf'>, vip: string): Subject {
  const prepared = prepare(ofVip(config, vip), ROOM_FOR_CHANGES);
  return { ...hops, prepared, config, text, isMadeUp: () => true, workers: null };
}

/** Without the services that packets to the VIP cannot be for, of which there may be a thousand; one at least stays. */
function ofVip(config: Config, vip: string): Config {
  const services = config.services.filter((service) => service.vip === vip);
  return { ...config, services: services.length > 0 ? services : config.services.slice(0, 1) };
}

/** Throws ConfigError or HushlbError where a what-if makes no configuration. */
export function explain(subject: Subject, { flow, opens, entry, whatIf }: Question): Answer {
  const { prepared, isMadeUp, workers } = subject;
  const around = { flow, opens, isMadeUp, workers };
  const known = knownEntry(entry);
  const trial = tryPacket(subject, flow, opens, known);
  const remembered = entry === undefined ? assumedEntry(trial) : entry;
  const now = explanationOf(trial, { ...around, entry: remembered });
  const answer = { flow, opens, from: workers === null ? 'file' : 'daemon', now } as const;
  const texts = whatIfTexts(whatIf);
  if (texts.length === 0) return { ...answer, whatIf: null };

  const base =
    whatIf.config === undefined
      ? { text: subject.text, config: subject.config }
      : parseConfig(whatIf.config.text, whatIf.config.name);
  const service = now.service?.name ?? base.config.services[0].name;
  const whole = changedBy(whatIf, { ...base, down: prepared.down }, service);
  const change = { ...whole, config: ofVip(whole.config, flow.to.address) };
  const restarts = fixedDifferences(prepared.config, change.config).map(({ key }) => key);
  const isForgotten = whatIf.expired === true || restarts.length > 0;
  const after =
    restarts.length > 0
      ? tryPacket(restarted(subject, change), flow, opens, 'none')
      : tryPacket(subject, flow, opens, isForgotten ? 'none' : known, change);
  const would = explanationOf(after, { ...around, entry: isForgotten ? null : remembered });
  const notes = restarts.map((key) => `${key} changes with a restart only, after which the table is empty`);
  const effect = effectOf(now, would, opens, flow.protocol === 'tcp');
  return { ...answer, whatIf: { texts, would: { ...would, notes: [...would.notes, ...notes] }, effect } };
}

function knownEntry(entry: Question['entry']): KnownEntry {
  if (entry === undefined) return 'opened';
  return entry === null || entry.backend === null ? 'none' : { backend: entry.backend };
}

/** What its first packet would have left, where nobody could be asked. */
function assumedEntry({ opened, turns }: Trial): EntryFacts | null {
  if (opened === undefined) return null;
  return { backend: turns.length > 1 ? null : opened, isKnown: false, worker: null, idleMs: null, remainingMs: null };
}

function restarted(subject: Subject, { config, down }: Change): Subject {
  return { ...subject, prepared: prepareNext(config, prepare(config, ROOM_FOR_CHANGES), 0, down) };
}
