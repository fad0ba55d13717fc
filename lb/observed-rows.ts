/**
 * What a worker tells of connections while somebody follows, on its way to the main thread: rows of numbers, because a worker
 * knows no names. lb/observer.ts writes them, lb/observations.ts reads them.
 */

/** Kinds of rows. */
export const PICKUP = 0;
export const RESET = 1;
export const DROPPED = 2;
export const EVICTION = 3;
export const MISMATCH = 4;
export const KINDS = 5;

/** Words of a row: kind, exit, the service's connection table, backend, another backend, ports, address. */
export const ROW_KIND = 0;
export const ROW_EXIT = 1;
export const ROW_CONNECTIONS = 2;
/** -1: none was chosen. */
export const ROW_BACKEND = 3;
/** Of a mismatch: the hash's. Of a pickup 1: the table had no room for it. */
export const ROW_OTHER = 4;
/** Both ports as a packet word; 0: no packet is known to be the cause. */
export const ROW_PORTS = 5;
/** One packet word of IPv4, four of IPv6. */
export const ROW_ADDRESS = 6;
export const OBSERVED_ROW = 10;

export interface Observations {
  /** OBSERVED_ROW words each, oldest first. */
  readonly rows: Int32Array<ArrayBuffer>;
  /** By kind: how many were not told. Null until a second is over in which there were some. */
  readonly leftOut: readonly number[] | null;
  /** Packets that were not compared with the hash, in that second. */
  readonly unseen: number;
}

/** Of one worker: what is above is counted. */
export const EVENTS_A_SECOND = 1000;
export const LOOKS_A_SECOND = 20_000;
