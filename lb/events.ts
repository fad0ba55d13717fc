/**
 * What happened, in order, for whoever asks or follows (`hushlb events`): changes of configuration and health from the main
 * thread, what workers saw of connections from them (lb/observer.ts). The last ones are kept; nothing waits for a slow reader.
 */

/**
 * `change`, `refused`: of the configuration; `health`: a backend went up or down, or flaps; `drained`: a draining backend
 * has lost its last connection; `pickup`: a packet of a connection that the table had forgotten went on by hash; `reset`,
 * `dropped`: it did not; `eviction`: an entry made room for another; `mismatch`: the table and the hash name different
 * backends; `worker`, `interface`: something failed or came back; `left-out`: how many were not told, and why.
 */
export type EventKind =
  | 'change'
  | 'refused'
  | 'health'
  | 'drained'
  | 'pickup'
  | 'reset'
  | 'dropped'
  | 'eviction'
  | 'mismatch'
  | 'worker'
  | 'interface'
  | 'left-out';

export interface BalancerEvent {
  /** From 1, without gaps. */
  readonly seq: number;
  /** ISO 8601, by the wall clock. */
  readonly at: string;
  readonly kind: EventKind;
  /** One sentence without a full stop: what happened and why. */
  readonly reason: string;
  readonly service?: string | undefined;
  readonly backend?: string | undefined;
  /** `ADDRESS:PORT`, as `hushlb explain` takes it. */
  readonly client?: string | undefined;
  readonly worker?: number | undefined;
  /** Of the change that caused it. */
  readonly id?: string | undefined;
  /** Of `left-out`. */
  readonly count?: number | undefined;
}

export interface EventLog {
  emit(event: Omit<BalancerEvent, 'seq' | 'at'>): void;
  /** The last of them, at most `count`, oldest first. */
  recent(count: number): BalancerEvent[];
  /** Calls `listener` with each event from now on, until what it returns is called. */
  follow(listener: (event: BalancerEvent) => void): () => void;
  /** How many follow now. */
  readonly followers: number;
  /** Calls `listener` whenever the first comes or the last goes. */
  onFollowers(listener: (followers: number) => void): void;
}

const KEPT = 1024;

export function createEventLog(wallClock: () => number = Date.now): EventLog {
  const kept: BalancerEvent[] = [];
  const listeners = new Set<(event: BalancerEvent) => void>();
  const watchers: ((followers: number) => void)[] = [];
  let seq = 0;
  return {
    emit(event) {
      seq++;
      const whole: BalancerEvent = { seq, at: new Date(wallClock()).toISOString(), ...event };
      kept.push(whole);
      if (kept.length > KEPT) kept.shift();
      for (const listener of listeners) listener(whole);
    },
    recent: (count) => kept.slice(Math.max(0, kept.length - count)),
    follow(listener) {
      const own = (event: BalancerEvent): void => listener(event);
      listeners.add(own);
      if (listeners.size === 1) for (const watcher of watchers) watcher(1);
      return () => {
        if (listeners.delete(own) && listeners.size === 0) for (const watcher of watchers) watcher(0);
      };
    },
    get followers() {
      return listeners.size;
    },
    onFollowers: (listener) => void watchers.push(listener),
  };
}
