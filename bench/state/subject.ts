/**
 * What case `stateful-stateless` compares: a balancer that is configured, restarted and failed over, whatever it is made of
 * (state/hushlb.ts, state/nat.ts). state/stage.ts makes them, state/events.ts has things happen to them.
 */
import type { Network } from '../../lab/network.ts';
import type { LineProcess } from '../line-process.ts';
import type { Seat } from './network.ts';

export type SubjectKey = 'stateless' | 'no-table' | 'stateful' | 'nat';

/** What is configured of it. */
export interface Setup {
  readonly backends: readonly string[];
  readonly idleTimeoutMs: number;
}

/** What it says of itself, counted up since it was started. */
export interface Counts {
  /** Connections that it remembers now. */
  readonly entries: number;
  /** SYNs that it took in. */
  readonly syns: number;
  /** Connections that were pushed out for others, and those that found no room. */
  readonly evicted: number;
  readonly refused: number;
  /** RSTs of its own making; undefined where nobody counts them. */
  readonly resets: number | undefined;
}

export interface Memory {
  /** Of its process, in bytes; undefined where it has none. */
  readonly resident: number | undefined;
  /** Of its connection table. */
  readonly table: number;
}

export interface Subject {
  readonly key: SubjectKey;
  /** The host that takes the VIP now. */
  readonly host: string;
  /** Resolves when it goes by `setup`; the connections that it has stay. */
  configure(setup: Setup): Promise<void>;
  /** All that it remembered is gone; resolves when it forwards again. */
  restart(): Promise<void>;
  /** Its host is given up; resolves when the spare one, which knows nothing of the connections, has its packets. Once. */
  failOver(): Promise<void>;
  counts(): Promise<Counts>;
  memory(): Promise<Memory>;
  stop(): Promise<void>;
}

/** Where a subject lives, and who talks to it. */
export interface Place {
  readonly network: Network;
  /** For files. */
  readonly directory: string;
  readonly seat: Seat;
  /** Reads documents, as its client's `fetch`. */
  readonly client: LineProcess;
  /** Connections that its table has room for. */
  readonly capacity: number;
}
