/**
 * Has backends checked, again and again, and tells when one comes up or goes down. lb/health.ts says which; the checks are
 * functions (health/tcp.ts and its neighbours), so that tests and virtual time can bring their own.
 *
 * At most `maxOpen` checks are under way at a time: who is due when all are taken waits for the next that ends, in order. A
 * check ends at its timeout, whatever it does, by the signal that it was given. Timers of the event loop carry all of it.
 */
import { type CheckResult, type Judgement, type JudgeSettings, judge, startJudgement } from './judge.ts';
import { firstWaitMs, nextWaitMs } from './schedule.ts';
import { TRUST_UNKNOWN } from './trust.ts';

/** Resolves with the result; gives up and frees what it holds when the signal aborts. What it rejects with is a failure. */
export type Check = (signal: AbortSignal) => Promise<CheckResult>;

export interface Target {
  /** One string for one backend of one service. */
  readonly key: string;
  /** Says all that matters of the check: a target with another one begins anew. */
  readonly identity: string;
  readonly settings: JudgeSettings & { readonly timeoutMs: number };
  readonly check: Check;
}

export interface TargetState {
  readonly judgement: Judgement;
  readonly checks: number;
  readonly failures: number;
  readonly lastMs: number | null;
}

export interface Monitor {
  /** Checks these from now on and no others; who was there before with the same identity keeps its state. */
  setTargets(targets: readonly Target[]): void;
  stateOf(key: string): TargetState | undefined;
  /** Nothing is checked any more, and what is under way is given up; nobody is told anything after that. */
  close(): void;
}

export interface MonitorOptions {
  /** After every result that changed the state, or brought flapping or ended it. */
  onChange(key: string, after: Judgement, before: Judgement): void;
  /** A check could not be made for lack of something here: nothing was judged. */
  onTrouble?(key: string, reason: string): void;
  readonly maxOpen?: number;
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
  readonly random?: () => number;
}

/** Sockets, or programs, open at a time. */
export const MAX_OPEN = 512;

interface Entry {
  target: Target;
  judgement: Judgement;
  checks: number;
  failures: number;
  lastMs: number | null;
  timer: NodeJS.Timeout | undefined;
  /** Of the check that is under way. */
  abort: AbortController | undefined;
  gone: boolean;
}

export function createMonitor(options: MonitorOptions): Monitor {
  const { onChange, onTrouble, maxOpen = MAX_OPEN, now = () => performance.now(), random = Math.random } = options;
  const entries = new Map<string, Entry>();
  /** Waiting for their turn. */
  const due = new Set<Entry>();
  let open = 0;

  function add(target: Target): void {
    const entry: Entry = {
      target,
      judgement: startJudgement(now()),
      checks: 0,
      failures: 0,
      lastMs: null,
      timer: undefined,
      abort: undefined,
      gone: false,
    };
    entries.set(target.key, entry);
    wait(entry, firstWaitMs(target.settings.intervalMs, random()));
  }

  function remove(entry: Entry): void {
    entry.gone = true;
    clearTimeout(entry.timer);
    entry.abort?.abort();
    due.delete(entry);
    if (entries.get(entry.target.key) === entry) entries.delete(entry.target.key);
  }

  function wait(entry: Entry, ms: number): void {
    entry.timer = setTimeout(() => {
      due.add(entry);
      startDue();
    }, ms);
  }

  function startDue(): void {
    for (const entry of due) {
      if (open >= maxOpen) return;
      due.delete(entry);
      void run(entry);
    }
  }

  async function run(entry: Entry): Promise<void> {
    open++;
    const { check, settings } = entry.target;
    const abort = new AbortController();
    entry.abort = abort;
    const startedMs = now();
    const result = await resultWithin(settings.timeoutMs, check, abort);
    abort.abort();
    entry.abort = undefined;
    open--;
    if (!entry.gone) {
      const endedMs = now();
      entry.checks++;
      if (result.judged && !result.ok) entry.failures++;
      entry.lastMs = endedMs - startedMs;
      wait(entry, Math.max(startedMs + nextWaitMs(settings.intervalMs, random()) - endedMs, 0));
      const before = entry.judgement;
      const after = result.judged ? judge(before, result, settings, endedMs) : before;
      entry.judgement = after;
      if (!result.judged) onTrouble?.(entry.target.key, result.reason);
      if (after.up !== before.up || after.flapping !== before.flapping) onChange(entry.target.key, after, before);
    }
    startDue();
  }

  return {
    setTargets(targets) {
      const wanted = new Map(targets.map((target) => [target.key, target]));
      for (const entry of [...entries.values()]) {
        const target = wanted.get(entry.target.key);
        if (target === undefined || target.identity !== entry.target.identity) remove(entry);
        else entry.target = target;
      }
      for (const target of targets) if (!entries.has(target.key)) add(target);
    },
    stateOf: (key) => entries.get(key),
    close() {
      for (const entry of [...entries.values()]) remove(entry);
    },
  };
}

/** Not `judged`: the check could not be made, and nothing is known. */
interface Result extends CheckResult {
  readonly judged: boolean;
}

const GIVEN_UP: Result = { judged: false, ok: false, reason: 'given up' };

const judged = (result: CheckResult): Result => ({ ...result, judged: true });

/** Never rejects. A check that ignores its signal is left behind at its timeout. */
async function resultWithin(timeoutMs: number, check: Check, abort: AbortController): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Result>((resolve) => {
    timer = setTimeout(() => {
      resolve({ judged: true, ok: false, reason: `no answer within ${timeoutMs} ms` });
      abort.abort();
    }, timeoutMs);
    abort.signal.addEventListener('abort', () => resolve(GIVEN_UP), { once: true });
  });
  try {
    return await Promise.race([check(abort.signal).then(judged, failure), late]);
  } finally {
    clearTimeout(timer);
  }
}

const WORDS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
};

/** What this host has run out of, or never had, says nothing about a backend: descriptors, memory, processes, ports, a file. */
const OWN_TROUBLE: readonly string[] = [
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOBUFS',
  'EAGAIN',
  'EADDRNOTAVAIL',
  TRUST_UNKNOWN,
];

/** An error as the reason of a failure, on one line. */
function failure(error: unknown): Result {
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  return { judged: !OWN_TROUBLE.includes(code), ok: false, reason: WORDS[code] ?? message.split('\n', 1)[0] };
}
