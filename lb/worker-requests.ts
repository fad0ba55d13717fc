/**
 * What the main thread asks of workers beside the packets' way: their connection tables are theirs alone. A worker answers in
 * slices between two batches, so that no packet waits for a long list.
 */

/** Of entries; what is left out matches all. */
export interface EntryFilter {
  readonly service?: string | undefined;
  readonly backend?: string | undefined;
  /** The address, in canonical text. */
  readonly client?: string | undefined;
  readonly port?: number | undefined;
  /** Only those that name another backend than the hash would; none of IPv6 and none of round-robin are. */
  readonly divergent?: boolean | undefined;
}

export type WorkerRequest =
  | { readonly kind: 'list'; readonly filter: EntryFilter; readonly limit: number }
  | { readonly kind: 'flush'; readonly filter: EntryFilter }
  /** How many entries each backend has; backends without any are left out. */
  | { readonly kind: 'count'; readonly filter?: EntryFilter }
  /** The entry of one client at one service, which does not count as seen. */
  | { readonly kind: 'lookup'; readonly service: string; readonly client: string; readonly port: number };

export interface ConntrackEntry {
  readonly worker: number;
  readonly service: string;
  /** Null for an IPv6 client, of whose address the table keeps a digest only, unless it was asked for by its address. */
  readonly client: string | null;
  readonly port: number;
  /** The VIP's, of a service with several. */
  readonly servicePort?: number | undefined;
  readonly backend: string;
  readonly idleMs: number;
  /** Until it is forgotten, if no packet comes. */
  readonly remainingMs: number;
  /** It has seen a second packet: a flood cannot push it out. */
  readonly proven: boolean;
  /** FIN or RST was seen. */
  readonly closing: boolean;
  /** It names another backend than the hash would; undefined where the table cannot tell (IPv6, round-robin). */
  readonly divergent?: boolean | undefined;
}

export interface EntryCount {
  readonly service: string;
  readonly backend: string;
  readonly entries: number;
  /** Of those, how many name another backend than the hash would. */
  readonly divergent?: number | undefined;
}

export type WorkerAnswer =
  | { readonly kind: 'list'; readonly entries: readonly ConntrackEntry[]; readonly matched: number }
  | { readonly kind: 'flush'; readonly flushed: number }
  | { readonly kind: 'count'; readonly counts: readonly EntryCount[] }
  | { readonly kind: 'lookup'; readonly entry: ConntrackEntry | null };

/** The answer that a request of this kind gets. */
export type AnswerTo<R extends WorkerRequest> = Extract<WorkerAnswer, { readonly kind: R['kind'] }>;
