/**
 * One thing after the other: whatever changes what runs (lb/control-plane.ts) waits here for its turn. A reload that is asked
 * for while another waits is the same one: it reads the file as it is when its turn comes.
 */

export interface ChangeQueue {
  /** Resolves or rejects as `work` does, which gets a signal that aborts at `close`. Rejects with its reason after that. */
  run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** The same, once for all who ask under `name` before it begins. */
  runOnce<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** What is under way is given up; resolves when nothing runs any more. */
  close(): Promise<void>;
}

export function createChangeQueue(): ChangeQueue {
  const stop = new AbortController();
  const waiting = new Map<string, Promise<unknown>>();
  let last: Promise<unknown> = Promise.resolve();

  function run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const turn = last.then(() => {
      stop.signal.throwIfAborted();
      return work(stop.signal);
    });
    last = turn.catch(() => {});
    return turn;
  }
  return {
    run,
    runOnce<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
      const known = waiting.get(name) as Promise<T> | undefined;
      if (known !== undefined) return known;
      const turn = run((signal) => {
        waiting.delete(name);
        return work(signal);
      });
      waiting.set(name, turn);
      // Of a queue that was closed meanwhile nobody may wait for it.
      turn.catch(() => {}).finally(() => waiting.delete(name));
      return turn;
    },
    async close() {
      stop.abort();
      await last;
    },
  };
}
