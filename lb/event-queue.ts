/**
 * Events for one who follows, at their own pace and within bounds: who reads too slowly is cut off, and told so with the last
 * line, because an answer with a hole in it would look like the whole. Used by admin/event-routes.ts.
 */
import type { BalancerEvent, EventLog } from './events.ts';

/** Events that wait for the reader, 200 bytes each or so. */
const MOST_WAITING = 10_000;

/** Ends when `signal` aborts. Follows from the first step on. */
export async function* followEvents(
  log: EventLog,
  signal: AbortSignal,
  wanted: (event: BalancerEvent) => boolean,
  most = MOST_WAITING,
): AsyncGenerator<BalancerEvent> {
  const waiting: BalancerEvent[] = [];
  let wake: () => void = () => {};
  let isCut = false;
  const leave = log.follow((event) => {
    if (!wanted(event)) return;
    if (waiting.length < most) waiting.push(event);
    else {
      isCut = true;
      leave();
    }
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort);
  try {
    while (!signal.aborted) {
      yield* waiting.splice(0);
      if (isCut && waiting.length === 0) {
        yield cutOff(most);
        return;
      }
      if (waiting.length > 0 || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    leave();
    signal.removeEventListener('abort', onAbort);
  }
}

function cutOff(count: number): BalancerEvent {
  const reason = `cut off here: more than ${count} events waited for this reader; follow again, or fewer kinds (kind=…)`;
  return { seq: 0, at: new Date().toISOString(), kind: 'left-out', reason };
}
