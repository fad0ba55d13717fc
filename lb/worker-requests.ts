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
}

export type WorkerRequest =
  | { readonly kind: 'list'; readonly filter: EntryFilter; readonly limit: number }
  | { readonly kind: 'flush'; readonly filter: EntryFilter }
  /** How many entries each backend has. */
  | { readonly kind: 'count' }
  /** The entry of one client at one service, which does not count as seen. */
  | { readonly kind: 'lookup'; readonly service: string; readonly client: string; readonly port: number };

export interface ConntrackEntry {
  readonly worker: number;
  readonly service: string;
  /** Null for an IPv6 client, of whose address the table keeps a digest only. */
  readonly client: string | null;
  readonly port: number;
  readonly backend: string;
  readonly idleMs: number;
  /** Until it is forgotten, if no packet comes. */
  readonly remainingMs: number;
  /** It has seen a second packet: a flood cannot push it out. */
  readonly proven: boolean;
  /** FIN or RST was seen. */
  readonly closing: boolean;
}

export type WorkerAnswer =
  | { readonly kind: 'list'; readonly entries: readonly ConntrackEntry[]; readonly matched: number }
  | { readonly kind: 'flush'; readonly flushed: number }
  | { readonly kind: 'count'; readonly counts: readonly { service: string; backend: string; entries: number }[] }
  | { readonly kind: 'lookup'; readonly entry: ConntrackEntry | null };
