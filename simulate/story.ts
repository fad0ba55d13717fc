/**
 * What happened, in the order of virtual time, in words and as data. Everything in simulate/ tells its part here; a
 * connection is known by the client's port. Repetitions (retransmissions, keepalive probes) become one entry with a
 * count, so that a story stays short however long it lasts.
 */

export type TaleKind =
  | 'open'
  | 'request'
  | 'answer'
  | 'retransmission'
  | 'keepalive-probe'
  | 'forget'
  | 'pick-up'
  | 'reset'
  | 'drop'
  | 'change'
  | 'close'
  | 'end'
  | 'outcome'
  | 'half-open';

export interface Tale {
  readonly timeMs: number;
  /** 'client', 'balancer' or a backend's name. */
  readonly who: string;
  readonly kind: TaleKind;
  /** What it did: a predicate that follows `who`. */
  readonly text: string;
  /** How often, one after the other, and when the last time was. */
  times: number;
  untilMs: number;
}

export interface Story {
  tell(clientPort: number, who: string, kind: TaleKind, text: string): void;
  of(clientPort: number): readonly Tale[];
}

export function createStory(clock: { readonly now: number }): Story {
  const tales = new Map<number, Tale[]>();
  return {
    tell(clientPort, who, kind, text) {
      const own = tales.get(clientPort) ?? [];
      if (own.length === 0) tales.set(clientPort, own);
      // Three may take turns (a retransmission, its answer, and what becomes of that), so the last few are looked at.
      const same = own.slice(-3).find((tale) => tale.who === who && tale.kind === kind && tale.text === text);
      if (same !== undefined && REPEATABLE.has(kind)) {
        same.times++;
        same.untilMs = clock.now;
      } else {
        own.push({ timeMs: clock.now, who, kind, text, times: 1, untilMs: clock.now });
      }
    },
    of: (clientPort) => tales.get(clientPort) ?? [],
  };
}

const REPEATABLE: ReadonlySet<TaleKind> = new Set(['retransmission', 'keepalive-probe', 'drop', 'reset', 'pick-up']);
