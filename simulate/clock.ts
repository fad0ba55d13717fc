/**
 * Virtual time: a clock that stands still while something happens and jumps to the next event when nothing does, so that
 * five idle days cost as much as five idle milliseconds. Everything in simulate/ that waits, waits here.
 *
 * Events run in the order of their times, those of one moment in the order in which they were planned. The queue is
 * bounded in what waits and in what runs: whoever asks for more gets a SIMULATION_TOO_LONG and no endless loop.
 */
import { HushlbError } from '../lb/errors.ts';

export interface Timer {
  cancel(): void;
}

export interface VirtualClock {
  /** Milliseconds since the simulation began; fractions are allowed, steps back are not. */
  readonly now: number;
  after(delayMs: number, action: () => void): Timer;
  /** Runs events until none waits. */
  run(): void;
}

interface Planned {
  readonly timeMs: number;
  readonly order: number;
  /** Null once it was cancelled. */
  action: (() => void) | null;
}

const MAX_WAITING = 200_000;
/** About two seconds' worth. */
const MAX_EVENTS = 1_000_000;

export function createClock(limits: { readonly waiting?: number; readonly events?: number } = {}): VirtualClock {
  const { waiting: maxWaiting = MAX_WAITING, events: maxEvents = MAX_EVENTS } = limits;
  // A binary heap: the earliest event at 0, the children of i at 2i + 1 and 2i + 2.
  const heap: Planned[] = [];
  let now = 0;
  let planned = 0;
  let ran = 0;

  return {
    get now() {
      return now;
    },
    after(delayMs, action) {
      if (!(delayMs >= 0 && delayMs < Number.POSITIVE_INFINITY)) {
        throw new RangeError(`virtual clock: expected a delay of 0 ms or more, got ${delayMs}`);
      }
      if (heap.length >= maxWaiting) throw tooLong(`more than ${maxWaiting} events wait at once`);
      const event: Planned = { timeMs: now + delayMs, order: planned++, action };
      push(heap, event);
      return {
        cancel: () => {
          event.action = null;
        },
      };
    },
    run() {
      for (let event = pop(heap); event !== undefined; event = pop(heap)) {
        if (event.action === null) continue;
        if (++ran > maxEvents) throw tooLong(`more than ${maxEvents} events`);
        now = event.timeMs;
        event.action();
      }
    },
  };
}

function tooLong(what: string): HushlbError {
  return new HushlbError(
    'SIMULATION_TOO_LONG',
    `the simulation has ${what}: take fewer connections, shorter idle times or a longer keepalive`,
  );
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order);
}

function push(heap: Planned[], event: Planned): void {
  let place = heap.length;
  while (place > 0) {
    const parent = (place - 1) >> 1;
    if (!isBefore(event, heap[parent])) break;
    heap[place] = heap[parent];
    place = parent;
  }
  heap[place] = event;
}

function pop(heap: Planned[]): Planned | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return first;
  let place = 0;
  for (;;) {
    let child = 2 * place + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
    if (!isBefore(heap[child], last)) break;
    heap[place] = heap[child];
    place = child;
  }
  heap[place] = last;
  return first;
}
